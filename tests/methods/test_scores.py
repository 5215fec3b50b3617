"""G-Prune and GLSim against their authors' code."""

import numpy as np
import pytest

from vtc_core.methods import GlSim, GPrune

from .vectors import ATOL, RTOL, cases, choose, every_backend, seen_of


@every_backend
@pytest.mark.parametrize("case", cases("gprune"))
@pytest.mark.parametrize("part", ["thumbnail", "crop"])
def test_gprune_is_the_authors(case, part, backend):
    projected = case.inputs["thumbnail" if part == "thumbnail" else "crops"]
    projected = projected.reshape(1, -1, projected.shape[-1])
    method = GPrune(*(case.params[name] for name in ("threshold", "temperature", "steps")))
    wanted = case.outputs[f"{part}_indices"]
    made = choose(backend, method, seen_of(4, *projected.shape[:2], projected=projected), wanted.shape[1])
    np.testing.assert_allclose(made.scores, case.outputs[f"{part}_scores"], 2 * RTOL, 10 * ATOL)  # the file's own
    np.testing.assert_array_equal(made.indices, wanted)


@every_backend
@pytest.mark.parametrize("case", cases("glsim"))
def test_glsim_is_the_authors(case, backend):
    features = case.inputs["features"]
    cls = np.broadcast_to(features[:, :1], features[:, 1:].shape)
    method, keep = GlSim(case.params["metric"]), case.params["keep"]
    seen = seen_of(4, *cls.shape[:2], features=features[:, 1:], cls_feature=cls)
    made = choose(backend, method, seen, keep)
    sign = 1 if case.params["metric"] == "cos" else -1
    np.testing.assert_allclose(sign * made.scores, case.outputs["scores"], RTOL, ATOL)
    np.testing.assert_array_equal(made.indices, case.outputs["indices"])
