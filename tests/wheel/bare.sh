# vtc_core imports and prunes with NumPy alone, and nothing lands beside other people's packages
python - <<'PY'
import importlib.metadata as metadata
from importlib.util import find_spec

import numpy as np
import vtc_core

assert not any(map(find_spec, ("torch", "jax", "onnx", "transformers", "PIL"))), "the environment is not empty"
tops = {file.parts[0] for file in metadata.files("vtc-cls") or ()}
odd = {top for top in tops if not top.startswith("vtc_") and top != ".."}
assert not odd, f"the wheel would put these beside other people's packages: {odd}"
rng = np.random.default_rng(0)
pruned = vtc_core.prune(rng.standard_normal((2, 9, 4)), rng.random((3, 2, 4, 9)), keep=3)
assert pruned.features.shape == (2, 3, 4)
print("pruned to", pruned.indices.tolist())
PY
