"""The conformance suite: in the dtypes that JAX has by default, and in float64 where a process switches it on.

Compiling takes the time. XLA's older emitters take half of it, but change NaN payloads of bfloat16: test_verbs.py holds
those, with the emitters of users. Methods are left to test_methods.py, and run by `vtc check vtc_jax`.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from ..conformance.running import Ran, run_suite

QUICKLY = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
CLAUSES = {f"S{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9)}
OF_ENCODERS, OF_VERBS = CLAUSES - {"S5"}, CLAUSES - {"S8"}
SOME = "not (test_methods and not scan) and not (nan_payloads and bfloat16)"
RUNS = {  # name -> x64, chosen, variant, dtypes, clauses
    "encoder": ("0", "eager and test_encoder", "eager", {"float16", "bfloat16", "float32"}, OF_ENCODERS),
    "verbs": ("0", "eager and not test_encoder", "eager", {"float16", "bfloat16", "float32", ""}, OF_VERBS),
    "float64": ("1", "eager and cpu-float64", "eager", {"float64"}, CLAUSES),
    "jit": ("0", "jit", "jit", {"float32", ""}, CLAUSES),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ran]]]:
    """Two at a time: each is a process of one thread."""
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(
                run_suite,
                tmp_path_factory.mktemp(name),
                *("--vtc-backend", "vtc_jax", "-k", f"{chosen} and {SOME}"),
                JAX_ENABLE_X64=x64,
                XLA_FLAGS=QUICKLY,
            )
            for name, (x64, chosen, *_) in RUNS.items()
        }


@pytest.mark.parametrize("name", RUNS)
def test_conforms(runs, name):
    ran, (*_, variant, dtypes, clauses) = runs[name].result(), RUNS[name]
    assert ran.code == 0, ran.output
    assert {test["outcome"] for test in ran.tests} == {"passed"}
    assert {(test["variant"], test["dtype"]) for test in ran.tests} == {(variant, dtype) for dtype in dtypes}
    assert {test["clause"] for test in ran.tests} >= clauses
