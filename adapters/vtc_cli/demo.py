"""`vtc demo`: the embedded model answers questions about scenes it never saw, with all and with few visual tokens."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

import vtc_llava
import vtc_tiny
from vtc_core.methods import Method
from vtc_pictures import visible

from . import answering, models, progress
from .drawing import Answered, Kept, demo_figure, marked, scores_label
from .errors import BadUsage
from .pictures import write_whole

LONGEST = 4  # tokens of an answer: two words ("bottom right"), its end, and one to see it go on


def demo(out: Path, scenes: int, keep: int | None, method: Method, seed: int) -> None:
    """Print a table of all answers, and write one PNG."""
    seeds = range(seed, seed + scenes)
    if seeds[-1] not in vtc_tiny.HELD_OUT_SEEDS:
        raise BadUsage(f"--seed must be in [0, {vtc_tiny.HELD_OUT_SEEDS[-scenes]}] (scenes held out), got {seed}")
    plan = models.plan(str(vtc_tiny.PATH), keep, method)
    with models.loading(plan.source):
        model, processor = vtc_tiny.load()
    rows, handle = compare(model, processor, [vtc_tiny.scene(number) for number in seeds], plan)
    asked = [answered for _, answers in rows for answered in answers]
    verdict = (
        f"right answers: {sum(a.all_tokens == a.truth for a in asked)} of {len(asked)} with all {plan.tokens} tokens, "
        f"{sum(a.few_tokens == a.truth for a in asked)} of {len(asked)} with"
    )
    title = f"The embedded LLaVA with {plan.keep} of its {plan.tokens} visual tokens ({method.name})"
    figure = demo_figure(
        rows,
        title=title,
        subtitle=f"{verdict} {plan.keep}; scenes never seen in training",
        scores_label=scores_label(method, handle.walk.layers),
    )
    write_whole(out, partial(figure.savefig, format="png"))
    console = Console()
    console.print(title, style="bold", highlight=False)
    console.print(_table(seeds, [answers for _, answers in rows], plan))
    typer.echo(f"{verdict} {plan.counted}")
    typer.echo(visible(out))


def compare(
    model: Any, processor: Any, scenes: Sequence[vtc_tiny.Scene], plan: models.Plan
) -> tuple[list[tuple[Kept, list[Answered]]], vtc_llava.Handle]:
    """For each scene what was kept, and all of its questions answered before and after `patch`."""
    with progress.without_chatter(), progress.bar("answering", 2 * len(scenes)) as step:
        before = [step(_answers(model, processor, scene)) for scene in scenes]
        rows = []
        with vtc_llava.patch(model, processor, plan.keep, method=plan.method) as handle:
            for scene, all_tokens in zip(scenes, before, strict=True):
                few_tokens = step(_answers(model, processor, scene))
                given = zip(vtc_tiny.questions(scene), all_tokens, few_tokens, strict=True)
                rows.append((_kept(handle, scene), [Answered(q.text, q.answer, *both) for q, *both in given]))
    return rows, handle


def _answers(model: Any, processor: Any, scene: vtc_tiny.Scene) -> list[str]:
    """To all questions of a scene, in one batch."""
    questions = [question.text for question in vtc_tiny.questions(scene)]
    inputs = answering.encode(model, processor, [scene.image] * len(questions), questions)
    return answering.words(processor, answering.generate(model, inputs, LONGEST))


def _kept(handle: vtc_llava.Handle, scene: vtc_tiny.Scene) -> Kept:
    """What the last call kept: the same for each of its questions, so the first will do."""
    assert handle.last is not None
    indices, scores = handle.last.indices[0].numpy(), handle.last.scores[0].numpy()
    return Kept(np.asarray(scene.image), indices, scores, handle.weights(0).numpy())


def _table(seeds: range, scenes: Sequence[Sequence[Answered]], plan: models.Plan) -> Table:
    """Narrow enough for 80 columns."""
    question = Column("question", no_wrap=True)
    headings = ("truth", f"all {plan.tokens} tokens", f"{plan.keep} tokens")
    table = Table(question, *headings, box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for seed, answers in zip(seeds, scenes, strict=True):
        table.add_row(f"[dim]scene {seed}[/]")
        for answered in answers:
            cells = [_colored(answer, answered.truth) for answer in (answered.all_tokens, answered.few_tokens)]
            table.add_row(answered.question, answered.truth, *cells)
        table.add_section()
    return table


def _colored(answer: str, truth: str) -> str:
    return f"[{'green' if answer == truth else 'red'}]{escape(marked(answer, truth))}[/]"
