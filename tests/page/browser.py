"""The page in a real browser: what it shows is what PyTorch answers, whatever people do.

Not collected by a bare `pytest`, as it needs Node, a package from npm and Chromium (Debian's: `apt install chromium`).
Where it runs, all must be there. Screenshots are left where pytest says.

    npm ci --prefix tests/page
    python -m pytest -q tests/page/browser.py
"""

import functools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

import vtc_llava
import vtc_page
import vtc_tiny
from vtc_cli import answering

HERE = Path(__file__).parent
KEEP, BUDGETS, TOKENS = 16, (16, 48, 144), 144
SWEEP = (3, "where is the cross ?", (4, 8, 16, 24, 32, 48, 96))  # scene, question, budgets: five answers
LONGEST = 64  # tokens, as model.js has it


def answers(scene: vtc_tiny.Scene, questions: list[str], keep: int, method: str = "vtc-cls") -> tuple[list[str], Any]:
    """PyTorch's, and what was kept for them."""
    model, processor = vtc_tiny.load()
    handle = vtc_llava.patch(model, processor, keep, method=method)
    inputs = answering.inputs_of(model, processor, [scene.image] * len(questions), questions)
    made = answering.decoded(processor, answering.generate(model, inputs, LONGEST))
    return [text or "(nothing)" for text in made], handle


def expected() -> dict[str, Any]:
    scenes = []
    for seed in range(8):
        scene = vtc_tiny.scene(seed)
        questions = [question.text for question in vtc_tiny.questions(scene)]
        by_budget = {keep: answers(scene, questions, keep) for keep in BUDGETS}
        last = by_budget[KEEP][1].last
        rows = zip(*(by_budget[keep][0] for keep in BUDGETS), strict=True)
        scenes.append({
            "kept": last.indices[0].tolist(),
            "brightest": int(last.scores[0].argmax()),
            "answers": {q: dict(zip(BUDGETS, row, strict=True)) for q, row in zip(questions, rows, strict=True)},
        })  # fmt: skip
    seed, question, budgets = SWEEP
    sweep = {keep: answers(vtc_tiny.scene(seed), [question], keep)[0][0] for keep in budgets}
    assert len(set(sweep.values())) >= 4, "or a stale answer would be a right one"
    _, processor = vtc_tiny.load()
    prompt = len(processor.tokenizer(answering.prompt(processor, question))["input_ids"]) - 1
    _, handle = answers(vtc_tiny.scene(0), [question], KEEP, "visionzip")
    merged, indices = (handle.weights(0) != 0).any(0), handle.last.indices[0]
    merged[indices[indices >= 0]] = False  # -1 is no patch
    return {
        "scenes": scenes,
        "sweep": {"scene": seed, "question": question, "answers": sweep, "prompt": prompt},
        "merging": {"keep": KEEP, "merged": int(merged.sum())},
    }


def write_files(folder: Path) -> None:
    """Pictures that are none, or odd."""
    scenes = [vtc_tiny.scene(seed).image for seed in range(3)]
    for name in ("notes.txt", "text.png", "<img src=x onerror=alert(1)>.txt"):
        (folder / name).write_text("no picture")
    (folder / "empty.jpg").touch()
    Image.new("1", (8000, 8000)).save(folder / "huge.png")
    Image.new("RGB", (1500, 1)).save(folder / "thin.png")
    for name in ("spin.gif", "spin.png", "spin.webp"):
        scenes[0].save(folder / name, save_all=True, append_images=scenes[1:], duration=100, lossless=True)
    scenes[0].save(folder / "still.gif")
    photo = Image.new("RGB", (1200, 800), "red")
    photo.paste("blue", (600, 0, 1200, 800))
    photo.save(folder / "photo.jpg", exif=turned())
    clear = Image.new("RGBA", (200, 100), (255, 0, 0, 0))
    clear.save(folder / "clear.png")


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    return exif


@contextmanager
def running(server: HTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Plain(SimpleHTTPRequestHandler):
    """Any web server: no headers of ours."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_the_page_in_chromium(tmp_path: Path):
    chromium = shutil.which("chromium")
    assert chromium, "apt install chromium"
    sizes = vtc_page.build(vtc_tiny.PATH, tmp_path / "page", KEEP)
    assert sizes.model + sizes.rest < 15e6
    vtc_page.build(vtc_tiny.PATH, tmp_path / "merging", KEEP, "visionzip")
    for folder in ("files", "screenshots"):
        (tmp_path / folder).mkdir()
    write_files(tmp_path / "files")
    plain = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Plain, directory=str(tmp_path / "page")))
    page, merging = (vtc_page.serve(tmp_path / name, 0) for name in ("page", "merging"))
    with running(page) as a, running(plain) as b, running(merging) as c:
        known = {
            "chromium": chromium,
            "urls": {"page": a, "plain": b, "merging": c},
            "files": str(tmp_path / "files"),
            "screenshots": str(tmp_path / "screenshots"),
            "expected": expected(),
        }
        (tmp_path / "pages.json").write_text(json.dumps(known))
        tests = [str(file) for file in sorted(HERE.glob("*.test.mjs"))]
        command = ["node", "--test", "--test-concurrency=1", "--test-reporter=spec", *tests]
        environment = os.environ | {"PAGES": str(tmp_path / "pages.json")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=540)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
