"""One key of a checkpoint's JSON files is another, seeded: an answer or one line, soon, and nothing half-written."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

MANY = int(os.environ.get("VTC_FUZZ", "40"))  # changed checkpoints; more of them for a long run
SECONDS = 10  # the longest that a command may take
GONE: Any = object()
VALUES = [None, -1, 0, 1, 10**9, 0.5, float("nan"), "x", [], {}, True, [1], "../../etc/passwd", GONE]
TEMPLATE = "USER: <image> {% for part in messages[0].content %}{{ part.text }}{% endfor %} ASSISTANT:"
COMMANDS = [
    ["ask", "photo.jpg", "what ?", "--model", "F", "--max-new-tokens", "2"],
    ["show", "photo.jpg", "--model", "F"],
    ["encode", "photo.jpg", "out", "--model", "F"],
]
WORK = ("not finite",)  # what code 1 is for here: numbers that nobody can know before they are computed


def places(settings: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of nested objects and lists, by the keys that lead there."""
    items = (
        settings.items() if isinstance(settings, dict) else enumerate(settings) if isinstance(settings, list) else ()
    )
    for key, inner in items:
        yield (*at, key)
        yield from places(inner, (*at, key))


def changed(settings: Any, place: tuple[Any, ...], value: Any) -> Any:
    made = inner = json.loads(json.dumps(settings))
    for key in place[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return made


@pytest.fixture
def soon() -> Iterator[None]:
    def late(*_: object) -> None:
        pytest.fail(f"it took more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("photo", "soon")
@pytest.mark.parametrize("seed", range(MANY))
def test_one_key_is_another(vtc: Callable[..., Result], checkpoint: Path, tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    folder = tmp_path / "F"
    shutil.copytree(checkpoint, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    file = sorted(folder.glob("*.json"))[seed % 5]
    settings = json.loads(file.read_text())
    every = list(places(settings))
    place, value = every[rng.integers(len(every))], VALUES[rng.integers(len(VALUES))]
    file.write_text(json.dumps(changed(settings, place, value)))
    said = f"{file.name}: {'.'.join(map(str, place))} is {'gone' if value is GONE else repr(value)}"
    for words in COMMANDS:
        signal.alarm(SECONDS)
        result = vtc(*words)
        signal.alarm(0)
        assert "Traceback" not in result.output, said
        if result.exit_code:
            assert result.exit_code == 2 or any(work in result.stderr for work in WORK), f"{said}: {result.stderr}"
            assert (result.stdout, result.stderr.count("\n")) == ("", 1), f"{said}: {result.stderr}"
            assert not {"out", "kept.png"} & {path.name for path in tmp_path.iterdir()}, said
        for path in (tmp_path / "kept.png", tmp_path / "out"):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
