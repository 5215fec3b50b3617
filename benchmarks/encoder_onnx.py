"""Is the pruned encoder faster than the unpruned one in ONNX Runtime? float32 and int8, one picture and four.

    python benchmarks/encoder_onnx.py [--geometry vit-l-336] [--keep 64] [--method vtc-cls] [--rounds 5] [--dry]

Everything is exported by this package with the same options, random weights. The baseline is the whole tower, its last
layer too: what stock LLaVA pays. An exporter that is asked for the feature layer leaves that layer out on its own, so
that this is shown as well; and pruned in torch. Rounds go A B C A B C, so that a slow minute of the machine hits all.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from results import write_section

from vtc_bench import costs, onnx_encoder, torch_encoder
from vtc_bench.onnx_encoder import PRUNED, WHOLE
from vtc_bench.report import largest_difference
from vtc_bench.timing import interleaved, table
from vtc_core.methods import method_of, spelled

BATCHES = (1, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometry", choices=costs.GEOMETRIES, default="vit-l-336")
    parser.add_argument("--keep", type=int, default=64)
    parser.add_argument("--method", default="vtc-cls")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="do not write RESULTS.md")
    options = parser.parse_args()
    g, keep, method = costs.GEOMETRIES[options.geometry], options.keep, method_of(options.method)

    float32 = onnx_encoder.runs(g, keep, method)
    int8 = onnx_encoder.runs(g, keep, method, "int8", (PRUNED, WHOLE))
    encoders = {f"{name}, ONNX Runtime": run for name, run in float32.items()}
    encoders |= {f"{name}, ONNX Runtime, int8": run for name, run in int8.items()}
    first, whole, trimmed, first8, whole8 = encoders

    parts = []
    work = costs.pruned(g, keep, method)
    floors = dict.fromkeys((whole, whole8), work / costs.whole(g))
    floors[trimmed] = work / costs.whole(g._replace(depth=g.depth - 1))
    for batch in BATCHES:
        pixels = torch_encoder.pixels(g, batch)
        runs: dict[str, Callable[[], Any]] = {name: partial(run, pixels.numpy()) for name, run in encoders.items()}
        in_torch = torch_encoder.runs(g, pixels, keep, method, (torch_encoder.PRUNED,))
        runs["pruned, torch"] = in_torch[torch_encoder.PRUNED]
        difference = largest_difference(runs[first](), runs[whole]())
        seconds = interleaved(runs, options.rounds, title=f"ONNX encoder, batch {batch}")
        of_float32 = {name: times for name, times in seconds.items() if name not in (first8, whole8)}
        parts += [
            f"Batch {batch}, float32. Largest difference of a kept feature from the unpruned file's: {difference:.1e}.",
            table(of_float32, first, floors),
            f"Batch {batch}, int8, in the same rounds.",
            table({name: seconds[name] for name in (first8, whole8, first)}, first8, floors),
        ]
    metadata = int8[PRUNED].metadata  # type: ignore[attr-defined]
    parts.append(
        f"Encoder {options.geometry} (CLIP geometry, random weights), keep={keep} of {g.tokens}, method "
        f"{spelled(method)}, {options.rounds} interleaved rounds. The int8 file keeps {metadata.overlap:.1%} of the "
        f"tokens that float32 keeps, the cosine of features at the same tokens is {metadata.cosine:.4f}; of random "
        "weights."
    )
    body = "\n\n".join(parts)
    print(body)
    if not options.dry:
        command = f"python benchmarks/encoder_onnx.py {' '.join(sys.argv[1:])}"
        write_section(f"Encoder, ONNX Runtime, {options.geometry}", command, body, onnx_encoder.PACKAGES)


if __name__ == "__main__":
    main()
