"""Is a packed tower (`vtc_torch.pack`) faster on this CPU, in float32 and in bfloat16?

    python benchmarks/packed.py [--geometry vit-l-336] [--keep 64] [--rounds 5] [--batches 1 4]

Processor seconds of one thread, interleaved: pruned, pruned and packed (in bfloat16 also with sdpa instead of attention
by products, as vLLM's kernels with sdpa would be), unpruned, and the usual way (transformers' eager attention, all maps
kept).
"""

import argparse
import sys

import torch
from results import write_section

from vtc_bench import costs, packed_encoder, torch_encoder
from vtc_bench.timing import interleaved, processor, table
from vtc_core.methods import VtcCls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometry", choices=costs.GEOMETRIES, default="vit-l-336")
    parser.add_argument("--keep", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    torch.set_num_threads(1)
    g, method, parts = costs.GEOMETRIES[options.geometry], VtcCls(), []
    for dtype in (torch.float32, torch.bfloat16):
        for batch in options.batches:
            pixels = torch_encoder.pixels(g, batch, dtype=dtype)
            runs = packed_encoder.runs(g, pixels, options.keep, method)
            seconds = interleaved(runs, options.rounds, processor, f"{dtype}, batch {batch}")
            parts += [f"{str(dtype).removeprefix('torch.')}, batch {batch}", table(seconds, packed_encoder.PACKED, {})]
    parts.append(
        f"Encoder {options.geometry} (CLIP geometry, random weights), keep={options.keep} of {g.tokens}, K=3, "
        f"{options.rounds} interleaved rounds, processor seconds of one thread."
    )
    body = "\n\n".join(parts)
    print(body)
    command = f"python {' '.join(['benchmarks/packed.py', *sys.argv[1:]])}"
    write_section(f"Packed for a CPU, {options.geometry}", command, body, torch_encoder.PACKAGES)


if __name__ == "__main__":
    main()
