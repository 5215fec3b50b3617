"""Encode a folder of pictures once, then ask about all of them: no pixels and no vision tower the second time.

python examples/encode_then_ask.py
python examples/encode_then_ask.py photos "What is this?" --model llava-hf/llava-1.5-7b-hf --keep 64
"""

import argparse
import subprocess
from glob import glob
from pathlib import Path

import pyarrow.parquet as pq
from transformers import AutoProcessor, LlavaForConditionalGeneration

import vtc_tiny
from vtc_llava import answer_from

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("pictures", nargs="?", help="a folder; left out: eight drawn scenes, in ./scenes")
parser.add_argument("question", nargs="?", default="how many objects ?")
parser.add_argument("--model", default=str(vtc_tiny.PATH), help="a folder or hub id; left out: the embedded model")
parser.add_argument("--keep", type=int, default=16)
options = parser.parse_args()

pictures = options.pictures or "scenes"
if options.pictures is None:
    Path(pictures).mkdir(exist_ok=True)
    for number in range(8):
        vtc_tiny.scene(number).image.save(f"{pictures}/{number}.png")
settings = ["--model", options.model, "--keep", str(options.keep)]
subprocess.run(["vtc", "encode", pictures, "features", *settings], check=True)

table = pq.read_table(sorted(glob("features/features-*.parquet")))
features = table["features"].combine_chunks().to_numpy_ndarray()  # (pictures keep dim)
model = LlavaForConditionalGeneration.from_pretrained(options.model, dtype="auto").eval()
processor = AutoProcessor.from_pretrained(options.model)
answers = answer_from(model, processor, features, [options.question] * len(features))
for name, answer in zip(table["id"].to_pylist(), answers, strict=True):
    print(f"{name}: {answer}")
