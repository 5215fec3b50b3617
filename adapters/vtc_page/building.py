"""The folder of a page: our own files, two libraries, a model in the onnx-community layout, sample scenes.

index.html, page.css, *.js           the site, its modules of JavaScript
page.json                           what the page has to know of the model, the method and the scenes
lib/                                transformers.js, onnxruntime-web
model/                              as `vtc_onnx.export_folder` writes it, `keep` an input of the encoder
scenes/0.png, ...
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import vtc_tiny
from vtc_core import arguments
from vtc_core.methods import Method, VtcCls, method_of, refuse_without_prompt, spelled
from vtc_onnx import Report, export_folder

from . import libraries

ABOUT = "page.json"
SCENES = range(8)  # held out: the embedded model has never seen them
QUESTION = "vtc-question"  # stands for one while a prompt is made


class Page(NamedTuple):
    """What `build` wrote, in bytes; a browser loads all of it once."""

    path: Path
    encoder: Report  # of the vision encoder, as `export` returns it
    model: int
    wasm: int  # onnxruntime-web's
    rest: int  # transformers.js, the page itself, the scenes


def is_page(folder: Path) -> bool:
    return (folder / ABOUT).is_file()


def check_place(out: Path, overwrite: bool) -> None:
    """Refuse a folder that cannot or must not be written, before any work."""
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent} to write {out.name} to")
    if out.is_dir() and not any(out.iterdir()):
        return
    if os.path.lexists(out) and not is_page(out):
        raise FileExistsError(f"{out} is there already and is no page of vtc: name another")
    arguments.vacant(out, overwrite)


def build(
    source: str | Path,
    out: Path,
    keep: SupportsIndex,
    method: Method | str | Mapping[str, Any] = VtcCls(),  # noqa: B008, it is frozen
    *,
    quantize: str | None = None,
    overwrite: bool = False,
    progress: Callable[[str], object] = lambda step: None,
) -> Page:
    """Write the page of a LLaVA-1.5 to the folder `out`, as a whole or not at all. Needs npm, see `libraries`.

    Args:
        source: folder or hub id of a checkpoint. Its language model is taken from its folder onnx/, in the layout of
            onnx-community, the smallest of each part; where there is none it is exported in float32.
        out: the folder to be written; its parent exists.
        keep: where the slider stands at first.
        method, quantize: of the vision encoder, as in `vtc_onnx.export`; a method whose graph has `keep` as an input.
        overwrite: replace a page that is there. Nothing else is ever replaced.
        progress: is told each step, in words.

    Raises:
        ValueError, TypeError, OSError, RuntimeError, ImportError: as `export_folder`; also no npm, or a language model
            that is too large to be exported.
    """
    from . import language  # and with it torch, which serving does not need

    source, method = str(source), method_of(method)
    refuse_without_prompt(method, "the page encodes a picture before anything is asked")
    check_place(out, overwrite)
    out = out.resolve()  # what a link leads to is replaced, not the link
    libraries.find_npm()
    language.check(source)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
        work = Path(place) / "page"
        (work / "lib").mkdir(parents=True)
        (work / "scenes").mkdir()
        for file in resources.files("vtc_page").joinpath("site").iterdir():
            (work / file.name).write_bytes(file.read_bytes())
        model = work / "model"
        encoder = export_folder(
            source, model, keep, method, static_keep=False, weights=True, quantize=quantize, progress=progress
        ).encoder
        progress("writing the language model")
        language.complete(source, model)
        about = _about(source, model, encoder.tokens, int(keep), method)
        about |= {"files": language.files(model), "scenes": _write_scenes(work)}
        (work / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        progress("fetching transformers.js and onnxruntime-web with npm")
        libraries.copy(work / "lib")
        whole, of_model, of_wasm = (_size(work.glob(name)) for name in ("**/*", "model/**/*", "lib/*.wasm"))
        if out.exists():
            shutil.rmtree(out)
        os.replace(work, out)
    encoder = encoder._replace(path=out / encoder.path.relative_to(work))
    return Page(out, encoder, of_model, of_wasm, whole - of_model - of_wasm)


def _about(source: str, model: Path, tokens: int, keep: int, method: Method) -> dict[str, Any]:
    """What about.js reads first."""
    from transformers import AutoProcessor

    from vtc_cli.prompts import written
    from vtc_torch.configuration import read_config

    embedded = Path(source) == vtc_tiny.PATH
    processor = AutoProcessor.from_pretrained(model, trust_remote_code=False)
    (prompt,) = written(processor, read_config(source), source, [QUESTION])
    before, _, after = prompt.partition(QUESTION)
    return {
        "name": "The embedded LLaVA" if embedded else Path(source).name,
        "note": "It knows coloured shapes in small pictures only." if embedded else "",
        "tokens": tokens,
        "keep": keep,
        "method": spelled(method),
        "looks_at": method.looks_at,
        "prompt": [before, after],
        "image_token": processor.image_token,
    }


def _write_scenes(folder: Path) -> list[dict[str, Any]]:
    scenes = [vtc_tiny.scene(seed) for seed in SCENES]
    for scene in scenes:
        scene.image.save(folder / "scenes" / f"{scene.seed}.png")
    return [
        {
            "image": f"scenes/{scene.seed}.png",
            "shows": ", ".join(f"{thing.color} {thing.shape} {thing.place}" for thing in scene.objects),
            "questions": {question.text: question.answer for question in vtc_tiny.questions(scene)},
        }
        for scene in scenes
    ]


def _size(files: Any) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
