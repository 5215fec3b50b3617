"""All of it: samples drawn, blocks measured, figures made, a setting recommended, a report written."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from vtc_core.methods import Method, spelled
from vtc_llava import Settings

from . import folder, page
from .first_token import FirstToken, first_token
from .folder import Folder
from .job import Engine, Job, Step, local
from .recommending import Candidate, verdict
from .report import Report, Result
from .samples import Data, Drawn, Given, Sample, draw
from .scenes import Scenes
from .settings import held, settings_of
from .summary import columns, figures

Bar = Callable[[str, int], AbstractContextManager[Step]]  # what is done, in how many steps; see vtc_cli.progress.bar


def tune(
    model: Any,
    processor: Any,
    samples: Data | Drawn | Iterable[Sample | Mapping[str, Any]] | None = None,
    methods: Sequence[Method | str | Mapping[str, Any]] | None = None,
    keeps: Sequence[int] | None = None,
    target: float = 0.98,
    *,
    totals: Sequence[int] | None = None,
    count: int = 500,
    seed: int = 0,
    max_new_tokens: int = 64,
    batch_size: int = 16,
    out: str | Path | None = None,
    overwrite: bool = False,
    engine: Engine | None = None,
    name: str | None = None,
    bar: Bar = lambda what, steps: nullcontext(lambda result: result),
) -> Report:
    """Measure what a model answers with fewer visual tokens, against its own unpruned answers, on your own data.

    Args:
        model, processor: a LLaVA of a known family, not patched. They are left as they are.
        samples: what `vtc_tune.open_data` gives, or is drawn of that; or mappings with image (a `PIL.Image` or a path),
            question and, where it is known, answer; None for the embedded scenes.
        methods: as `vtc_llava.patch` takes them. Left out: five that fit the tower.
        keeps, totals: budgets, tokens of a tile and of a whole picture. Both left out: 1/2 to 1/18 of a tile's tokens.
        target: agreement that is asked for, in (0, 1).
        count, seed: how many samples are used, and which: all that there are, if they are fewer.
        max_new_tokens: of the longest answer.
        batch_size: samples at once, which are also what a run that is stopped loses.
        out: a folder for report and results, from which a run that was stopped goes on. Left out: nothing is written.
        overwrite: empty `out` first.
        engine: who measures: this process, or `partial(vtc_tune.ray_engine.on_ray, load=..., workers=...)`.
        name: of the model, for the lines to paste; left out, what its configuration says.
        bar: shows how far it is.

    Raises:
        Refused: no good sample, or an `out` of another run.
        ValueError, TypeError: an argument that does not fit, as `vtc_llava.patch`.
    """
    if not 0 < target < 1:
        raise ValueError(f"target must lie between 0 and 1, got {target!r}")
    settings = settings_of(model.config, methods, keeps, totals)
    drawn = samples if isinstance(samples, Drawn) else draw(_data(samples), count, seed)
    decides = held(model, settings, data=drawn.digest, max_new_tokens=max_new_tokens, batch_size=batch_size)
    job = Job(drawn.samples, settings, batch_size, max_new_tokens)
    walked = job.walks(model, processor).a_batch  # and the refusal of a pair that cannot be patched so
    with ExitStack() as stack:
        path = Path(out or stack.enter_context(tempfile.TemporaryDirectory()))
        there = stack.enter_context(folder.opened(path, decides, overwrite))
        missing = there.missing(job.blocks)
        with bar("asking", len(missing) * job.steps) as step:
            for number, rows in (engine or partial(local, model, processor))(job, missing, step):
                there.write_block(number, rows)
        table = there.results(job.blocks)
        timed = there.once(folder.FIRST_TOKEN, lambda: first_token(model, processor, drawn.samples[0], settings))
        report = Report(
            model=name or model.config._name_or_path or "MODEL",
            family=model.config.model_type,
            data=drawn.name,
            target=target,
            samples=len(drawn.samples),
            skipped=tuple(drawn.skipped),
            walks=(job.blocks * (1 + walked), job.blocks * job.steps),
            rows=table,
            **_judged(table, settings, [FirstToken(*shares) for shares in timed], target),
        )
        if out is not None:
            _write(there, report, model, processor, drawn.samples)
    return report


def _data(samples: Any) -> Data:
    if samples is None:
        return Scenes()
    return samples if hasattr(samples, "read") else Given(samples)


def _judged(table: Any, settings: Sequence[Settings], timed: Sequence[FirstToken], target: float) -> dict[str, Any]:
    """Figures of all rows, and the verdict on them."""
    unpruned, *of_settings = figures(table, 1 + len(settings))
    agreement = columns(table, "agreement", 1 + len(settings))[1:]
    candidates = [
        Candidate(spelled(setting.method), of.visual, float(values.sum()))
        for setting, of, values in zip(settings, of_settings, agreement, strict=True)
    ]
    found = verdict(candidates, agreement.shape[1], target)
    results = tuple(map(Result, settings, of_settings, found.bounds, timed))
    return {"unpruned": unpruned, "results": results, "verdict": found}


def _write(there: Folder, report: Report, model: Any, processor: Any, samples: Sequence[Sample]) -> None:
    there.write_skipped(report.skipped)
    there.write_json(folder.REPORT, report.saved())
    there.write(folder.PLOT, page.png(report.plot()))
    there.write(folder.PAGE, page.page(report, model, processor, samples).encode())
