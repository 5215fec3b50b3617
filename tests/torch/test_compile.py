"""One graph, no breaks. In a fresh process, since dynamo cannot trace the run-time type checks of this one."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, torch, vtc_torch
from small_models import make_siglip, make_tower, pixels
from vtc_core.methods import Received, VtcCls

torch.set_num_threads(1)
torch._dynamo.config.recompile_limit = 100

def same(name, function, *arguments):
    with torch.inference_mode():
        plain = function(*arguments)
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")(*arguments)
    assert type(compiled) is vtc_torch.Pruned
    assert torch.equal(plain.indices, compiled.indices)
    torch.testing.assert_close(plain.features, compiled.features, rtol=0, atol=2e-5)
    print("same", name)

attention, features = torch.rand(3, 2, 4, 20), torch.randn(2, 20, 6)
tower, siglip = make_tower(depth=3), make_siglip(depth=3)
"""

VERBS = """
same("prune", vtc_torch.prune, features, attention, 5)
same("Pruner", vtc_torch.Pruner(5), features, attention)
same("several", vtc_torch.PrunedEncoder(tower, 7, VtcCls(2), (-2, 0)), pixels(tower))
same("siglip", vtc_torch.PrunedEncoder(siglip, 7, Received(2)), pixels(siglip))
"""

METHODS = """
for method in sys.argv[1:]:
    same(method, vtc_torch.PrunedEncoder(make_tower(), 7, method), pixels(make_tower()))
"""


def printed(script: str, *arguments: str) -> list[str]:
    tests = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=tests, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("same ") for line in done.stdout.splitlines()]


def test_verbs_and_encoder_compile_as_one_graph():
    assert printed(SCRIPT + VERBS) == ["prune", "Pruner", "several", "siglip"]


def test_methods_compile_as_one_graph():
    """One that chooses late, one that sees features, one that merges, one that is greedy."""
    methods = ["vtc-cls", "norm", "visionzip", "vispruner"]
    assert printed(SCRIPT + METHODS, *methods) == methods
