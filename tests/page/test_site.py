"""The files of the page, and the server: small, strict, to this machine alone."""

import http.client
import re
import threading
from importlib import resources
from pathlib import Path

import pytest

import vtc_page

SITE = {file.name: file.read_text() for file in resources.files("vtc_page").joinpath("site").iterdir()}
SCRIPT = "\n".join(text for name, text in SITE.items() if name.endswith(".js"))


def test_few_files_of_under_500_lines_in_all():
    assert {name for name in SITE if not name.endswith(".js")} == {"index.html", "page.css"}
    assert sum(len(text.splitlines()) for text in SITE.values()) < 500
    assert max(len(line) for line in SCRIPT.splitlines()) <= 200


def test_what_a_module_imports_comes_with_the_page():
    assert {name for name in re.findall(r'from "./(.*?)"', SCRIPT)} <= {*SITE, "lib/transformers.min.js"}


def test_nothing_is_loaded_from_elsewhere_and_words_are_never_html():
    assert not re.search(r"\b(https?|wss?):", "".join(SITE.values()))
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert word not in SCRIPT


def test_the_policy_lets_scripts_and_connections_stay_at_home():
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', SITE["index.html"])
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'none'"]
    assert set(rules["script-src"]) == {"'self'", "'wasm-unsafe-eval'", "blob:"}
    assert {source for sources in rules.values() for source in sources} <= {
        "'none'", "'self'", "'wasm-unsafe-eval'", "blob:", "data:"
    }  # fmt: skip


def test_every_control_has_a_label():
    html = SITE["index.html"]
    controls = re.findall(r"<(?:input|select|textarea)\b[^>]*\bid=\"(\w+)\"", html)
    assert controls == ["file", "keep", "question"]
    assert set(re.findall(r'<label for="(\w+)"', html)) == set(controls)


@pytest.fixture
def server(tmp_path: Path):
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "page").mkdir()
    for name in ("a.js", "a.mjs", "a.wasm", "a.html"):
        (tmp_path / "page" / name).write_text(name)
    with vtc_page.serve(tmp_path / "page", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(*server.server_address)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_the_server_sends_what_threads_need_and_types_that_browsers_take(server):
    assert server.server_address[0] == "127.0.0.1"
    for name, kind in [("a.js", "text/javascript"), ("a.mjs", "text/javascript"), ("a.wasm", "application/wasm")]:
        response = get(server, f"/{name}")
        assert (response.status, response.headers["Content-Type"]) == (200, kind)
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/a/../../secret.txt", "//secret.txt"]
)
def test_nothing_beside_the_folder_is_served(server, path):
    assert get(server, path).status == 404
