"""Which tests run against which backends, and which of them are expected to fail."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from .plugin import BACKENDS
from .target import targets


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`target`: every variant on every device; with `dtype`, in every dtype.

    Tests of encoders only where there is one, tests of methods only where there is their loop.
    """
    if "target" not in metafunc.fixturenames:
        return
    clause = clause_of(metafunc.function.__name__)
    found = [x for backend in metafunc.config.stash[BACKENDS] for x in targets(backend, clause)]
    of_encoder = "encoder" in metafunc.function.__name__ or metafunc.definition.path.name == "test_encoder.py"
    if of_encoder:
        found = [x for x in found if hasattr(x.verbs, "load_encoder")]
    if metafunc.definition.path.name == "test_methods.py":
        found = [x for x in found if hasattr(x.verbs, "scan")]
    if "dtype" in metafunc.fixturenames:
        found = [replace(x, dtype=dtype) for x in found for dtype in x.dtypes]
        found = [x for x in found if not of_encoder or x.dtype in x.backend.encoder_dtypes]
        cells = [pytest.param(x, x.dtype, id=str(x)) for x in found] or [pytest.param(None, None)]
        metafunc.parametrize(("target", "dtype"), cells)
    else:
        metafunc.parametrize("target", [pytest.param(x, id=str(x)) for x in found] or [None])


def clause_of(test: str) -> str:
    """`test_s3_ties_go_to_the_lower_index` -> `S3`."""
    return test.split("_")[1].upper()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if isinstance(item, pytest.Function) and item.path.parent == Path(__file__).parent]
    if ours and not config.stash[BACKENDS]:
        raise pytest.UsageError("no backend named: say which module to hold to the specification, --vtc-backend MODULE")
    applicable = [item for item in ours if _target(item)]
    inapplicable = {item for item in ours if not _target(item)}
    config.hook.pytest_deselected(items=list(inapplicable))
    items[:] = [item for item in items if item not in inapplicable]
    for item in applicable:
        item.user_properties.append(("vtc", _about(item)))
    if config.option.vtc_xfails:
        _expect_failures(config.option.vtc_xfails, applicable)


def _target(item: pytest.Function) -> object:
    """None where the test applies to no backend."""
    return item.callspec.params["target"]


def _about(item: pytest.Function) -> dict[str, str]:
    target: Any = _target(item)
    return {
        "test": _name(item),
        "clause": target.clause,
        "backend": target.backend.name,
        "variant": target.variant,
        "device": target.device,
        "dtype": target.dtype,
    }


def _name(item: pytest.Item) -> str:
    return f"{item.path.name}::{item.name}"


def _expect_failures(path: Path, items: list[pytest.Function]) -> None:
    """A line is `file.py::test_name[cell]  # reason`: without `[cell]` it means all cells, `*` stands for anything."""
    if not path.is_file():
        raise pytest.UsageError(f"--vtc-xfails: there is no file {path}")
    for number, line in enumerate(path.read_text().splitlines(), 1):
        pattern, _, reason = (part.strip() for part in line.partition("#"))
        if not pattern:
            continue
        if not reason:
            raise pytest.UsageError(f"{path}:{number}: no reason given, write `{pattern}  # why`")
        regex = ".*".join(map(re.escape, pattern.split("*"))) + ("" if "[" in pattern else r"(\[.*\])?")
        matched = [item for item in items if re.fullmatch(regex, _name(item))]
        file_ran = any(item.path.name == pattern.partition("::")[0] for item in items)
        if not matched and file_ran:
            raise pytest.UsageError(f"{path}:{number}: no test is called {pattern}")
        for item in matched:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
