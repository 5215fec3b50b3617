python - <<'PY'
from importlib.util import find_spec

import numpy as np
import vtc_jax

tiny = find_spec("vtc_tiny").submodule_search_locations[0] + "/checkpoint"  # to import it takes Pillow
pruned = vtc_jax.PrunedEncoder.from_pretrained(tiny, keep=16)(np.zeros((2, 3, 96, 96), np.float32))
assert pruned.indices.shape == (2, 16)
assert find_spec("torch") is None
PY
