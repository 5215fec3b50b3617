"""Parquet files: their columns, and rows from any position; an odd row is skipped by name, and the run goes on."""

import base64
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vtc_tiny
from vtc_encode import Refused, Worker, open_source
from vtc_pictures import Unreadable

from .encoding import rows, run, skipped
from .sourcing import fill, read, refusals


def written(path: Path, /, **columns: object) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_one_odd_row_ends_nothing(worker: Worker, tmp_path: Path):
    """The words of the reasons, and that what `open` refuses is never the end of a corpus."""
    vtc_tiny.scene(0).image.save(tmp_path / "good.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    letters = base64.b64encode(bytes(range(256)) * 110).decode()  # 37,548 of them
    odd = {
        "good.png": None,
        letters: "is 37,548 letters, no path: if they are base64, decode them into bytes",
        letters[:3000].replace("/", "+"): "is too long for the name of a file",
        f"data:image/png;base64,{letters}": "is a URL (data:), not a path: decode it into bytes",
        "https://example.com/a.png": "is a URL (https:), not a path",
        "S3://bucket/a.png": "is a URL (s3:), not a path",
        "nul\0.png": "is not the name of a file",
        "loop.png": "is a link that leads back to itself",
        "pipe.png": "is a pipe, not a picture",
        "good.png/below": "is not there",
        "nowhere.png": "is not there",
        ".": "is a folder, not a picture",
        "": "is a folder, not a picture",
        "/proc/self/mem": "is empty (0 bytes)",
        "/dev/zero": "is a device, not a picture",
    }
    words = written(tmp_path / "a.parquet", path=[*odd, None])
    done = run(worker, words, tmp_path / "out")
    assert done.encoded == 1
    assert rows(tmp_path / "out")[0] == ["good.png"]
    assert [why for _, why in done.skipped] == [*filter(None, odd.values()), "is null"]
    listed = skipped(tmp_path / "out")
    assert max(map(len, listed)) <= 3000  # pictures in letters are known by their row
    assert listed["1"].startswith("is 37,548 letters")
    assert listed["15"] == "is null"


def test_text_that_is_not_utf_8(tmp_path: Path):
    fill(tmp_path, "a.png")
    names = pa.array([b"a.png", b"caf\xe9.png", b"a.png"]).view(pa.string())
    source = open_source(written(tmp_path / "a.parquet", path=names, id=names))
    assert refusals(source) == {"a.png": None, "1": "is no string that can be read"}


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_a_dictionary_of_pictures(tmp_path: Path, kind: pa.DataType):
    pictures = pa.array([b"x", b"y", b"x", None], kind).dictionary_encode()
    assert pa.types.is_dictionary(pq.read_schema(written(tmp_path / "a.parquet", image=pictures)).field("image").type)
    source = open_source(str(tmp_path / "a.parquet"))
    assert read(source, 0, 3) == [("0", b"x"), ("1", b"y"), ("2", b"x")]
    assert refusals(source)["3"] == "is null"


def test_a_dictionary_of_paths(tmp_path: Path):
    fill(tmp_path, "a.png", "b.png")
    paths = pa.array(["b.png", "a.png", "b.png"]).dictionary_encode()
    assert [data for _, data in read(open_source(written(tmp_path / "a.parquet", path=paths)))] == [
        b"b.png", b"a.png", b"b.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "pictures",
    [
        pa.array([[b"x", b"y"]]),
        pa.array([["a.png"]], pa.large_list(pa.string())),
        pa.array([[b"x"]], pa.list_(pa.binary(), 1)),
        pa.array([[{"bytes": b"x", "path": None}]]),  # as datasets of several pictures a row have them
    ],
)
@pytest.mark.parametrize("column", [None, "images"])
def test_lists_of_pictures_are_named(tmp_path: Path, pictures: pa.Array, column: str | None):
    words = written(tmp_path / "a.parquet", images=pictures, numbers=[[1]], caption=["x"])
    with pytest.raises(Refused, match=r"; images holds lists, and a row is one picture here: unnest them first$"):
        open_source(words, column)


def test_pairs_of_something_else(tmp_path: Path):
    pairs = [{"bytes": "in letters", "path": None}, {"bytes": None, "path": None}]
    assert refusals(open_source(written(tmp_path / "a.parquet", image=pairs))) == {
        "0": "is a str, neither bytes nor a path",
        "1": "is null",
    }


@pytest.mark.parametrize("row_group_size", [3, 64, 1000])
def test_a_parquet_file_from_any_position(tmp_path: Path, row_group_size: int):
    data = [str(i).encode() * 50 for i in range(100)]
    table = pa.table({"label": list(range(100)), "picture": data})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=row_group_size)
    source = open_source(str(tmp_path / "a.parquet"))
    expected = [(str(i), data[i]) for i in range(100)]
    assert read(source) == expected
    for start, stop in [(0, 7), (7, 14), (50, 60), (20, 30), (30, 100), (99, 100), (0, 100)]:  # on, ahead, back
        assert read(source, start, stop) == expected[start:stop]
    half = source.read(10, 20)
    next(half)  # a reader that stops halfway
    assert read(source, 10, 12) == expected[10:12]


def test_parquet_columns(tmp_path: Path):
    fill(tmp_path, "p/a.png", "p/b.png")
    paths, path = ["p/a.png", "p/b.png"], tmp_path / "a.parquet"
    expected = [(name, name.encode()) for name in paths]

    def of(column: str | None = None, **columns: object) -> list[tuple[str, bytes]]:
        pq.write_table(pa.table(columns), path)
        return read(open_source(str(path), column))

    assert of(path=paths, caption=["x", "y"]) == expected  # relative to the table's folder
    assert of(image_path=[str(tmp_path / name) for name in paths])[1][1] == b"p/b.png"
    assert of(image=[b"x", b"y"], id=[7, None]) == [("7", b"x"), ("1", b"y")]
    pairs = [{"bytes": b"x", "path": "0.jpg"}, {"bytes": None, "path": "p/b.png"}]  # as Hugging Face datasets
    assert of(image=pairs, label=[0, 1]) == [("0.jpg", b"x"), ("p/b.png", b"p/b.png")]
    assert of(thumb=[b"t"], image=[b"x"], column="image") == [("0", b"x")]
    assert of(image=pa.array([b"x"], pa.large_binary())) == [("0", b"x")]
    for columns, column, why in [
        ({"thumb": [b"t"], "full": [b"x"]}, None, "--column; there are thumb (binary), full (binary)"),
        ({"caption": ["x"]}, None, "--column; there are caption (string)"),
        ({"caption": ["x"], "n": [1]}, "n", "no such column of bytes or paths, but caption (string), n (int64)"),
        ({"caption": ["x"]}, "image", "--column image: "),
    ]:
        with pytest.raises(Refused) as caught:
            of(column, **columns)
        assert why in str(caught.value)


def test_null_in_a_parquet_file(tmp_path: Path):
    pq.write_table(pa.table({"image": pa.array([None, b"x"], pa.binary())}), tmp_path / "a.parquet")
    null, _ = open_source(str(tmp_path / "a.parquet")).read(0, 2)
    with pytest.raises(Unreadable, match="is null"):
        null.open()
