"""`vtc_bench.server`: it says why a server does not come up, and leaves nothing behind. The other tests use it."""

import subprocess
import sys
from pathlib import Path

import pytest
from servers import SMALL, left_behind

import vtc_tiny
from vtc_bench.server import overrides, vllm_server

# In the place of vLLM: a program that stops at once, and whose child is deaf to requests to stop.
DEAF = """
import subprocess
import sys

if sys.argv[1:] == ["child"]:
    import signal
    import time

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("deaf", flush=True)
    time.sleep(60)
    sys.exit()

child = subprocess.Popen([sys.argv[0], "child"], stdout=subprocess.PIPE)
print("it said", child.stdout.readline(), flush=True)
sys.exit(3)
"""


def test_a_server_that_refuses_its_settings_says_why():
    with (
        left_behind() as left,
        pytest.raises(
            RuntimeError, match=r"(?s)stopped with exit status 1; the end of its log:.*keep must be an integer"
        ),
        vllm_server(vtc_tiny.PATH, {"keep": 145}, *SMALL),
    ):
        pytest.fail("it came up")
    assert left() == []


def test_what_a_server_leaves_behind_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{DEAF}")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with (
        left_behind() as left,
        pytest.raises(RuntimeError, match=r"(?s)stopped with exit status 3; the end of its log:.*it said b'deaf"),
        vllm_server(vtc_tiny.PATH),
    ):
        pytest.fail("it came up")
    assert left() == []


def test_a_server_that_takes_too_long_is_stopped():
    with (
        left_behind() as left,
        pytest.raises(RuntimeError, match="did not answer for 2 s; the end of its log:"),
        vllm_server(vtc_tiny.PATH, None, *SMALL, patience=2),
    ):
        pytest.fail("it came up")
    assert left() == []


def test_a_process_left_behind_is_found():
    """Or the tests of that could not fail."""
    with left_behind() as left:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            assert left() == [f"{sys.executable} -c input()"]
        finally:
            child.communicate()
        assert left() == []


def test_overrides_keep_the_family():
    assert overrides(vtc_tiny.PATH, {"keep": 16}) == {
        "architectures": ["VtcLlavaForConditionalGeneration"],
        "vtc": {"keep": 16},
    }
