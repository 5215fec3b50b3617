"""What can be changed in a checkpoint, and the comparison with torch."""

import json

import numpy as np
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"
TOWER = "vision_tower.vision_model."


def change(folder, *, drop=(), add=()):
    """Take tensors out of a checkpoint, by the start of their names, and put some in."""
    tensors = {k: v for k, v in load_file(folder / WEIGHTS).items() if not k.startswith(tuple(drop))}
    save_file(tensors | dict(add), folder / WEIGHTS, {"format": "pt"})


def assert_same(got, expected):
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_allclose(got.features, expected.features.detach(), rtol=0, atol=2e-5)


def configure(folder, **settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
