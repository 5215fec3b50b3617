"""What is timed is what is said: all layers of the whole tower, and the same features."""

import numpy as np
import pytest

from vtc_bench import costs, jax_encoder
from vtc_bench.report import largest_difference
from vtc_core.methods import FlowCut, HoloV, VtcCls

TOY = costs.Geometry(tokens=36, dim=32, mlp=64, depth=4, heads=4, patch=4)


@pytest.mark.parametrize("method", [VtcCls(2), HoloV(), FlowCut()], ids=lambda method: method.name)
def test_both_runs_give_the_same_features_at_the_kept_indices(method):
    runs = jax_encoder.float32_runs(TOY, batch=2, keep=5, method=method)
    pruned, whole = (run() for run in runs.values())
    assert pruned.features.shape == (2, 5, 32)
    assert method.progressive or largest_difference(pruned, whole) < 2e-5


def test_the_last_layer_of_the_whole_tower_is_run_and_compiling_is_timed_apart():
    compiled = jax_encoder.compiled(TOY, batch=2, keep=5, method=VtcCls(2))
    features, last = compiled[jax_encoder.WHOLE].run()
    assert (features.shape, last.shape) == ((2, 36, 32), (2, 37, 32))
    assert np.abs(last[:, 1:] - features).max() > 0.1
    assert all(one.seconds > 0 for one in compiled.values())
