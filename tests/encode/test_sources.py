"""What an INPUT is taken to hold, in which order, and from any position."""

import glob
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vtc_encode import Refused, open_source
from vtc_encode.sources import Source
from vtc_pictures import Unreadable, kinds, read_picture


def read(source: Source, start: int = 0, stop: int | None = None) -> list[tuple[str, bytes]]:
    found = []
    for picture in source.read(start, source.count if stop is None else stop):
        with picture.open() as file:
            found.append((picture.id, file.read()))
    return found


def refusals(source: Source) -> dict[str, str | None]:
    """Of every picture, why it cannot be opened."""
    found: dict[str, str | None] = {}
    for picture in source.read(0, source.count):
        try:
            picture.open().close()
            found[picture.id] = None
        except Unreadable as error:
            found[picture.id] = str(error)
    return found


def fill(folder: Path, *names: str) -> dict[str, bytes]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return {name: name.encode() for name in names}


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # pyright: ignore
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


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


def test_null_in_a_parquet_file(tmp_path: Path):
    pq.write_table(pa.table({"image": pa.array([None, b"x"], pa.binary())}), tmp_path / "a.parquet")
    null, _ = open_source(str(tmp_path / "a.parquet")).read(0, 2)
    with pytest.raises(Unreadable, match="is null"):
        null.open()


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


def test_what_looks_like_a_picture_is_listed_and_the_rest_counted(tmp_path: Path):
    heic = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"
    files = {
        "a.png": b"a",
        "b.svg": b"<svg/>",
        "c.CR2": b"II*\0",
        "d.jxl": b"",
        "e.eps": b"%!PS",
        "f.jpg.part": b"\xff\xd8\xff\xe0 half of it",
        "g": b"\x89PNG\r\n\x1a\n",
        "h.dat": heic,
        "i.bin2": b"<?xml version='1.0'?><!-- drawn --><svg xmlns='x'>",
        "j.webp_": b"RIFF\0\0\0\0WEBPVP8 ",
        "k.tmp": b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0",
        "notes": b"BMW and P6 are no pictures",
        "labels.json": b"\x89PNG\r\n\x1a\n",  # its suffix says what it is
        "film.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        "readme": b"",
        ".hidden": b"\xff\xd8\xff",
    }
    for name, data in files.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    folder, tar = open_source(str(tmp_path / "in")), open_source(str(tar_of(tmp_path / "a.tar", files)))
    renamed = "is not named as pictures are, though it begins as one: rename it if it is whole"
    expected = {
        "a.png": None,
        "b.svg": "is SVG, which cannot be read here: convert it to PNG or JPEG",
        "c.CR2": "is a camera's raw file, which cannot be read here: convert it to PNG or JPEG",
        "d.jxl": "is JPEG XL, which cannot be read here: convert it to PNG or JPEG",
        "e.eps": "is PostScript, which cannot be read here: convert it to PNG or JPEG",
        **{name: renamed for name in ("f.jpg.part", "g", "h.dat", "i.bin2", "j.webp_", "k.tmp")},
    }
    assert refusals(folder) == refusals(tar) == expected
    assert folder.others == tar.others == 4


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kinds, "formats", lambda: ("PNG", "JPEG", "TIFF"))


@pytest.mark.usefixtures("without_heif")
def test_what_to_install_is_said(tmp_path: Path):
    fill(tmp_path, "a.heic", "b.HIF", "c.avif")
    why = "which cannot be read here: pip install 'vtc-cls[heif]'"
    assert refusals(open_source(str(tmp_path))) == {
        "a.heic": f"is HEIC, {why}",
        "b.HIF": f"is HEIC, {why}",
        "c.avif": f"is AVIF, {why}",
    }


@pytest.mark.parametrize(("kind", "needs"), [("HEIF", "pillow_heif"), ("AVIF", None)])
def test_heic_and_avif_are_read_where_they_can_be(tmp_path: Path, kind: str, needs: str | None):
    if needs:
        pytest.importorskip(needs)
    if kind not in kinds.formats():
        pytest.skip(f"this Pillow has no {kind}")
    path = tmp_path / f"a.{kind.lower()}"
    Image.new("RGB", (64, 48), "red").save(path, kind)
    (picture,) = open_source(str(tmp_path)).read(0, 1)
    with picture.open() as file:
        made = read_picture(file)
    assert made.size == (64, 48)
    assert np.abs(np.asarray(made).astype(int) - (255, 0, 0)).max() <= 3
