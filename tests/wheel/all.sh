vtc export embedded encoder.onnx --keep 16
python - <<'PY'
import jax
import numpy as np
import vtc_onnx

pruned = vtc_onnx.PrunedEncoder("encoder.onnx")(np.zeros((2, 3, 96, 96), np.float32))
assert pruned.indices.shape == (2, 16)
assert jax.numpy.asarray(pruned.features).shape == (2, 16, 128)
PY
