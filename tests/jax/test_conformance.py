"""The conformance suite: in the dtypes that JAX has by default, and in float64 where a process switches it on.

Compiling takes the time. Left out for it, and run by `vtc check vtc_jax`: hypothesis, long rows, methods (see
test_methods.py), and of the encoder the grid of 24 x 24 patches, jit and 16 bits (see test_encoder.py), and what is
compiled most often. XLA's older emitters compile in half the time, but change NaN payloads of bfloat16: test_verbs.py
holds those, with the emitters of users.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from ..conformance.running import Ran, run_suite

QUICK = (
    "not properties and not long_rows and not 24x24 and not (test_encoder and (jit or float16 or s3 or s8_kept or s9))"
    " and not (nan_payloads and bfloat16) and not (test_methods and not scan)"
)
QUICKLY = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
CLAUSES = {f"S{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9)}
RUNS = {  # name -> x64, chosen, variants, dtypes
    "eager": ("0", f"eager and {QUICK}", {"eager"}, {"float16", "bfloat16", "float32", ""}),
    "jit": ("0", f"jit and {QUICK}", {"jit"}, {"float16", "bfloat16", "float32", ""}),
    "float64": ("1", f"cpu-float64 and {QUICK}", {"eager", "jit"}, {"float64"}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ran]]]:
    """Two at a time: each is a process of one thread."""
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(
                run_suite,
                tmp_path_factory.mktemp(name),
                *("--vtc-backend", "vtc_jax", "-k", chosen),
                JAX_ENABLE_X64=x64,
                XLA_FLAGS=QUICKLY,
            )
            for name, (x64, chosen, _, _) in RUNS.items()
        }


@pytest.mark.parametrize("name", RUNS)
def test_conforms(runs, name):
    ran, (_, _, variants, dtypes) = runs[name].result(), RUNS[name]
    assert ran.code == 0, ran.output
    assert {test["outcome"] for test in ran.tests} == {"passed"}
    assert {(test["variant"], test["dtype"]) for test in ran.tests} == {(v, d) for v in variants for d in dtypes}
    assert {test["clause"] for test in ran.tests} >= (CLAUSES - {"S8"} if name == "jit" else CLAUSES)  # S8: of encoders
