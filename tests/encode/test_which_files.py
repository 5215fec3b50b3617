"""Which files of an INPUT are pictures: by their names, by how they begin, by what is installed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtc_encode import open_source
from vtc_pictures import kinds, read_picture

from .sourcing import fill, refusals, tar_of


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
