"""Write golden.npz and index.json from the specification, or with `--check` compare them with it."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import vtc_core

from .cases import Case, cases

FOLDER = Path(__file__).parent
VERSION = 1  # of the format; a change of it is a change for whoever reads the files


def generate() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All arrays by name, and the index. bfloat16 is stored as its bits, uint16: NumPy's files do not know it."""
    arrays: dict[str, np.ndarray] = {}
    index = {
        "version": VERSION,
        "specification": "vtc_core/spec.py",
        "cases": [_describe(name, case, arrays) for name, case in cases().items()],
    }
    return arrays, index


def _describe(name: str, case: Case, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    arguments = case.arguments
    if "scores" in arguments:  # widening changes no order, and NumPy does not know that of bfloat16's NaN
        arguments = arguments | {"scores": arguments["scores"].astype(np.float64)}
    result = getattr(vtc_core, case.verb)(**arguments)
    results = result._asdict() if hasattr(result, "_asdict") else {"result": result}

    def store(role: str, values: dict[str, Any]) -> dict[str, Any]:
        return {key: _store(f"{name}.{role}.{key}", value, arrays) for key, value in values.items()}

    return {
        "name": name,
        "clause": case.clause,
        "verb": case.verb,
        "arguments": store("in", case.arguments),
        "results": store("out", results),
        "tolerance": case.tolerance,
    }


def _store(key: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(value, np.ndarray):
        return list(value) if isinstance(value, tuple) else value
    arrays[key] = value.view(np.uint16) if value.dtype.name == "bfloat16" else value
    return {"array": key, "dtype": value.dtype.name, "shape": list(value.shape)}


def _written(index: dict[str, Any]) -> str:
    """One case a line."""
    lines = ",\n".join(f"  {json.dumps(case)}" for case in index["cases"])
    return json.dumps(index | {"cases": []}, indent=1).replace('"cases": []', f'"cases": [\n{lines}\n ]') + "\n"


def differences() -> list[str]:
    """Where the files are not what the specification makes: exactly, or within a case's tolerance where it has one."""
    arrays, index = generate()
    stored = np.load(FOLDER / "golden.npz")
    if (FOLDER / "index.json").read_text() != _written(index):
        return ["index.json differs"]
    if set(stored.files) != set(arrays):
        return ["golden.npz holds other arrays"]
    tolerances = {case["name"]: case["tolerance"] for case in index["cases"]}
    return [key for key in arrays if not _same(stored[key], arrays[key], tolerances[key.partition(".")[0]])]


def _same(stored: np.ndarray, made: np.ndarray, tolerance: float) -> bool:
    if stored.dtype != made.dtype or stored.shape != made.shape:
        return False
    return stored.tobytes() == made.tobytes() or bool(tolerance and np.allclose(stored, made, rtol=tolerance, atol=0))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m vtc_conformance.golden", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the files differ")
    if parser.parse_args().check:
        wrong = differences()
        print("\n".join(wrong) or "golden vectors are what the specification makes")
        return bool(wrong)
    arrays, index = generate()
    np.savez_compressed(FOLDER / "golden.npz", allow_pickle=False, **arrays)  # type: ignore[arg-type]
    (FOLDER / "index.json").write_text(_written(index))
    print(f"{len(index['cases'])} cases, {len(arrays)} arrays in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
