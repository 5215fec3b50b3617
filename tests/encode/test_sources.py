"""What an INPUT is taken to hold, in which order, and from any position."""

import glob
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vtc_encode import Refused, open_source

from .sourcing import fill, read, refusals, tar_of


def test_a_folder_is_its_pictures_in_order(tmp_path: Path):
    fill(tmp_path, "b.PNG", "a/z.jpg", "a.jpeg", "labels.csv", ".hidden.png", ".git/c.png", "a/y.webp", "a/notes.txt")
    assert read(open_source(str(tmp_path))) == [
        (name, name.encode()) for name in ("a.jpeg", "a/y.webp", "a/z.jpg", "b.PNG")
    ]


def test_links_and_strange_names(tmp_path: Path):
    fill(tmp_path, "a/real.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a" / "real.png")
    (tmp_path / "loop").symlink_to(tmp_path)  # not followed
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()  # not UTF-8
    source = open_source(str(tmp_path))
    assert refusals(source) == {
        "a/real.png": None,
        "broken.png": "is not there",
        r"caf\xe9.png": "is empty (0 bytes)",
        "link.png": None,
        "loop.png": "is a link that leads back to itself",
        "pipe.png": "is a pipe, not a picture",  # and not waited for
    }
    assert pa.array(list(refusals(source))).to_pylist() == list(refusals(source))


def test_a_glob_is_what_it_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, "b.png", "a.dat", "sub/c.png", "[1].png", "1.png")
    assert [name for name, _ in read(open_source("*"))] == ["1.png", "[1].png", "a.dat", "b.png"]
    assert [name for name, _ in read(open_source("**/*.png"))] == ["1.png", "[1].png", "b.png", "sub/c.png"]
    assert [name for name, _ in read(open_source("[1].png"))] == ["[1].png"]  # a file first, then a pattern
    assert read(open_source(str(tmp_path / "sub" / "c.png"))) == [(str(tmp_path / "sub" / "c.png"), b"sub/c.png")]


def test_a_tar(tmp_path: Path):
    files = {"b/2.png": b"two", "1.jpg": b"one", "readme.txt": b"no", "b/2.jpg": bytes(5000), "empty.png": b""}
    source = open_source(str(tar_of(tmp_path / "a.tar", files)))
    expected = [(name, data) for name, data in files.items() if name != "readme.txt"]  # in the tar's own order
    assert read(source) == expected
    assert read(source, 1, 3) == expected[1:3]


@pytest.mark.parametrize("kind", ["folder", "glob", "tar", "parquet"])
def test_an_input_whose_name_is_not_utf_8(tmp_path: Path, kind: str):
    place = tmp_path / os.fsdecode(b"caf\xe9")
    fill(place, "a.png")
    tar_of(place / os.fsdecode(b"\xe9.tar"), {"a.png": b"a.png"})
    table = pa.table({"image": [b"a.png"]})
    with (place / os.fsdecode(b"\xe9.parquet")).open("wb") as file:
        pq.write_table(table, file)
    words = {"folder": place, "glob": place / "*.png"}.get(kind, place / os.fsdecode(b"\xe9." + kind.encode()))
    assert [data for _, data in read(open_source(str(words)))] == [b"a.png"]


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_a_source_can_be_sent_to_another_process_and_knows_its_pictures_again(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    files = fill(tmp_path / "folder", *(f"{i}.png" for i in range(9)))
    words = {"folder": "folder", "tar": "a.tar", "parquet": "a.parquet"}[kind]
    tar_of(tmp_path / "a.tar", files)
    pq.write_table(pa.table({"id": list(files), "image": list(files.values())}), "a.parquet")
    source = open_source(words)
    read(source, 0, 2)
    sent = pickle.loads(pickle.dumps(source))
    monkeypatch.chdir("/")  # where a worker may be
    assert read(sent) == [(name, data) for name, data in files.items()]
    monkeypatch.chdir(tmp_path)
    assert open_source(words).digest == source.digest
    later = tmp_path / words
    changed = later / "3.png" if later.is_dir() else later
    os.utime(changed, ns=(0, changed.stat().st_mtime_ns + 1))
    assert open_source(words).digest != source.digest


def test_a_folder_that_moved_or_grew(tmp_path: Path):
    fill(tmp_path / "old", "1.png", "2.png")
    digest = open_source(str(tmp_path / "old")).digest
    (tmp_path / "old").rename(tmp_path / "new")
    assert open_source(str(tmp_path / "new")).digest == digest
    fill(tmp_path / "new", "3.png")
    assert open_source(str(tmp_path / "new")).digest != digest


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    fill(tmp_path, "only/text.txt", "bad.tar", "bad.parquet", "a.png", "b.tar")
    tar_of(tmp_path / "a.tar.gz", {"a.png": b"x"}, "w:gz")
    tar_of(tmp_path / "zip.tar", {"a.png": b"x"}, "w:gz")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "none.parquet")
    for words, why in [
        ("empty", "empty holds no pictures"),
        ("only", "only holds no pictures"),
        ("none.parquet", "none.parquet holds no pictures"),
        ("nowhere", "nowhere: no such file or folder, and no file matches it"),
        ("*.bmp", "*.bmp: no such file or folder, and no file matches it"),
        ("nowhere.tar", "nowhere.tar: no such file"),
        ("bad.tar", "bad.tar is no tar that can be read, or is cut off ("),
        ("zip.tar", "zip.tar is no tar that can be read, or is cut off ("),
        ("bad.parquet", "bad.parquet is no parquet file that can be read ("),
        ("pipe.png", "pipe.png is a pipe, not a picture"),
        ("loop.png", "loop.png is a link that leads back to itself"),
        ("/dev/tty", "/dev/tty is a device, not a picture"),
        ("/proc/self/status", "/proc/self/status is empty (0 bytes)"),
        ("a" * 5000, "a" * 5000 + ": no such file"),
        ("a.tar.gz", "a.tar.gz is compressed"),
        ("*.tar", "*.tar: one tar or parquet file at a time"),
    ]:
        with pytest.raises(Refused) as caught:
            open_source(words)
        assert str(caught.value).startswith(why)
    with pytest.raises(Refused, match=r"--column is for a parquet file, got a\.png"):
        open_source("a.png", "image")


def test_a_loop_of_links_is_not_followed_by_a_glob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, "a.png", "sub/b.png", "sub/deep/c.png", ".hidden/d.png", "[x]/e.png")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "sub" / "self").symlink_to(tmp_path / "sub")
    (tmp_path / "linked").symlink_to(tmp_path / "sub" / "deep")
    everything = ["[x]/e.png", "a.png", "sub/b.png", "sub/deep/c.png"]
    for pattern, names in [
        ("**/*.png", everything),
        ("**", everything),
        ("**/**/*.png", everything),
        ("sub/**/*.png", ["sub/b.png", "sub/deep/c.png"]),
        ("**/deep/**", ["sub/deep/c.png"]),
        ("**/sub/**/c.*", ["sub/deep/c.png"]),
        ("*/c.png", ["linked/c.png"]),  # a link that is asked for
        ("linked/**", ["linked/c.png"]),
        (f"{glob.escape(str(tmp_path))}/**/b.png", [f"{tmp_path}/sub/b.png"]),
    ]:
        assert [picture.id for picture in open_source(pattern).read(0, 99)] == names
