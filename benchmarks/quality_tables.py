"""From the figures of quality.json to markdown and a picture."""

import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vtc_bench import costs
from vtc_bench.choices import LANGUAGE
from vtc_core.methods import METHODS

DEFAULT, EVERYTHING = "vtc-cls", "all"
KIND_AT = 9  # questions are shown by kind at one token in so many
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's, for all eyes
MARKERS = "osD^vP"

Figures = dict[str, Any]


def wilson(right: int, asked: int, z: float = 1.96) -> str:
    """Share of right answers and its 95 % Wilson interval, in percent."""
    share = right / asked
    middle = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    half = z / (1 + z * z / asked) * math.sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    return f"{100 * share:.1f} ({100 * (middle - half):.1f}-{100 * (middle + half):.1f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def body(figures: Figures, plot: Path) -> str:
    """The section of RESULTS.md."""
    tokens, asked, keeps = figures["tokens"], figures["asked"], _keeps(figures)
    shares = [f"1/{tokens // keep} ({keep})" for keep in keeps]
    g, total = costs.GEOMETRIES["vit-l-336"], sum(asked.values())
    known, others = _sorted(figures)

    def row(name: str) -> list[str]:
        right = figures["right"][name]
        return [_shown(name), *(wilson(sum(right[str(keep)].values()), total) for keep in keeps)]

    def of_kinds(name: str, keep: int) -> list[str]:
        right = figures["right"][name][str(keep)]
        shares = [right[kind] / count for kind, count in asked.items()]
        return [f"{100 * share:.1f}" for share in (*shares, figures["hit"][name][str(keep)])]

    kinds = [*(f"{kind} ({count})" for kind, count in asked.items()), "objects hit"]
    at, everything = tokens // KIND_AT, figures["right"][EVERYTHING][str(tokens)]
    by_kind = [["all tokens", *of_kinds(EVERYTHING, tokens)], *([_shown(name), *of_kinds(name, at)] for name in known)]
    return f"""\
Right answers in percent (95 % Wilson interval) of `vtc_tiny` to {total} questions about {figures["pictures"]} held-out
pictures, by the tokens kept of {tokens}, for all methods with their published parameters; the best at 1/{KIND_AT}
first, baselines in italics. With all tokens: **{wilson(sum(everything.values()), total)}**. Methods that read the
question choose anew for each; `cdpruner` and `trim` are not among them: they need the CLIP of which the tower is.

{table(["method", *shares], [row(name) for name in known])}

![right answers against tokens kept]({plot.parent.name}/{plot.name})

Other parameters; lots are the same for every picture, so that each seed of `random` is one draw.

{table(["method", *shares], [row(name) for name in others])}

By kind of question (how many) at 1/{KIND_AT}, in percent; and the objects of which a patch is kept, or is the anchor of
a mixture:

{table(["method", *kinds], by_kind)}

And for {DEFAULT} at every budget:

{table(["kept", *kinds], [[share, *of_kinds(DEFAULT, keep)] for share, keep in zip(shares, keeps, strict=True)])}

What choosing costs by itself: {g.tokens} tokens of {g.dim} numbers ({g.heads} heads; {LANGUAGE} numbers where they are
seen projected), keep 64, torch, float32; processor time of one thread, medians of rounds interleaved with the unpruned
ViT-L/14-336 encoder, which "of encoder" is a share of. What is noted in the encoder for the method is not in it. Memory
is that of tensors made for one picture: a map of {g.tokens} x {g.tokens} numbers is {4 * g.tokens**2 / 1e6:.2f} MB,
features {4 * g.tokens * g.dim / 1e6:.2f}, projected tokens {4 * g.tokens * LANGUAGE / 1e6:.2f}.

{_cost_table(figures)}
"""


def draw(figures: Figures, path: Path) -> None:
    """Accuracy against tokens kept: the best and the baselines by name, the others in grey."""
    tokens, keeps, total = figures["tokens"], _keeps(figures), sum(figures["asked"].values())
    known, _ = _sorted(figures)

    def line(name: str) -> list[float]:
        return [100 * sum(figures["right"][name][str(keep)].values()) / total for keep in keeps]

    baselines = [name for name in known if _baseline(name)]
    methods = sorted((name for name in known if not _baseline(name)), key=lambda name: -sum(line(name)[-2:]))
    best = [*dict.fromkeys([DEFAULT, *methods])][: len(COLOURS)]
    figure = Figure(figsize=(8, 5.5), dpi=200, layout="constrained")
    axes = figure.subplots()
    others = [name for name in methods if name not in best]
    for name in others:
        axes.plot(keeps, line(name), color="#cccccc", linewidth=1, zorder=1)
    for name in baselines:
        axes.plot(keeps, line(name), color="#555555", linewidth=1.4, linestyle=(0, (4, 2)), zorder=2)
    for name, colour, marker in zip(best, COLOURS, MARKERS, strict=False):
        axes.plot(keeps, line(name), color=colour, marker=marker, linewidth=2, markersize=6, zorder=3)
    labels = {name: "#555555" for name in baselines} | dict(zip(best, COLOURS, strict=False))
    spots = _apart({name: line(name)[-1] for name in labels}, 4.2)
    for name, colour in labels.items():
        axes.annotate(
            name,
            (keeps[-1], line(name)[-1]),
            (keeps[-1] * 0.86, spots[name]),
            ha="right",
            va="center",
            color=colour,
            fontsize=11,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6},
        )
    axes.set_xscale("log")
    axes.set_xticks(keeps, [f"{keep}\n1/{tokens // keep}" for keep in keeps], fontsize=11)
    axes.set_xticks([], minor=True)
    axes.set_xlim(keeps[-1] * 0.52, keeps[0] * 1.04)
    axes.tick_params("y", labelsize=11)
    axes.set_xlabel(f"visual tokens fed, of {tokens}", fontsize=11)
    axes.set_ylabel("right answers, %", fontsize=11)
    grey = f"grey: {len(others)} other methods; " if others else ""
    axes.set_title(f"{total} held-out questions to the embedded LLaVA ({grey}dashed: baselines)", fontsize=11)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def _keeps(figures: Figures) -> list[int]:
    return sorted((int(keep) for keep in figures["right"][DEFAULT]), reverse=True)


def _sorted(figures: Figures) -> tuple[list[str], list[str]]:
    """Methods of the catalogue as they are, the best first; and those with other parameters."""
    right = figures["right"]
    at = str(figures["tokens"] // KIND_AT)
    known = [name for name in METHODS if name in right]
    others = [name for name in right if name not in (*known, EVERYTHING)]
    return sorted(known, key=lambda name: -sum(right[name][at].values())), others


def _baseline(name: str) -> bool:
    return METHODS[name].source == "baseline"


def _shown(name: str) -> str:
    return f"*{name}*" if name in METHODS and _baseline(name) else name


def _cost_table(figures: Figures) -> str:
    batches = (1, 4)
    head = ["method", *(x for b in batches for x in (f"ms, batch {b}", "of encoder")), "largest tensor, MB", "peak, MB"]
    rows = []
    for name, cost in sorted(figures["costs"].items(), key=lambda item: item[1]["ms, batch 1"]):
        times = [x for b in batches for x in (f"{cost[f'ms, batch {b}']:.3g}", f"{cost[f'of encoder, batch {b}']:.2%}")]
        rows.append([name, *times, f"{cost['largest'] / 1e6:.2f}", f"{cost['peak'] / 1e6:.2f}"])
    return table(head, rows)


def _apart(heights: dict[str, float], least: float) -> dict[str, float]:
    """Heights of labels, each as near its own as `least` between any two allows."""
    spots: dict[str, float] = {}
    groups: list[list[str]] = []
    for name in sorted(heights, key=lambda name: heights[name]):
        groups.append([name])
        while (
            len(groups) > 1 and _spread(groups[-2], heights, least)[-1] + least > _spread(groups[-1], heights, least)[0]
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    for group in groups:
        spots |= dict(zip(group, _spread(group, heights, least), strict=True))
    return spots


def _spread(group: list[str], heights: dict[str, float], least: float) -> list[float]:
    middle = sum(heights[name] for name in group) / len(group)
    return [middle + least * (i - (len(group) - 1) / 2) for i in range(len(group))]
