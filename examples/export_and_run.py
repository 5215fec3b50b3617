"""Write a checkpoint's pruned encoder as one ONNX file, then run it at several budgets in a process without torch.

python examples/export_and_run.py
python examples/export_and_run.py --model llava-hf/llava-1.5-7b-hf
"""

import argparse
import subprocess
import sys

RUN = """
import sys

import numpy as np

import vtc_onnx

encoder = vtc_onnx.PrunedEncoder("encoder.onnx")
side = encoder.metadata.image_size
# in earnest an image processor makes the pixels
pixels = np.random.default_rng(0).standard_normal((2, 3, side, side), dtype=np.float32)
for keep in (4, 16, 64):
    features, indices, scores = encoder(pixels, keep=keep)
    print(f"keep={keep}: features {features.shape}, first picture's tokens {indices[0, :4]} ...")
assert "torch" not in sys.modules
"""

if __name__ == "__main__":
    import vtc_tiny
    from vtc_onnx import export

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(vtc_tiny.PATH), help="a folder or hub id; left out: the embedded model")
    export(parser.parse_args().model, "encoder.onnx", keep=16)
    subprocess.run([sys.executable, "-c", RUN], check=True)
