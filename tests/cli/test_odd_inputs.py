"""Names and files that nobody expects: pipes, devices, loops, PostScript, control characters; nothing waits or runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import EpsImagePlugin
from small_models import picture

from vtc_cli.errors import BadUsage
from vtc_cli.pictures import open_picture
from vtc_encode import open_source
from vtc_pictures import Unreadable, kinds, read_picture, short, visible

from .running import Vtc

OPENED = """
import pathlib, sys
from vtc_cli.pictures import open_picture
print(open_picture(pathlib.Path(sys.argv[1])).size)
"""
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(written) (w) file closefile {} loop\n%%EOF\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    "words",
    [
        '- < "$PHOTO"',
        '/dev/stdin < "$PHOTO"',
        'cat "$PHOTO" | %s -',
        'cat "$PHOTO" | %s /dev/stdin',
        '<(cat "$PHOTO")',
        '<(sleep 0.3; cat "$PHOTO")',
    ],
)
def test_pipes(photo: Path, words: str):
    command = f"'{sys.executable}' -c '{OPENED}'"
    line = words % command if "%s" in words else f"{command} {words}"
    done = subprocess.run(
        ["bash", "-c", line], env=os.environ | {"PHOTO": str(photo)}, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("(64, 48)\n", "")


def test_standard_input_with_nothing_on_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(BadUsage, match=r"^- is a picture on standard input, and nothing is sent there"):
        open_picture(Path("-"))


def test_a_pipe_that_nobody_writes_to_is_no_reason_to_wait(vtc: Vtc, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    for words in (["ask", "pipe.png", "what ?"], ["show", "pipe.png"]):
        result = vtc(*words)
        assert (result.exit_code, result.stderr) == (2, "vtc: pipe.png is empty (0 bytes)\n")
    result = vtc("encode", "pipe.png", "out")
    assert (result.exit_code, result.stderr) == (2, "vtc: pipe.png is a pipe, not a picture\n")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/dev/null", "is a device, not a picture"),
        ("/proc/self/status", "is empty (0 bytes)"),
        ("/proc/self/mem", "is empty (0 bytes)"),
        ("/proc/kmsg", "is empty (0 bytes)"),  # to read it is to wait
        ("loop.png", "is a link that leads back to itself"),
        ("n" * 300, "is too long for the name of a file"),
        ("d/" * 4000 + "a.png", "is too long for the name of a file"),
        (os.fsdecode(b"caf\xe9\x1b[31m.png"), "is not there"),
    ],
)
def test_names_that_are_no_pictures_are_2_and_one_line(vtc: Vtc, tmp_path: Path, name: str, why: str):
    (tmp_path / "loop.png").symlink_to("loop.png")
    if name.startswith("/proc") and not Path(name).exists():
        pytest.skip("no such file on this system")
    for words in (["ask", name, "what ?"], ["show", name]):
        result = vtc(*words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"vtc: {short(name)} {why}\n"
        assert len(result.stderr) < 500
        assert "\x1b" not in result.stderr
    result = vtc("encode", name, "out")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["show", "photo.jpg", "--out", "N.png"],
        ["encode", "photo.jpg", "N"],
        ["ask", "photo.jpg", "what ?", "--model", "N"],
    ],
)
@pytest.mark.parametrize("name", ["n" * 300, "n/" * 3000 + "n", "loop"])
def test_other_places_with_such_names(vtc: Vtc, photo: Path, tmp_path: Path, words: list[str], name: str):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop.png").symlink_to("loop.png")
    result = vtc(*(word.replace("N", name) for word in words))
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    assert result.stderr.splitlines()[-1].startswith("vtc: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["a.png", "a.eps", "a.jpg", "a"])
def test_postscript_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """Not even looked at by Pillow's reader of it, which hands it to Ghostscript."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("this would have been run")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", never)
    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", never)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(EPS)
    why = "is PostScript, which cannot be read here: convert it to PNG or JPEG"
    with pytest.raises(BadUsage, match=why):
        open_picture(tmp_path / "in" / name)
    for words in (tmp_path / "in", tmp_path / "in" / "*"):
        (found,) = open_source(str(words)).read(0, 1)
        with pytest.raises(Unreadable), found.open() as file:
            read_picture(file)


def test_formats_that_run_programs_are_not_among_those_that_are_read():
    assert not {"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR"} & set(kinds.formats())
    assert {"PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM"} <= set(kinds.formats())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, café, 猫, 👍, ½", "plain text, café, 猫, 👍, ½"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("bell\a, back\b, null\0, delete\x7f, C1 \x9b", r"bell\x07, back\x08, null\x00, delete\x7f, C1 \x9b"),
        ("line\nend\r\n\ttab\v\f\x85\u2028\u2029", r"line\nend\r\n\ttab\x0b\x0c\x85\u2028\u2029"),
        ("gnp.\u202etxt\u2066 \u200f\ufeff", r"gnp.\u202etxt\u2066 \u200f\ufeff"),
        (os.fsdecode(b"caf\xe9\xff"), r"caf\xe9\xff"),
        ("half \ud800 a letter", r"half \ud800 a letter"),
        (Path("a\nb"), r"a\nb"),
    ],
)
def test_what_a_terminal_is_shown(text: object, shown: str):
    assert visible(text) == shown
    assert visible(shown) == shown
    shown.encode()


def test_long_names_are_shortened_in_the_middle():
    assert short("a" * 300) == "a" * 300
    assert short("a" * 5000 + "b" * 5000) == "a" * 150 + " ... " + "b" * 150


def test_a_name_of_control_characters_through_a_whole_run(vtc: Vtc, checkpoint: Path, tmp_path: Path):
    """Of pictures, folders, tables and titles."""
    name = os.fsdecode(b"caf\xe9 \x1b]0;owned\a[red]$\\frac{$.png")
    folder = tmp_path / "in\x1b[2J[bold]"
    folder.mkdir()
    picture(0).save(folder / name)
    (folder / f"empty{name}").touch()
    shown = vtc("show", folder / name, "--model", checkpoint, "--out", tmp_path / f"out{name}")
    assert shown.exit_code == 0, shown.output
    encoded = vtc("encode", folder, f"features{name}", "--model", checkpoint)
    assert encoded.exit_code == 0, encoded.output
    again = vtc("encode", folder, f"features{name}", "--model", checkpoint)
    assert "1 of 1 shards are there already" in again.stderr
    for result in (shown, encoded, again):
        assert not {"\x1b", "\a"} & set(result.output)
        result.output.encode()
    assert r"emptycaf\xe9 \x1b]0;owned\x07[red]$\frac{$.png is empty" in encoded.stdout
