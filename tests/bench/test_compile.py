"""The compiled runs are those of `torch_encoder`, compiled. In a fresh process: dynamo cannot trace run-time checks."""

import subprocess
import sys

SCRIPT = """
from functools import partial

import torch
from vtc_bench import compile_encoder, torch_encoder
from vtc_bench.costs import Geometry
from vtc_bench.report import largest_difference
from vtc_core.methods import VtcCls

torch.set_num_threads(1)
compiled = []

def compile(function):  # inductor, the default, needs a C++ compiler
    compiled.append(function)
    return whole(function, backend="aot_eager")

whole, torch.compile = torch.compile, compile
g = Geometry(tokens=36, dim=32, mlp=64, depth=3, heads=4, patch=4)
runs = compile_encoder.float32_runs(g, batch=2, keep=5, method=VtcCls(2))
expected = torch_encoder.float32_runs(g, batch=2, keep=5, method=VtcCls(2))
pruned, unpruned = (run() for run in runs.values())
assert len(compiled) == 2
assert not pruned.features.requires_grad
assert torch.equal(pruned.indices, expected[torch_encoder.PRUNED]().indices)
torch.testing.assert_close(unpruned, expected[torch_encoder.WHOLE](), rtol=0, atol=2e-5)
assert largest_difference(pruned, unpruned) < 2e-5
print(*runs, sep="\\n")
"""


def test_both_runs_are_compiled_and_give_what_they_give_uncompiled():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["pruned, compiled", "unpruned, compiled"]
