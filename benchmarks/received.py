"""Does the memory of method "received" grow with tokens, or with their square? Peak of one call, by size of picture.

    python benchmarks/received.py [--grids 16 24 32 48 64]

SigLIP so400m widths, three layers of it, two of them ensembled, random weights, float32, one picture of grid x grid
patches. Each figure is from a process of its own: what the call takes above the loaded model (Linux' VmHWM).
A: `vtc_torch.PrunedEncoder` with it. B: the whole tower with sdpa, which prunes nothing. C: the usual way, eager
attention with every map kept, and the mean over its columns. Exit code 1 if A grows faster than tokens ** 1.2.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from results import write_section
from rich.console import Console
from rich.progress import track
from transformers import SiglipVisionConfig, SiglipVisionModel

from vtc_bench.memory import above_resident, in_a_new_process
from vtc_core.methods import Received
from vtc_torch import PrunedEncoder, prune

RECEIVED, WHOLE, MAPS = "received", "unpruned, sdpa", "all maps kept"
PATCH, DEPTH, LAYERS, BOUND = 14, 3, 2, 1.2


def tower(grid: int, attention: str) -> Any:
    config = SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=DEPTH,
        num_attention_heads=16,
        image_size=grid * PATCH,
        patch_size=PATCH,
        vision_use_head=False,
    )
    torch.manual_seed(0)
    return SiglipVisionModel._from_config(config, attn_implementation=attention).eval()


def run(name: str, grid: int) -> Callable[[], Any]:
    keep = grid * grid // 9
    pixel_values = torch.randn(1, 3, grid * PATCH, grid * PATCH)
    model = tower(grid, "eager" if name == MAPS else "sdpa")
    if name == RECEIVED:
        encoder = PrunedEncoder(model, keep, Received(LAYERS), feature_layer=-1)
        return lambda: encoder(pixel_values)
    if name == WHOLE:
        return lambda: model(pixel_values).last_hidden_state

    def usual_way() -> Any:
        out = model(pixel_values, output_attentions=True)
        return prune(out.last_hidden_state, torch.stack([m.mean(2) for m in out.attentions[-LAYERS:]]), keep)

    return usual_way


def measure(name: str, grid: int) -> int:
    """Bytes, in this process."""
    with torch.inference_mode():
        call = run(name, grid)
        call()  # thread pools and packed weights are not the call's own
        return above_resident(call)


def exponent(tokens: list[int], sizes: list[int]) -> float:
    """a of `sizes ~ tokens ** a`, by least squares of the logarithms."""
    return float(np.polyfit(np.log(tokens), np.log(sizes), 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, nargs="+", default=[16, 24, 32, 48, 64])
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "GRID"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(measure(options.measure[0], int(options.measure[1])))
        return 0

    names = (RECEIVED, WHOLE, MAPS)
    points = [(name, grid) for grid in options.grids for name in names]
    found: dict[str, list[int]] = {name: [] for name in names}
    for name, grid in track(points, description="peak memory", console=Console(stderr=True)):
        found[name].append(in_a_new_process(name, __file__, "--measure", name, str(grid)))

    tokens = [grid * grid for grid in options.grids]
    growth = {name: exponent(tokens, found[name]) for name in names}
    rows = [f"| tokens | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for index, count in enumerate(tokens):
        rows.append(f"| {count} | {' | '.join(f'{found[name][index] / 2**20:.0f} MiB' for name in names)} |")
    rows.append(f"| grows as tokens to the | {' | '.join(f'{growth[name]:.2f}' for name in names)} |")
    body = "\n".join(rows) + (
        f"\n\nPeak memory of one call above the loaded model, a process each. SigLIP so400m widths, {DEPTH} layers, "
        f"{LAYERS} of them ensembled, random weights, float32, batch 1, one token in nine kept."
    )
    print(body)
    write_section("Memory of received attention", "python benchmarks/received.py", body, ("torch", "transformers"))
    return int(growth[RECEIVED] > BOUND)


if __name__ == "__main__":
    sys.exit(main())
