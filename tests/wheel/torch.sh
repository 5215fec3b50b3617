python - <<'PY'
from importlib.util import find_spec

import torch
import vtc_torch

tiny = find_spec("vtc_tiny").submodule_search_locations[0] + "/checkpoint"  # to import it takes Pillow
pruned = vtc_torch.PrunedEncoder.from_pretrained(tiny, keep=16)(torch.zeros(2, 3, 96, 96))
assert pruned.indices.shape == (2, 16)
PY
