"""`PrunedEncoder.export`: one file, read by JAX alone."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export
from small_models import make_tower

from vtc_jax import PrunedEncoder, exporting

LOAD = """
import sys
import jax.numpy as jnp
from jax import export

encode = export.deserialize(bytearray(open(sys.argv[1], "rb").read())).call
for batch in (1, 3):
    features, indices, scores = encode(jnp.zeros((batch, 3, 24, 24)))
    print(*features.shape, *indices.shape, *scores.shape)
print(*(name for name in sys.modules if name.startswith(("vtc", "flax", "torch"))))
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tower")
    make_tower(depth=3, dim=16, heads=2).save_pretrained(folder)
    return PrunedEncoder.from_pretrained(folder, 7, "vtc-cls:layers=2")


def test_a_process_without_vtc_loads_and_calls_it_in_every_batch_size(encoder, tmp_path):
    encoder.export(tmp_path / "encoder")
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]
    done = subprocess.run([sys.executable, "-c", LOAD, tmp_path / "encoder"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1 7 16 1 7 1 36", "3 7 16 3 7 3 36", ""]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_file_is_for_all_platforms_and_does_what_the_encoder_does(dtype, tmp_path):
    make_tower(depth=2, dim=16, heads=2).save_pretrained(tmp_path)
    encoder = PrunedEncoder.from_pretrained(tmp_path, 7, "fastervlm", dtype=dtype)
    encoder.export(tmp_path / "encoder")
    read = export.deserialize(bytearray((tmp_path / "encoder").read_bytes()))
    assert read.platforms == ("cpu", "cuda", "tpu")
    pixel_values = jnp.asarray(np.random.default_rng(1).standard_normal((5, 3, 24, 24)), jnp.float32)
    exporting.compare(read.call(pixel_values), nnx.jit(encoder)(pixel_values))


def test_an_existing_file_is_kept_unless_told_otherwise(encoder, tmp_path):
    path = tmp_path / "encoder"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="encoder is there already: pass overwrite=True to replace it"):
        encoder.export(path)
    assert path.read_text() == "mine"
    encoder.export(path, platforms=("cpu",), overwrite=True)
    assert export.deserialize(bytearray(path.read_bytes())).platforms == ("cpu",)


@pytest.mark.parametrize(("part", "name"), [(0, "features"), (1, "indices"), (2, "scores")])
def test_a_file_that_differs_is_refused_and_nothing_is_left(encoder, tmp_path, monkeypatch, part, name):
    deserialize = export.deserialize

    class Wrong:
        def __init__(self, read):
            self.read = read

        def call(self, pixel_values):
            parts = list(self.read.call(pixel_values))
            parts[part] = parts[part].at[0, 0].multiply(2) + (part == 1)
            return parts

    monkeypatch.setattr(export, "deserialize", lambda read: Wrong(deserialize(read)))
    (tmp_path / "encoder").write_text("old")
    with pytest.raises(RuntimeError, match=f"is not the encoder: {name} differ by"):
        encoder.export(tmp_path / "encoder", platforms=("cpu",), overwrite=True)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_nan_is_a_difference():
    zeros = [jnp.zeros((1, 2, 3)), jnp.zeros((1, 2), int), jnp.zeros((1, 4))]
    with pytest.raises(RuntimeError, match="scores differ by nan"):
        exporting.compare([*zeros[:2], zeros[2] + jnp.nan], zeros)
