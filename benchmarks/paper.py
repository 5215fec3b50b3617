"""Published tables, and a command that measures their rows through lmms-eval: measured, published, difference.

    python benchmarks/paper.py                                     # which tables there are, with their sources
    python benchmarks/paper.py vtc-cls                             # one of them
    python benchmarks/paper.py vtc-cls --row VTC-CLS --tokens 64 --benchmarks GQA POPE --batch_size 8 --device cuda
    python benchmarks/paper.py tiny --row vtc-cls --tokens 16 --batch_size 64

The third needs a GPU, and weights and data from the hub; `--dry-run` prints lmms-eval's command instead. Arguments that
are not this command's go to lmms-eval: `--limit 100`, `--batch_size 8`. The last measures the embedded LLaVA against
quality.json: no downloads.

What lmms-eval measures is not what the papers measured, so differences have two causes. `harness` in paper.json says
what each table was measured with; the remark of a benchmark, how lmms-eval's task differs. Rows of different tables are
never put side by side.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TASKS = FOLDER.parent / "adapters" / "vtc_lmms" / "tasks"


@dataclass(frozen=True)
class Benchmark:
    """Where lmms-eval measures it: the published number is `scale` times the sum of these metrics of the task."""

    task: str
    metrics: tuple[str, ...]
    scale: float
    remark: str = ""


@dataclass(frozen=True)
class Row:
    name: str
    tokens: int
    args: str | None  # for --model_args; None: vtc has no such method, or not in that form
    published: dict[str, float]  # by benchmark


@dataclass(frozen=True)
class Table:
    title: str
    source: str
    harness: str
    checkpoint: str
    rows: list[Row]
    folder: Path | None = None  # of tasks that are not lmms-eval's own


@cache
def benchmarks() -> dict[str, Benchmark]:
    listed = json.loads((FOLDER / "paper.json").read_text())["benchmarks"]
    scenes = Benchmark("vtc_scenes", ("exact_match",), 100)
    return {name: Benchmark(**{**of, "metrics": tuple(of["metrics"])}) for name, of in listed.items()} | {
        "scenes": scenes
    }


@cache
def tables() -> dict[str, Table]:
    listed = json.loads((FOLDER / "paper.json").read_text())["tables"]
    return {name: _table(**of) for name, of in listed.items()} | {"tiny": _tiny()}


def _table(benchmarks: list[str], rows: list[dict[str, Any]], **head: Any) -> Table:
    def published(values: list[float | None]) -> dict[str, float]:
        return {name: value for name, value in zip(benchmarks, values, strict=True) if value is not None}

    return Table(rows=[Row(r["row"], r["tokens"], r["args"], published(r["published"])) for r in rows], **head)


def _tiny() -> Table:
    """The embedded LLaVA, as benchmarks/quality.py found it."""
    import vtc_tiny

    figures = json.loads((FOLDER / "quality.json").read_text())
    asked = sum(figures["asked"].values())

    def row(name: str, tokens: str, right: dict[str, int]) -> Row:
        args = "keep=all" if name == "all" else f'keep={tokens},method="{name}"'
        return Row(name, int(tokens), args, {"scenes": 100 * sum(right.values()) / asked})

    return Table(
        title="The embedded LLaVA, 144 visual tokens",
        source="benchmarks/quality.json",
        harness="benchmarks/quality.py",
        checkpoint=str(vtc_tiny.PATH),
        rows=[row(name, tokens, right) for name, of in figures["right"].items() for tokens, right in of.items()],
        folder=TASKS,
    )


def command(table: Table, row: Row, names: list[str], more: list[str]) -> list[str]:
    """Arguments of `lmms-eval` that measure these benchmarks of a row; `more` are appended."""
    tasks = ",".join(benchmarks()[name].task for name in names)
    folder = ["--include_path", str(table.folder)] if table.folder else []
    args = f"pretrained={table.checkpoint},{row.args}"
    return ["--model", "vtc_llava_hf", "--model_args", args, "--tasks", tasks, *folder, *more]


def run(arguments: list[str]) -> dict[str, Any]:
    """What lmms-eval, in this Python's environment, writes as its results: by task."""
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run([sys.executable, "-m", "lmms_eval", *arguments, "--output_path", out])
        written = [*Path(out).rglob("*_results.json")]
        if done.returncode or not written:  # it ends with 0 after most errors, too
            raise RuntimeError("lmms-eval has measured nothing; what it says of it is above")
        return json.loads(written[0].read_text())["results"]


def measured(results: dict[str, Any], name: str) -> float:
    benchmark = benchmarks()[name]
    of_task = {key.split(",")[0]: value for key, value in results[benchmark.task].items()}  # "exact_match,none"
    return benchmark.scale * sum(of_task[metric] for metric in benchmark.metrics)


def compared(row: Row, results: dict[str, Any], names: list[str]) -> str:
    """A table in markdown."""
    lines = [f"| {row.name}, {row.tokens} tokens | measured | published | difference | |", "|---|---|---|---|---|"]
    for name in names:
        ours, theirs = measured(results, name), row.published[name]
        lines.append(f"| {name} | {ours:.1f} | {theirs:.1f} | {ours - theirs:+.1f} | {benchmarks()[name].remark} |")
    return "\n".join(lines)


def shown(table: Table) -> str:
    """The published table in markdown; rows that vtc can measure have a star."""
    names = list(table.rows[0].published)
    lines = [f"{table.title}", f"| tokens | row | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for row in table.rows:
        values = " | ".join(f"{row.published[name]:.1f}" if name in row.published else "" for name in names)
        lines.append(f"| {row.tokens} | {row.name}{' *' if row.args else ''} | {values} |")
    return "\n".join(lines)


def about(table: Table) -> str:
    return f"Published in: {table.source}\nMeasured there by: {table.harness}"


def chosen(table: Table, name: str | None, tokens: int | None, wanted: list[str] | None) -> tuple[Row, list[str]]:
    """The row, and which of its benchmarks, or a ValueError."""
    found = [row for row in table.rows if (row.name, row.tokens) == (name, tokens)]
    if not found:
        have = ", ".join(f"{row.name} {row.tokens}" for row in table.rows)
        raise ValueError(f"--row and --tokens must be of {have}; got {name} {tokens}")
    (row,) = found
    if row.args is None:
        raise ValueError(f"--row {name} is published only: vtc has no such method, or not in that form")
    others = set(wanted or ()) - set(row.published)
    if others:
        raise ValueError(f"--benchmarks must be of {', '.join(row.published)}, got {', '.join(sorted(others))}")
    return row, wanted or list(row.published)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("table", nargs="?", choices=list(tables()))
    parser.add_argument("--row", help="with --tokens: measure this row")
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--benchmarks", nargs="+", help="some of the row's; left out: all")
    parser.add_argument("--dry-run", action="store_true", help="print lmms-eval's command, measure nothing")
    options, more = parser.parse_known_args()
    if options.table is None:
        print("\n\n".join(f"{name}: {table.title}\n{about(table)}" for name, table in tables().items()))
        return
    table = tables()[options.table]
    if options.row is None and options.tokens is None:
        print(f"{shown(table)}\n\n{about(table)}")
        return
    try:
        row, names = chosen(table, options.row, options.tokens, options.benchmarks)
    except ValueError as error:
        parser.error(str(error))
    arguments = command(table, row, names, more)
    if options.dry_run:
        print(shlex.join(["lmms-eval", *arguments]))
        return
    try:
        results = run(arguments)
    except RuntimeError as error:
        parser.exit(1, f"{error}\n")
    print(f"\n{compared(row, results, names)}\n\n{about(table)}")


if __name__ == "__main__":
    main()
