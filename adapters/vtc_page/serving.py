"""A server for one folder, to this machine alone."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# Only a page that shares memory with nobody else gets threads for its WebAssembly.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # kept, but asked for: the folder may have been written anew
}


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",  # whatever this machine's own tables say
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a page asks for a dozen files."""


def serve(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of `folder` at 127.0.0.1, bound and not yet running: `serve_forever` runs it, also in a thread.

    Args:
        port: 0 takes a free one, `server_port` says which.

    Raises:
        OSError: the port is taken or not ours to take.
    """
    return ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(folder)))
