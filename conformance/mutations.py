"""Mutations of the torch backend: one rule taken out of a copy at a time; the suite must turn red for each.

    python conformance/mutations.py     # a table for README.md; exit 1 if a mutant survives

More arguments go to pytest, such as `-n 8`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import vtc_torch

BACKEND = Path(vtc_torch.__file__).parent

MUTATIONS = {  # the rule taken out: file, what is there, what is put there
    "the scale": ("verbs.py", "scale * (keys", "(keys"),
    "float32 logits": ("verbs.py", "wide = _wide(query)", "wide = query.dtype"),
    "CLS in the softmax": ("verbs.py", "logits.softmax(-1)[..., 1:]", "logits[..., 1:].softmax(-1)"),
    "CLS is the first column": ("verbs.py", "logits.softmax(-1)[..., 1:]", "logits.softmax(-1)[..., :-1]"),
    "the head mean": ("verbs.py", "cls_attention.mean(2, ", "cls_attention.sum(2, "),
    "float32 accumulation": ("verbs.py", "mean(2, dtype=_wide(cls_attention))", "mean(2)"),
    "max is max": ("verbs.py", '"max": torch.amax', '"max": torch.amin'),
    "the default reduce": ("verbs.py", 'tokens"], reduce: str = "sum"', 'tokens"], reduce: str = "mean"'),
    "the stable order": (
        "verbs.py",
        "ascending.sort(dim=-1, stable=True)",
        "ascending.topk(scores.shape[-1], largest=False)",
    ),
    "NaN last": ("verbs.py", "scores.isnan(), torch.nan,", "scores.isnan(), -torch.inf,"),
    "raster order": ("verbs.py", "ranked[:, : int(keep)].sort(dim=-1).values", "ranked[:, : int(keep)]"),
    "the keep check": ("verbs.py", "@checks.before(checks.select)\n", ""),
    "the dtype of features": ("verbs.py", "Pruned(gather(features,", "Pruned(gather(features.double(),"),
    "the tokens of the own row": (
        "verbs.py",
        "Pruned(gather(features,",
        "Pruned(gather(features[:1].expand_as(features),",
    ),
    "the layers that score": ("walk.py", "hidden) if number in self.layers", "hidden) if number + 1 in self.layers"),
    "the last useful layer": ("walk.py", "max(self.feature_layers) - 1", "max(self.feature_layers) - 2"),
    "CLS is token 0": ("walk.py", "numbers = indices + notes.first", "numbers = indices"),
    "all tokens are attended to": (
        "walk.py",
        "query, keys, values)",
        "query, keys[:, :, 1:], values[:, :, 1:])",
    ),
    "the kept tokens' own residual": (
        "blocks.py",
        "hidden = hidden + attention.out_proj(mixed)",
        "hidden = attention.out_proj(mixed)",
    ),
    "the kept tokens' MLP": ("blocks.py", "hidden + layer.mlp(layer.layer_norm2(hidden))", "hidden"),
    "every step of a loop": (
        "verbs.py",
        "from vtc_core import scan as scan",
        "import vtc_core\n\n\ndef scan(step, state, count):\n    return vtc_core.scan(step, state, count - 1)",
    ),
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        mutants = {
            rule: _mutant(Path(folder), number, *change) for number, (rule, change) in enumerate(MUTATIONS.items())
        }
        unchanged = _copy(Path(folder), len(mutants))
        caught = _run(Path(folder), [*mutants.values(), unchanged])
    if unchanged in caught:
        raise SystemExit("the backend fails without any mutation: " + caught[unchanged][0]["test"])
    print("| rule taken out | clauses that turn red | tests that caught it (failures) |\n|---|---|---|")
    for rule, mutant in mutants.items():
        print(f"| {rule} | {_row(caught.get(mutant, []))} |")
    survivors = [rule for rule, mutant in mutants.items() if mutant not in caught]
    for rule in survivors:
        print(f"survived: {rule}", file=sys.stderr)
    return bool(survivors)


def mutated(file: str, old: str, new: str) -> str:
    """The text of a file of vtc_torch with one replacement."""
    text = (BACKEND / file).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{file} must have this once, it has it {text.count(old)} times: {old}")
    return text.replace(old, new)


def _mutant(folder: Path, number: int, file: str, old: str, new: str) -> str:
    text = mutated(file, old, new)
    name = _copy(folder, number)
    (folder / name / file).write_text(text)
    return name


def _copy(folder: Path, number: int) -> str:
    """Of vtc_torch; its relative imports make it a package of its own."""
    name = f"mutant_{number:02}"
    shutil.copytree(BACKEND, folder / name)
    return name


def _run(folder: Path, mutants: list[str]) -> dict[str, list[dict[str, str]]]:
    """One run of the suite over all mutants, eager; properties say nothing new and shrink for long."""
    report = folder / "report.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--tb=no",
        "--no-summary",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
    ]
    command += [
        "--pyargs",
        "vtc_conformance",
        "-k",
        "eager and not properties and not 24x24 and not many and not long_rows and (not test_methods or scan)",
        "--vtc-report",
        str(report),
    ]
    for mutant in mutants:
        command += ["--vtc-backend", mutant]
    subprocess.run([*command, *sys.argv[1:]], cwd=folder, stdout=sys.stderr)
    caught: dict[str, list[dict[str, str]]] = {}
    for test in json.loads(report.read_text())["tests"]:
        if test["outcome"] == "failed":
            caught.setdefault(test["backend"], []).append(test)
    return caught


def _row(failures: list[dict[str, str]]) -> str:
    tests = Counter(failure["test"].partition("[")[0].partition("::")[2].removeprefix("test_") for failure in failures)
    clauses = sorted({failure["clause"] for failure in failures})
    most = [f"`{test}` ({count})" for test, count in tests.most_common(3)]
    return f"{', '.join(clauses)} | {', '.join(most)}{f' and {len(tests) - 3} more' if len(tests) > 3 else ''}"


if __name__ == "__main__":
    sys.exit(main())
