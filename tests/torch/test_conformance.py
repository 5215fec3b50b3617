"""The conformance suite, whole, on the specification itself and on torch."""

import pytest

from ..conformance.running import Ran, run_suite


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run_suite(tmp_path_factory.mktemp("suite"), "--vtc-backend", "vtc_core", "--vtc-backend", "vtc_torch")


@pytest.mark.parametrize("backend", ["vtc_core", "vtc_torch"])
def test_conforms(ran, backend):
    tests = [test for test in ran.tests if test["backend"] == backend]
    assert {test["outcome"] for test in tests} == {"passed"}, ran.output
    assert {"float16", "float32", "float64"} <= {test["dtype"] for test in tests}
    missing = {"S8"} if backend == "vtc_core" else set()  # which has no encoder
    assert {test["clause"] for test in tests} >= {f"S{number}" for number in range(1, 10)} - missing
