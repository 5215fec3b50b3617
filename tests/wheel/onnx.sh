python -c "import numpy as np, vtc_onnx; assert vtc_onnx.select(np.float32([[1, 3, 2]]), 2).tolist() == [[1, 2]]"
