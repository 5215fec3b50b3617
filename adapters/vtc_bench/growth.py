"""How encoder and prefill time grow with tokens, batch, keep and K: a curve each, every point of it in one run."""

from collections.abc import Callable, Iterator
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vtc_core.methods import VtcCls

from . import costs, prefill, torch_encoder
from .costs import Geometry
from .timing import Spread, interleaved, ratio, spread

Runs = dict[str, Callable[[], Any]]


class Curve(NamedTuple):
    """Seconds of each line at each `x`; of the first line also what it takes of `reference` there."""

    axis: str
    x: tuple[int, ...]
    lines: dict[str, list[Spread]]
    reference: str
    ratios: list[Spread]
    floors: list[float]


class Sweep(NamedTuple):
    """One curve to be measured: at each x a run for each line, and the multiply-adds of each.

    The first line is held against the second at the same x, or, where it is alone, against itself at the last x.
    """

    axis: str
    x: tuple[int, ...]
    runs: Callable[[int], Runs]
    work: Callable[[int], tuple[int, ...]]


def sweeps(g: Geometry, config: Any) -> Iterator[Sweep]:
    """Of VTC-CLS, for an encoder geometry and a language model's configuration. Models are made when a sweep begins."""
    keep, tower = one_in_nine(g.tokens), torch_encoder.tower(g)
    pixels = partial(torch_encoder.pixels, g)

    def encoders(keep: int = keep, layers: int = 3, batch: int = 1) -> Runs:
        pruned = partial(torch_encoder.pruned(tower, keep, VtcCls(layers)), pixels(batch))
        return {"pruned": pruned, "unpruned": partial(torch_encoder.whole, tower, pixels(batch))}

    def work(keep: int = keep, layers: int = 3) -> tuple[int, ...]:
        return costs.pruned(g, keep, VtcCls(layers)), costs.whole(g)

    keeps = tuple(sorted({*_powers(32, g.tokens), g.tokens}))
    yield Sweep("keep", keeps, lambda n: encoders(keep=n), lambda n: work(keep=n))
    depth = g.depth - 1  # the useful layers
    numbers = tuple(sorted({*_powers(1, depth), 3, depth}))
    yield Sweep("layers (K)", numbers, lambda k: encoders(layers=k), lambda k: work(layers=k))
    yield Sweep("batch", (1, 4, 16), lambda batch: encoders(batch=batch), lambda batch: work())
    sides = tuple(side**2 for side in range(8, isqrt(g.tokens) + 9, 8))
    yield Sweep("tokens", sides, partial(_tokens, g), partial(_tokens_work, g))
    language = prefill.language_model(config, "cpu", torch.float32)
    lengths = tuple(sorted({*_powers(64, g.tokens), g.tokens}))
    yield Sweep(
        "visual tokens in the prompt",
        lengths,
        partial(_prefill, language, config.hidden_size),
        lambda tokens: (prefill.language_work(config, tokens),),
    )


def measure(sweep: Sweep, rounds: int = 3) -> Curve:
    """All points of a sweep, interleaved."""
    points = {x: sweep.runs(x) for x in sweep.x}
    named = {
        f"{line} {x}": torch_encoder.without_gradients(run) for x, runs in points.items() for line, run in runs.items()
    }
    seconds = interleaved(named, rounds, title=f"growth with {sweep.axis}")
    lines = {line: [spread(seconds[f"{line} {x}"]) for x in sweep.x] for line in points[sweep.x[0]]}
    first, *others = lines
    last = sweep.x[-1]
    ratios = [ratio(seconds, f"{first} {x}", f"{others[0]} {x}" if others else f"{first} {last}") for x in sweep.x]
    floors = [sweep.work(x)[0] / sweep.work(x if others else last)[-1] for x in sweep.x]
    return Curve(sweep.axis, sweep.x, lines, others[0] if others else f"{first} of {last}", ratios, floors)


def draw(curve: Curve, path: Path) -> None:
    """A small plot: medians, with the range of the rounds; both axes from zero, so that slopes can be compared."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3), dpi=150, layout="constrained")
    axes = figure.subplots()
    for (line, points), style in zip(curve.lines.items(), ("o-", "s--"), strict=False):
        axes.plot(curve.x, [p.median for p in points], style, label=line, markersize=4)
        axes.fill_between(curve.x, [p.low for p in points], [p.high for p in points], alpha=0.2)
    axes.set(xlabel=curve.axis, ylabel="seconds", xlim=(0, None), ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    if len(curve.lines) > 1:
        axes.legend(frameon=False)
    figure.savefig(path)


def _powers(first: int, last: int) -> Iterator[int]:
    """first, 2 first, 4 first, ..., below `last`."""
    while first < last:
        yield first
        first *= 2


def one_in_nine(tokens: int) -> int:
    return max(1, round(tokens / 9))


def _tokens(g: Geometry, tokens: int) -> Runs:
    """Pictures of another size."""
    other = g._replace(tokens=tokens)
    tower, pixel_values = torch_encoder.tower(other), torch_encoder.pixels(other, 1)
    return {
        "pruned": partial(torch_encoder.pruned(tower, one_in_nine(tokens), VtcCls()), pixel_values),
        "unpruned": partial(torch_encoder.whole, tower, pixel_values),
    }


def _tokens_work(g: Geometry, tokens: int) -> tuple[int, int]:
    other = g._replace(tokens=tokens)
    return costs.pruned(other, one_in_nine(tokens)), costs.whole(other)


def _prefill(language: Any, width: int, tokens: int) -> Runs:
    embeds = torch.randn(1, tokens + prefill.TEXT, width, generator=torch.Generator().manual_seed(tokens))
    return {"prefill": partial(language, inputs_embeds=embeds, use_cache=True, logits_to_keep=1)}
