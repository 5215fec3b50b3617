"""What every method keeps of one scene, drawn by what `vtc show` draws with."""

import io
from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.figure import Figure

import vtc_llava
import vtc_tiny
from vtc_core.methods import METHODS, Method
from vtc_llava.canvas import Kept, one_tile
from vtc_llava.drawing import Drawing, draw_kept, kept_figure, panel, scores_label

KEEP, SCENE = 16, 2  # one token in nine, of a scene held out of training
QUESTION = "what color is the star ?"
SIDE = 1.6  # inches of a small picture


def possible(kind: type[Method]) -> bool:
    """Whether the embedded model has all that a method needs."""
    return "text_embeds" not in kind.needs


def all_methods() -> Iterator[tuple[str, bytes]]:
    """Names and PNGs: of each method one as `vtc show` has it, and a small one of the kept patches."""
    torch.set_num_threads(1)
    model, processor = vtc_tiny.load()
    scene = vtc_tiny.scene(SCENE)
    prompt = f"{processor.image_token} {QUESTION}"
    for name, kind in METHODS.items():
        if not possible(kind):
            continue
        with vtc_llava.patch(model, processor, KEEP, method=kind()) as handle, torch.inference_mode():
            model(**processor(images=scene.image, text=prompt, return_tensors="pt"))
            assert handle.last is not None
            indices, scores = handle.last.indices[0].numpy(), handle.last.scores[0].numpy()
            weights = handle.weights(0).numpy()
            kept = Kept(np.asarray(scene.image), indices, scores, weights)
            label = scores_label(kind(), handle.walk.layers)
        canvas = one_tile(kept)
        title = f"{name}: {len(weights)} of {len(kept.scores)} visual tokens"
        yield name, _png(kept_figure(canvas, title, label, len(weights), len(kept.scores)), dpi=75)
        small = Drawing(figsize=(SIDE, SIDE), dpi=100)
        axes = panel(small, 0, 0, SIDE, SIDE)
        axes.set_axis_off()
        draw_kept(axes, canvas)
        yield f"{name}-kept", _png(small, dpi=100)


def _png(figure: Figure, dpi: int) -> bytes:
    figure.savefig(file := io.BytesIO(), format="png", dpi=dpi)
    return file.getvalue()
