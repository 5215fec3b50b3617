"""What `vtc bench` prints and `benchmarks/` records: measurements as markdown, each a single interleaved run.

A backend's encoder is benchmarked by a module `<backend>_encoder.py` with two names:
- `float32_runs(g, batch, keep, method)`: name to run; the first is pruned and returns `Pruned`, the second runs the
  whole tower, its last layer too, and returns the features (batch tokens dim); more may follow;
- `PACKAGES`: those whose versions belong to the figures.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vtc_core.methods import Method, VtcCls, spelled

from . import costs
from .costs import Geometry
from .timing import Clock, interleaved, ratio, spread, table, wall


class Report(NamedTuple):
    """Markdown, and the packages whose versions belong to it."""

    body: str
    packages: tuple[str, ...]


def encoder(
    backend: str,
    name: str,
    batch: int = 4,
    keep: int = 64,
    method: Method = VtcCls(),  # noqa: B008
    rounds: int = 5,
) -> Report:
    """Pruned against whole (and VTC-CLS in torch against the usual way) for the geometry `name`, CPU, float32."""
    g = costs.GEOMETRIES[name]
    subject = import_module(f".{backend}_encoder", __package__)
    runs: Mapping[str, Callable[[], Any]] = subject.float32_runs(g, batch, keep, method)
    pruned, whole, *others = runs
    note = _setting(name, batch, keep, method, rounds)
    if not method.merges and not method.progressive:  # else what is fed is not the unpruned encoder's
        difference = largest_difference(runs[pruned](), runs[whole]())
        note += f" Largest difference of a kept feature: {difference:.1e}."
    seconds = interleaved(runs, rounds, title=f"{backend} encoder")
    floor = costs.pruned(g, keep, method) / costs.whole(g)
    # A second pruned run does the same work.
    floors = {other: 1.0 if other.startswith("pruned") else floor for other in (whole, *others)}
    return Report(f"{table(seconds, pruned, floors)}\n\n{note}", subject.PACKAGES)


def methods(
    name: str, chosen: Sequence[Method], batch: int = 4, keep: int = 64, rounds: int = 5, clock: Clock = wall
) -> Report:
    """Several methods in PyTorch against the whole encoder, all in the same rounds."""
    from . import torch_encoder

    g = costs.GEOMETRIES[name]
    tower, pixel_values, whole = torch_encoder.tower(g), torch_encoder.pixels(g, batch), torch_encoder.WHOLE
    runs = {spelled(method): partial(torch_encoder.pruned(tower, keep, method), pixel_values) for method in chosen}
    runs[whole] = partial(torch_encoder.whole, tower, pixel_values)
    quiet = {what: torch_encoder.without_gradients(run) for what, run in runs.items()}
    seconds = interleaved(quiet, rounds, clock, "methods")
    rows = [f"| method | median s | this / {whole} | min-max | floor | measured / floor |", "|---" * 6 + "|"]
    for method in chosen:
        s, r = spread(seconds[spelled(method)]), ratio(seconds, spelled(method), whole)
        floor = costs.pruned(g, keep, method) / costs.whole(g)
        against = f"{floor:.3f} | {r.median / floor:.2f}"
        rows.append(f"| {spelled(method)} | {s.median:.3g} | {r.median:.3f} | {r.low:.3f}-{r.high:.3f} | {against} |")
    setting = _setting(name, batch, keep, None, rounds)
    return Report("\n".join(rows) + f"\n\n{setting} The floor has no choices in it.", torch_encoder.PACKAGES)


def largest_difference(pruned: Any, features: Any) -> float:
    """Of kept features from those of the whole tower (batch tokens dim), at the kept indices; arrays of any backend."""
    kept, indices, whole = (np.asarray(x) for x in (pruned.features, pruned.indices, features))
    return float(np.abs(kept - np.take_along_axis(whole, indices[..., None], 1)).max())


def memory(name: str, batch: int = 4, keep: int = 64, method: Method = VtcCls()) -> Report:  # noqa: B008
    """Peak memory above the loaded model of pruned, whole and VTC-CLS's usual way, a fresh process each."""
    from . import torch_encoder
    from .memory import peak

    bytes_of = {run: peak(costs.GEOMETRIES[name], run, batch, keep, method) for run in torch_encoder.names(method)}
    whole = bytes_of[torch_encoder.WHOLE]
    added = {run: taken - whole for run, taken in bytes_of.items()}
    rows = ["| | peak MB above the loaded model | added to unpruned, MB |", "|---|---|---|"]
    rows += [f"| {run} | {taken / 1e6:.1f} | {added[run] / 1e6:+.1f} |" for run, taken in bytes_of.items()]
    note = _setting(name, batch, keep, method)
    if torch_encoder.USUAL in added:
        share = added[torch_encoder.PRUNED] / added[torch_encoder.USUAL]
        note = f"Pruned adds {share:+.2%} of what the usual way adds. {note}"
    return Report("\n".join(rows) + f"\n\n{note}", torch_encoder.PACKAGES)


def prefill(
    name: str,
    language: str,
    batch: int = 1,
    keep: int = 64,
    method: Method = VtcCls(),  # noqa: B008
    rounds: int = 5,
) -> Report:
    """The language model with all visual tokens and with `keep`: prefill, end to end, and the tokens after it."""
    from . import prefill as subject
    from . import torch_encoder

    g, config = costs.GEOMETRIES[name], subject.LANGUAGE_MODELS[language]()
    runs = subject.runs(g, config, torch_encoder.pixels(g, batch), keep, method)
    seconds = interleaved(runs, rounds, title="prefill")
    floors = subject.floors(g, config, keep, method)
    rows = [
        f"| | all {g.tokens}: median s | {keep} kept: median s | kept / all | min-max | floor | measured / floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for what in subject.WORK:
        of = {count: f"{what}, {count}" for count in (g.tokens, keep)}
        whole, kept = (spread(seconds[of[count]]).median for count in (g.tokens, keep))
        r = ratio(seconds, of[keep], of[g.tokens])
        against = f"{floors[what]:.3f} | {r.median / floors[what]:.2f}" if what in floors else "- | -"
        rows.append(f"| {what} | {whole:.3g} | {kept:.3g} | {r.median:.3f} | {r.low:.3f}-{r.high:.3f} | {against} |")
    rates = [subject.STEPS / spread(seconds[f"{subject.DECODE}, {count}"]).median for count in (g.tokens, keep)]
    one = 1 / rates[1]  # a pass of one token: hardly a multiplication, but every weight is read
    whole, kept = (spread(seconds[f"{subject.PREFILL}, {count}"]).median for count in (g.tokens, keep))
    note = (
        f"{subject.END_TO_END.capitalize()} is the time to the first token; after it {rates[0]:.1f} tokens per second "
        f"with all and {rates[1]:.1f} with {keep}. A pass of one token takes {one:.2g} s, to read the weights, which "
        f"pruning cannot save: without that time prefill takes {(kept - one) / (whole - one):.3f}. Language model of "
        f"{language} geometry, {subject.TEXT} tokens of text; {_setting(name, batch, keep, method, rounds)}"
    )
    return Report("\n".join(rows) + f"\n\n{note}", torch_encoder.PACKAGES)


def growth(name: str, folder: Path, rounds: int = 3) -> Report:
    """A plot for each axis in `folder`, and their medians as tables."""
    from . import growth as subject
    from . import prefill, torch_encoder

    folder.mkdir(parents=True, exist_ok=True)
    g = costs.GEOMETRIES[name]
    setting = _setting(name, 1, subject.one_in_nine(g.tokens), VtcCls(), rounds)
    parts = [
        f"Where it is not the axis: {setting} Of pictures of other sizes, one token in nine is kept "
        f"too. Language model of 0.5b geometry, {prefill.TEXT} tokens of text."
    ]
    for sweep in subject.sweeps(g, prefill.LANGUAGE_MODELS["0.5b"]()):
        curve = subject.measure(sweep, rounds)
        path = folder / f"{name}-{re.sub('[^a-z]+', '-', curve.axis.lower()).strip('-')}.png"
        subject.draw(curve, path)
        rows = [f"| {curve.axis} | {' | '.join(map(str, curve.x))} |", "|---" * (1 + len(curve.x)) + "|"]
        rows += [f"| {line}, s | {' | '.join(f'{p.median:.3g}' for p in at)} |" for line, at in curve.lines.items()]
        first = next(iter(curve.lines))
        against = [r.median / floor for r, floor in zip(curve.ratios, curve.floors, strict=True)]
        rows.append(f"| {first} / {curve.reference} | {' | '.join(f'{r.median:.3f}' for r in curve.ratios)} |")
        rows.append(f"| floor | {' | '.join(f'{floor:.3f}' for floor in curve.floors)} |")
        rows.append(f"| measured / floor | {' | '.join(f'{x:.2f}' for x in against)} |")
        parts.append("\n".join([*rows, "", f"![seconds against {curve.axis}]({path.parent.name}/{path.name})"]))
    return Report("\n\n".join(parts), torch_encoder.PACKAGES)


def _setting(name: str, batch: int, keep: int, method: Method | None, rounds: int | None = None) -> str:
    g: Geometry = costs.GEOMETRIES[name]
    words = (
        f"encoder {name} (CLIP geometry, random weights), float32, batch {batch}, keep={keep} of {g.tokens}"
        f"{f', method {spelled(method)}' if method else ''}"
    )
    return f"{words}, {rounds} interleaved rounds." if rounds else f"{words}."
