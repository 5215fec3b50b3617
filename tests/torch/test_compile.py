"""One graph, no breaks. In a fresh process, since dynamo cannot trace the run-time type checks of this one."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import torch, vtc_torch
from small_models import make_siglip, make_tower, pixels

torch.set_num_threads(1)
attention, features = torch.rand(3, 2, 4, 20), torch.randn(2, 20, 6)
tower = make_tower(depth=3)
encoder = vtc_torch.PrunedEncoder(tower, 7, layers=2, feature_layer=(-2, 0))
siglip = vtc_torch.PrunedEncoder(make_siglip(depth=3), 7, layers=2, signal="received")
for function, arguments in (
    (vtc_torch.prune, (features, attention, 5)),
    (vtc_torch.Pruner(5), (features, attention)),
    (encoder, (pixels(tower),)),
    (siglip, (pixels(tower),)),
):
    with torch.inference_mode():
        plain = function(*arguments)
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")(*arguments)
    assert type(compiled) is vtc_torch.Pruned
    assert torch.equal(plain.indices, compiled.indices)
    torch.testing.assert_close(plain.features, compiled.features, rtol=0, atol=2e-5)
    print("same", type(function).__name__)
"""


def test_verbs_and_encoder_compile_as_one_graph():
    tests = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tests, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["same function", "same Pruner", "same PrunedEncoder", "same PrunedEncoder"]
