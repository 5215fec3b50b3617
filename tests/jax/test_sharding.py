"""The batch over a mesh of four devices, parts of the CPU: in a process of its own, where JAX makes so many."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import vtc_jax
from vtc_jax.tower import CLIPTower, TowerConfig

mesh = Mesh(np.array(jax.devices()), ("batch",))
assert mesh.size == 4
over_batch = NamedSharding(mesh, PartitionSpec("batch"))
tower = CLIPTower(TowerConfig(16, 32, 3, 2, image_size=24, patch_size=4), rngs=nnx.Rngs(0))
encoder = vtc_jax.PrunedEncoder(tower, 7, "vtc-cls:layers=2")
pixel_values = jax.random.normal(jax.random.key(0), (8, 3, 24, 24))
alone = nnx.jit(encoder)(pixel_values)
encoder = jax.device_put(encoder, NamedSharding(mesh, PartitionSpec()))
program = jax.jit(lambda encoder, x: encoder(x)).lower(encoder, jax.device_put(pixel_values, over_batch)).compile()
sharded = program(encoder, jax.device_put(pixel_values, over_batch))
for name, a, b in zip(alone._fields, alone, sharded):
    assert b.sharding.is_equivalent_to(over_batch, b.ndim), (name, b.sharding)
    np.testing.assert_allclose(a, b, rtol=0, atol=0 if name == "indices" else 1e-5)
talk = [word for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute") if word in program.as_text()]
print("same", *talk)
"""


def test_a_sharded_batch_gives_the_same_stays_sharded_and_no_device_asks_another():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["same"]
