"""`vtc ask`: one question about one picture, and what it cost."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import typer
from PIL import Image

from vtc_core.methods import Method
from vtc_core.stages import Stage
from vtc_pictures import visible

from . import answering, models, progress


def run(
    picture: Image.Image,
    question: str,
    model: str | None,
    method: Method,
    *,
    keep: int | None,
    total: int | None,
    stages: Sequence[Stage],
    max_new_tokens: int,
    device: str,
    dtype: str,
) -> None:
    """Print the answer, the tokens spent, and the seconds of encoder and language model."""
    place = models.pick_device(device)
    plan = models.plan(model, keep, method, all_tokens=bool(stages) and total is None)
    llava, processor, prompt = models.load_llava(plan, keep, total, question, place, dtype, stages)
    with progress.without_chatter(), progress.waiting("answering"):
        inputs = answering.inputs_of_prompts(llava, processor, [picture], [prompt])
        with stopwatch(llava) as seconds:
            ids = answering.generate(llava, inputs, max_new_tokens)
    typer.echo(visible(answering.decoded(processor, ids)[0]))
    cost = llava.vtc.describe(*picture.size)
    typer.echo(plan.spent(cost.tokens_after, cost.tokens_before, total))
    if stages:
        typer.echo(f"language model: {cost.left}")
    spent = ", ".join(f"{part} {seconds[part]:.3f} s" for part in ("encoder", "language model"))
    typer.echo(f"{spent} ({ids.shape[1]} new tokens; {place.type}, {str(llava.dtype).removeprefix('torch.')})")


@contextmanager
def stopwatch(model: Any) -> Iterator[dict[str, float]]:
    """Seconds of a patched model's encoder (vision tower and projector) and of everything else, filled at the end."""

    def now() -> float:
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        return time.perf_counter()

    spans: list[list[float]] = []  # from the tower's first part to the last of the projector's calls
    seconds: dict[str, float] = {}

    def start(*_: Any) -> None:
        spans.append([now()] * 2)

    def end(*_: Any) -> None:
        spans[-1][1] = now()

    hooks = [
        model.vtc.tower().embeddings.register_forward_pre_hook(start),
        model.model.multi_modal_projector.register_forward_hook(end),
    ]
    begin = now()
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()
    seconds["encoder"] = sum(end - start for start, end in spans)
    seconds["language model"] = now() - begin - seconds["encoder"]
