"""Shards that somebody or something has changed since they were written."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vtc_encode import Refused, Worker, shards

from .encoding import contents, run


@pytest.fixture(scope="module")
def whole(worker: Worker, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run(worker, photos, out)
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


def test_a_flipped_bit_is_noticed(worker: Worker, photos: Path, out: Path):
    """Anywhere in the data of any column."""
    shard = out / "features-000001.parquet"
    data = shard.read_bytes()
    group = pq.read_metadata(shard).row_group(0)
    rng = np.random.default_rng(0)
    for i in range(group.num_columns):
        column = group.column(i)
        start = column.data_page_offset + 64  # behind the page's own header
        for place in rng.integers(start, column.data_page_offset + column.total_compressed_size, 5):
            flipped = bytearray(data)
            flipped[place] ^= 1 << int(rng.integers(8))
            shard.write_bytes(flipped)
            with pytest.raises(Refused, match=r"features-000001\.parquet is damaged since it was written: remove it"):
                run(worker, photos, out)
    shard.unlink()
    run(worker, photos, out)
    assert shard.read_bytes() == data


def test_others_can_verify_it(out: Path):
    """With pyarrow alone, as the README reads shards."""
    shard = out / "features-000000.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    assert pq.read_table(shard, page_checksum_verification=True).num_rows == 8
    shard.write_bytes(data)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(shard, page_checksum_verification=True)


def test_a_shard_under_another_name(worker: Worker, photos: Path, out: Path):
    shutil.copy(out / "features-000000.parquet", out / "features-000001.parquet")
    with pytest.raises(Refused, match=r"features-000001\.parquet is shard 0 under another name: remove it"):
        run(worker, photos, out)


@pytest.mark.parametrize("name", ["features-000099.parquet", "features-0.parquet", "features-000000 (1).parquet"])
def test_a_stray_shard(worker: Worker, photos: Path, out: Path, name: str):
    before = contents(out)
    shutil.copy(out / "features-000000.parquet", out / name)
    with pytest.raises(Refused, match="is shard 0 under another name"):
        run(worker, photos, out)
    run(worker, photos, out, overwrite=True)
    assert contents(out) == before


def test_a_shard_of_a_number_that_is_not_wanted(worker: Worker, photos: Path, out: Path):
    """By its own word, too."""
    table = pq.read_table(out / "features-000003.parquet")
    metadata = {**table.schema.metadata, b"vtc.number": b"4"}
    shards.write_whole(out / "features-000004.parquet", table.replace_schema_metadata(metadata))
    with pytest.raises(Refused, match=r"features-000004\.parquet is none of the 4 shards of this INPUT: remove it"):
        run(worker, photos, out)


@pytest.mark.parametrize("number", [b"", b"one", b"1.5", b"-1"])
def test_numbers_that_are_none(worker: Worker, photos: Path, out: Path, number: bytes):
    path = out / "features-000003.parquet"
    table = pq.read_table(path)
    shards.write_whole(path, table.replace_schema_metadata({**table.schema.metadata, b"vtc.number": number}))
    with pytest.raises(Refused, match=r"features-000003\.parquet is .*: remove it"):
        run(worker, photos, out)
