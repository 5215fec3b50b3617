"""Does `vtc tune` keep its promise? What it recommends of 500 scenes, held against 2,000 others, seed by seed.

    python benchmarks/tune.py [--seeds 10] [--samples 500] [--others 2000]

Every seed has scenes of its own. All scenes that settings were measured on are then one pool: many draws of 500 of them
tell how often the rule recommends what misses the target on the pool, and, for comparison, how often the naive rules
would: the mean, and each setting's own 95 % bound. Last, whether loyalty ranks settings as accuracy does.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from results import write_section
from rich.progress import track
from scipy.stats import spearmanr

import vtc_tiny
import vtc_tune
from vtc_bench.timing import processor as processor_seconds
from vtc_tune.intervals import at_least
from vtc_tune.recommending import Candidate, verdict
from vtc_tune.scenes import Scenes
from vtc_tune.summary import columns
from vtc_tune.tables import percent

TARGETS = (0.95, 0.97, 0.98, 0.99)
DRAWS = 1000
BATCH = 32

Values = Float[np.ndarray, "settings samples"]


class Trial(NamedTuple):
    report: vtc_tune.Report
    others: vtc_tune.Report | None  # of the recommended setting alone, on other scenes
    seconds: float  # of the processor


def trial(model: Any, processor: Any, seed: int, samples: int, others: int, target: float, out: Path) -> Trial:
    """Tune on some scenes, and measure what is recommended on the scenes after them."""
    start = seed * (samples + others)
    made: list[vtc_tune.Report] = []

    def tuned() -> None:
        scenes, folder = Scenes(range(start, start + samples)), out / f"{seed}-tuned"
        made.append(vtc_tune.tune(model, processor, scenes, target=target, count=samples, batch_size=BATCH, out=folder))

    taken = out / f"{seed}-seconds.json"  # of the first run: one that goes on has less to do
    if not taken.exists():
        taken.write_text(json.dumps(processor_seconds(tuned)))
    else:
        tuned()
    (report,), seconds = made, json.loads(taken.read_text())
    if (best := report.recommended) is None:
        return Trial(report, None, seconds)
    keeps, more = [best.setting.keep or 1], Scenes(range(start + samples, start + samples + others))
    folder = out / f"{seed}-others"
    again = vtc_tune.tune(
        model, processor, more, [best.method], keeps, target, count=others, batch_size=BATCH, out=folder
    )
    return Trial(report, again, seconds)


def pool(trials: list[Trial], name: str) -> Values:
    """A measure of all settings over the scenes of all trials."""
    rows = 1 + len(trials[0].report.results)
    return np.concatenate([columns(trial.report.rows, name, rows)[1:] for trial in trials], 1)


def missed(agreement: Values, report: vtc_tune.Report, target: float, count: int) -> dict[str, tuple[float, float]]:
    """By rule, how often it recommends something, and how often that misses the target on the whole pool; shares."""
    rng, truth = np.random.default_rng(0), agreement.mean(1)
    named = [(result.method, result.figures.visual) for result in report.results]
    order = np.argsort([tokens for _, tokens in named], kind="stable")
    chosen: dict[str, list[int]] = {"vtc tune": [], "each bound by itself": [], "the mean": []}
    for _ in range(DRAWS):
        totals = agreement[:, rng.choice(agreement.shape[1], count, replace=False)].sum(1)
        candidates = [Candidate(*of, float(total)) for of, total in zip(named, totals, strict=True)]
        if (best := verdict(candidates, count, target).recommended) is not None:
            chosen["vtc tune"].append(best)
        for rule, passes in (
            ("each bound by itself", lambda i, totals=totals: at_least(totals[i], count, 0.05) >= target),
            ("the mean", lambda i, totals=totals: totals[i] / count >= target),
        ):
            chosen[rule] += [int(i) for i in order if passes(i)][:1]
    return {rule: (len(of) / DRAWS, sum(truth[i] < target for i in of) / DRAWS) for rule, of in chosen.items()}


def body(trials: list[Trial], samples: int, others: int, target: float) -> str:
    """The section of RESULTS.md."""
    rows, kept = [], 0
    for seed, (report, again, seconds) in enumerate(trials):
        best = report.best
        row = [str(seed), f"{best.method}, {best.budget}" if again else "none", percent(best.figures.agreement)]
        if again:
            (tested,) = again.results
            kept += tested.figures.agreement.mean >= target
            row += [f"{100 * best.sure:.1f}", percent(tested.figures.agreement)]
        rows.append([*[*row, "-", "-"][:5], f"{seconds:.0f}"])
    agreement, accuracy, loyalty = (pool(trials, name) for name in ("agreement", "accuracy", "loyalty"))
    report = trials[0].report
    methods = list(dict.fromkeys(result.method for result in report.results))
    ranks = {"all settings": _rank(loyalty, accuracy)}
    for method in methods:
        mine = [i for i, result in enumerate(report.results) if result.method == method]
        ranks[f"budgets of {method}"] = _rank(loyalty[mine], accuracy[mine])
    rules = {t: missed(agreement, report, t, samples) for t in TARGETS}
    of_rules = [
        [f"{100 * t:g}", *(f"{100 * said:.0f} / {100 * wrong:.1f}" for said, wrong in of.values())]
        for t, of in rules.items()
    ]
    with_one = sum(trial.others is not None for trial in trials)
    return f"""\
The embedded LLaVA, one question a scene, {len(methods)} methods x {len(report.results) // len(methods)} budgets, target
{100 * target:g} %: what is recommended of {samples} scenes, and how often its answers are the unpruned ones on {others}
other scenes. **The target was met there by {kept} of {with_one} recommendations** ({len(trials)} seeds). Agreement in
percent with 95 % intervals; seconds of one processor for all of a run.

{_table(["seed", "recommended", "agreement", "at least", f"on {others} others", "s"], rows)}

Of {DRAWS} draws of {samples} out of the {agreement.shape[1]} scenes: in how many percent something is recommended, and
in how many it misses the target on all of them (5 is what `vtc tune` allows itself):

{_table(["target %", *rules[TARGETS[0]]], of_rules)}

Spearman's rank correlation of loyalty and accuracy, over all those scenes:

{_table(["over", "correlation"], [[name, f"{rank:.3f}"] for name, rank in ranks.items()])}
"""


def _rank(loyalty: Values, accuracy: Values) -> float:
    found: Any = spearmanr(loyalty.mean(1), accuracy.mean(1))
    return float(found.statistic)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("seeds", 10), ("samples", 500), ("others", 2000)):
        parser.add_argument(f"--{name}", type=int, default=value, help="%(default)s")
    parser.add_argument("--target", type=float, default=0.98, help="%(default)s")
    parser.add_argument("--out", type=Path, help="a folder from which a run that was stopped goes on")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp())
    out.mkdir(exist_ok=True)
    model, processor = vtc_tiny.load()
    trials = [
        trial(model, processor, seed, options.samples, options.others, options.target, out)
        for seed in track(range(options.seeds), "tuning")
    ]
    text = body(trials, options.samples, options.others, options.target)
    print(text)
    write_section("Tuning", "python benchmarks/tune.py", text, ("torch", "transformers", "scipy"))


if __name__ == "__main__":
    main()
