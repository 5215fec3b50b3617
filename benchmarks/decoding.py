"""From the bytes of a 12-megapixel JPEG to pixel values: what that takes, and what --fast-decode changes.

    python benchmarks/decoding.py [--rounds 5]

Processor seconds of one thread. What changes is measured on the embedded model's scenes, scaled up, with noise.
"""

import argparse
import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from results import write_section
from transformers import CLIPImageProcessorPil
from transformers.models.auto.image_processing_auto import AutoImageProcessor  # 5.16's other name needs torchvision

import vtc_tiny
from vtc_bench import timing
from vtc_bench.photos import as_jpeg, photo
from vtc_encode.preprocessing import pixel_values
from vtc_pictures import read_picture
from vtc_torch import PrunedEncoder

WIDTH, HEIGHT, SIDE, SCENES = 4000, 3000, 336, 40
STOCK, EXACT, FAST = "transformers alone", "vtc encode", "vtc encode --fast-decode"


def seconds(rounds: int) -> dict[str, list[float]]:
    file = io.BytesIO(photo(0, WIDTH, HEIGHT))
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    runs = {
        STOCK: lambda: processor(images=Image.open(file), return_tensors="pt"),
        EXACT: lambda: pixel_values(processor, read_picture(file)),
        FAST: lambda: pixel_values(processor, read_picture(file, 2 * SIDE)),
    }
    return timing.interleaved(runs, rounds, timing.processor, "decoding")


@torch.inference_mode()
def changes() -> tuple[float, float]:
    """By --fast-decode: mean absolute difference of pixels, of 255; share of kept tokens that are the same."""
    processor = AutoImageProcessor.from_pretrained(vtc_tiny.PATH)
    encoder = PrunedEncoder.from_pretrained(str(vtc_tiny.PATH), keep=16)
    tower: Any = encoder.tower
    side = tower.config.image_size
    off, same = [], []
    for number in range(SCENES):
        file = io.BytesIO(as_jpeg(vtc_tiny.scene(number).image.resize((WIDTH, HEIGHT)), number))
        exact, fast = (pixel_values(processor, read_picture(file, least)) for least in (0, 2 * side))
        scale = torch.tensor(processor.image_std).view(3, 1, 1) * 255
        off.append(float(((exact - fast) * scale).abs().mean()))
        kept = [set(encoder(pixels[None]).indices[0].tolist()) for pixels in (exact, fast)]
        same.append(len(kept[0] & kept[1]) / encoder.keep)
    return float(np.mean(off)), float(np.mean(same))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    taken = seconds(rounds)
    off, same = changes()
    rows = ["| | median s | of transformers' | min-max |", "|---|---|---|---|"]
    for name in taken:
        spread, ratio = timing.spread(taken[name]), timing.ratio(taken, name, STOCK)
        rows.append(f"| {name} | {spread.median:.3f} | {ratio.median:.3f} | {ratio.low:.3f}-{ratio.high:.3f} |")
    note = (
        f"A JPEG of {WIDTH} x {HEIGHT} pixels for an encoder of {SIDE}, processor time of one thread, {rounds} "
        "interleaved rounds. `vtc encode` gives transformers' pixel values to the bit. `--fast-decode` on "
        f"{SCENES} scenes of that size for the embedded model: pixels differ by {off:.2f} of 255 in the mean, "
        f"{same:.1%} of the 16 tokens that are kept of 144 are the same."
    )
    body = "\n".join(rows) + f"\n\n{note}"
    print(body)
    write_section(
        "Decode a 12-megapixel JPEG", "python benchmarks/decoding.py", body, ("torch", "transformers", "pillow")
    )


if __name__ == "__main__":
    main()
