"""The golden vectors are what the specification makes, and files alone suffice to check an implementation."""

import importlib
import json

import numpy as np
import pytest

from vtc_conformance import inputs
from vtc_conformance.golden import __main__ as golden


def test_the_files_are_what_the_specification_makes():
    assert golden.differences() == []


@pytest.mark.parametrize("name", ["vtc_core", "vtc_torch"])
def test_backends_make_the_golden_results(name):
    backend = importlib.import_module(name)
    arrays = np.load(golden.FOLDER / "golden.npz")

    def read(x):
        if not isinstance(x, dict):
            return tuple(x) if isinstance(x, list) else x
        array = arrays[x["array"]]
        return array.view(inputs.dtype_of(x["dtype"])) if x["dtype"] == "bfloat16" else array

    for case in json.loads((golden.FOLDER / "index.json").read_text())["cases"]:
        values = [read(x) for x in case["arguments"].values()]
        arguments = [backend.from_numpy(x) if isinstance(x, np.ndarray) else x for x in values]
        result = getattr(backend, case["verb"])(*arguments)
        parts = result if hasattr(result, "_fields") else (result,)
        for part, expected in zip(parts, map(read, case["results"].values()), strict=True):
            got = backend.to_numpy(part) if isinstance(expected, np.ndarray) else part
            np.testing.assert_allclose(
                np.asarray(got, np.float64),
                np.asarray(expected, np.float64),
                case["tolerance"],
                0,
                err_msg=case["name"],
            )
