"""The conformance suite: in the dtypes that JAX has by default, and in float64 where a process switches it on.

Compiling takes the time. Left out for it, and run by `vtc check vtc_jax`: hypothesis, long rows, and of the encoder the
grid of 24 x 24 patches, jit and 16 bits (see test_encoder.py), and what is compiled most often.
"""

import pytest

from ..conformance.running import run_suite

QUICK = (
    "not properties and not long_rows and not 24x24 and not (test_encoder and (jit or float16 or s3 or s8_kept or s9))"
)


@pytest.mark.parametrize(
    ("x64", "chosen", "dtypes"),
    [
        ("0", QUICK, {"float16", "bfloat16", "float32", ""}),
        ("1", f"cpu-float64 and {QUICK}", {"float64"}),
    ],
)
def test_conforms_eager_and_jitted(tmp_path, monkeypatch, x64, chosen, dtypes):
    monkeypatch.setenv("JAX_ENABLE_X64", x64)
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    ran = run_suite(tmp_path, "--vtc-backend", "vtc_jax", "-k", chosen)
    assert ran.code == 0, ran.output
    assert {test["outcome"] for test in ran.tests} == {"passed"}
    assert {(test["variant"], test["dtype"]) for test in ran.tests} == {
        (variant, dtype) for variant in ("eager", "jit") for dtype in dtypes
    }
    assert {test["clause"] for test in ran.tests} >= {f"S{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9)}
