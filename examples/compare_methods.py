"""One question under several methods: the answers, and a picture of what each method kept.

python examples/compare_methods.py
python examples/compare_methods.py photo.jpg "What is on the table?" --model llava-hf/llava-1.5-7b-hf --keep 64
"""

import argparse

from PIL import Image

import vtc_llava
import vtc_tiny
from vtc_llava.answering import prompt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("image", nargs="?", help="a file; left out: a drawn scene")
parser.add_argument("question", nargs="?", default="is there a purple diamond ?")
parser.add_argument("--model", default=str(vtc_tiny.PATH), help="a folder or hub id; left out: the embedded model")
parser.add_argument("--keep", type=int, default=16)
parser.add_argument("--methods", nargs="+", default=["vtc-cls", "visionzip:contextual=4", "divprune"])
options = parser.parse_args()

image = Image.open(options.image).convert("RGB") if options.image else vtc_tiny.scene(0).image
model, processor = vtc_llava.load(options.model, keep=options.keep, dtype="auto")
model.vtc.undo()  # a stock pair, to be patched anew for each method


def answer() -> str:
    inputs = processor(images=image, text=prompt(processor, options.question), return_tensors="pt")
    ids = model.generate(**inputs.to(model.device, model.dtype), max_new_tokens=64, do_sample=False)
    return processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


print(f"{'all tokens':<24} {answer()}")
for method in options.methods:
    with vtc_llava.patch(model, processor, keep=options.keep, method=method) as handle:
        file = f"kept-by-{method.partition(':')[0]}.png"
        handle.show(image).savefig(file)
        print(f"{method:<24} {answer():<24} {file}")
