"""Answer a question about a picture with few visual tokens, and say what that saves.

python examples/answer.py
python examples/answer.py photo.jpg "What is on the table?" --model llava-hf/llava-1.5-7b-hf --keep 64
"""

import argparse

from PIL import Image

import vtc_llava
import vtc_tiny
from vtc_llava.answering import prompt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("image", nargs="?", help="a file; left out: a drawn scene")
parser.add_argument("question", nargs="?", default="how many objects ?")
parser.add_argument("--model", default=str(vtc_tiny.PATH), help="a folder or hub id; left out: the embedded model")
parser.add_argument("--keep", type=int, default=16)
parser.add_argument("--method", default="vtc-cls")
options = parser.parse_args()

image = Image.open(options.image).convert("RGB") if options.image else vtc_tiny.scene(0).image
model, processor = vtc_llava.load(options.model, keep=options.keep, method=options.method, dtype="auto")

inputs = processor(images=image, text=prompt(processor, options.question), return_tensors="pt")
ids = model.generate(**inputs.to(model.device, model.dtype), max_new_tokens=64, do_sample=False)
print(processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
print(model.vtc.describe(*image.size))
