"""`vtc page`: refusals in one line before any work, and what it says."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import vtc_page
import vtc_tiny
from vtc_cli.app import app
from vtc_onnx import Report


@pytest.fixture
def vtc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["page", *map(str, words)], prog_name="vtc")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list:
    """What would be served, for ever."""
    calls = []
    serve = vtc_page.serve

    def once(folder, port):
        server = serve(folder, port)
        monkeypatch.setattr(server, "serve_forever", lambda: calls.append(folder))
        return server

    monkeypatch.setattr(vtc_page, "serve", once)
    return calls


def test_refusals(vtc, npm: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.json").touch()
    for words, message in [
        (["mine"], "mine is there already and is no page of vtc: name another"),
        (["page"], "page is there already: --overwrite replaces it"),
        (["nowhere/page"], "there is no folder nowhere to write page to"),
        (["page", "--serve", "--keep", 3], "page is there already and is served as it is: --overwrite writes it anew"),
        (["new", "--method", "nonsense"], "method must be one of"),
        (["new", "--model", vtc_tiny.PATH, "--keep", 145], "keep must be an integer in [1, 144] (the number of patch"),
        (["new", "--model", vtc_tiny.PATH, "--method", "tome"], "method 'tome' can be exported with a fixed keep only"),
        (["new", "--model", tmp_path], f"--model {tmp_path} is a folder without a config.json"),
        (["new", "--port", 70000], "Invalid value for '--port'"),
    ]:
        result = vtc(*words)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert result.stderr.startswith(f"vtc: {message}"), result.stderr
        assert result.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_it_says_what_was_written_and_serves_it(vtc, served: list, monkeypatch):
    asked = []

    def build(source, out, keep, method, **options):
        asked.append((source, keep, options["quantize"], options["overwrite"]))
        return vtc_page.Page(out, Report(out, 0, 144, 0.0, 1.0, 1.0), 5_000_000, 26_000_000, 900_000)

    monkeypatch.setattr(vtc_page, "build", build)
    result = vtc("page", "--serve", "--port", 0, "--quantize", "int8")
    assert result.exit_code == 0, result.output
    assert asked == [(str(vtc_tiny.PATH), 16, "int8", False)]
    first, *sizes, address = result.stdout.splitlines()
    assert first == "page: 16 of 144 visual tokens (1/9, as --keep is not given)"
    assert [line.split()[-2:] for line in sizes] == [["5.00", "MB"], ["26.00", "MB"], ["0.90", "MB"]]
    assert address.startswith("http://127.0.0.1:")
    assert served == [Path("page")]


def test_a_page_that_is_there_is_served_as_it_is(vtc, served: list, tmp_path: Path, monkeypatch):
    monkeypatch.delattr(vtc_page, "build")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.json").touch()
    result = vtc("page", "--serve", "--port", 0)
    assert result.exit_code == 0, result.output
    assert served == [Path("page")]


def test_a_port_that_is_taken(vtc, tmp_path: Path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.json").touch()
    with vtc_page.serve(tmp_path, 0) as server:
        result = vtc("page", "--serve", "--port", server.server_port)
    assert result.exit_code == 2
    assert result.stderr == f"vtc: --port {server.server_port} cannot be served on: Address already in use\n"
