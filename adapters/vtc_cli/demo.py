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
from vtc_llava.canvas import Kept
from vtc_pictures import visible

from . import answering, models, progress
from .drawing import Answered, Row, demo_figure, marked
from .errors import BadUsage
from .pictures import write_whole

LONGEST = 4  # tokens of an answer: two words ("bottom right"), its end, and one to see it go on


def run(out: Path, scenes: int, keep: int | None, methods: Sequence[Method], seed: int) -> None:
    """Print a table of all answers, and write one PNG."""
    seeds = range(seed, seed + scenes)
    if seeds[-1] not in vtc_tiny.HELD_OUT_SEEDS:
        raise BadUsage(f"--seed must be in [0, {vtc_tiny.HELD_OUT_SEEDS[-scenes]}] (scenes held out), got {seed}")
    plans = [models.plan(str(vtc_tiny.PATH), keep, method) for method in methods]
    plan, names = plans[0], [method.name for method in methods]
    with models.loading(plan.source):
        model, processor = vtc_tiny.load()
    rows = compare(model, processor, [vtc_tiny.scene(number) for number in seeds], plans)
    asked = [answered for row in rows for answered in row.answers]
    right = [sum(a.few_tokens[i] == a.truth for a in asked) for i in range(len(methods))]
    by_method = ", ".join(f"{count} by {name}" for count, name in zip(right, names, strict=True))
    verdict = (
        f"right answers: {sum(a.all_tokens == a.truth for a in asked)} of {len(asked)} with all {plan.tokens} tokens; "
        f"{by_method} with"
    )
    title = f"The embedded LLaVA with {plan.keep} of its {plan.tokens} visual tokens"
    figure = demo_figure(rows, title, f"{verdict} {plan.keep}; scenes never seen in training", names)
    write_whole(out, partial(figure.savefig, format="png"))
    console = Console()
    console.print(title, style="bold", highlight=False)
    console.print(_table(seeds, rows, plan, names))
    typer.echo(f"{verdict} {plan.counted}")
    typer.echo(visible(out))


def compare(model: Any, processor: Any, scenes: Sequence[vtc_tiny.Scene], plans: Sequence[models.Plan]) -> list[Row]:
    """For each scene what each method kept, and all of its questions answered before `patch` and under each."""
    answers: list[list[list[str]]] = [[] for _ in scenes]
    kept: list[list[Kept]] = [[] for _ in scenes]
    with progress.without_chatter(), progress.bar("answering", (1 + len(plans)) * len(scenes)) as step:
        for number, scene in enumerate(scenes):
            answers[number].append(step(_answers(model, processor, scene)))
        for plan in plans:
            with vtc_llava.patch(model, processor, plan.keep, method=plan.method) as handle:
                for number, scene in enumerate(scenes):
                    answers[number].append(step(_answers(model, processor, scene)))
                    kept[number].append(_kept(handle, scene))
    return [Row(kept[n], _answered(scene, *answers[n])) for n, scene in enumerate(scenes)]


def _answered(scene: vtc_tiny.Scene, *answers: Sequence[str]) -> list[Answered]:
    given = zip(vtc_tiny.questions(scene), *answers, strict=True)
    return [Answered(question.text, question.answer, everything, tuple(few)) for question, everything, *few in given]


def _answers(model: Any, processor: Any, scene: vtc_tiny.Scene) -> list[str]:
    """To all questions of a scene, in one batch."""
    questions = [question.text for question in vtc_tiny.questions(scene)]
    inputs = answering.inputs_of(model, processor, [scene.image] * len(questions), questions)
    return answering.decoded(processor, answering.generate(model, inputs, LONGEST))


def _kept(handle: vtc_llava.Handle, scene: vtc_tiny.Scene) -> Kept:
    """What the last call kept: the same for each of its questions, so the first will do."""
    assert handle.last is not None
    indices, scores = handle.last.indices[0].numpy(), handle.last.scores[0].numpy()
    return Kept(np.asarray(scene.image), indices, scores, handle.weights(0).numpy())


def _table(seeds: range, rows: Sequence[Row], plan: models.Plan, names: Sequence[str]) -> Table:
    """Narrow enough for 80 columns."""
    question = Column("question", no_wrap=True)
    headings = ("truth", f"all {plan.tokens}", *(f"{plan.keep} by {name}" for name in names))
    table = Table(question, *headings, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for seed, row in zip(seeds, rows, strict=True):
        table.add_row(f"[dim]scene {seed}[/]")
        for answered in row.answers:
            cells = [_colored(answer, answered.truth) for answer in (answered.all_tokens, *answered.few_tokens)]
            table.add_row(answered.question, answered.truth, *cells)
        table.add_section()
    return table


def _colored(answer: str, truth: str) -> str:
    return f"[{'green' if answer == truth else 'red'}]{escape(marked(answer, truth))}[/]"
