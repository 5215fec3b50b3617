"""Is the jitted pruned encoder faster than the jitted unpruned one? And how long does either take to compile?

    python benchmarks/encoder_jax.py [--geometry vit-l-336] [--batch 1 --batch 4] [--keep 64] [--layers 3] [--rounds 5]

Random weights, float32. The unpruned tower runs all its layers, the last one too, and returns the feature layer.
"""

import argparse

from results import write_section

from vtc_bench import costs, jax_encoder
from vtc_bench.report import largest_difference
from vtc_bench.timing import interleaved, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometry", choices=costs.GEOMETRIES, default="vit-l-336")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--keep", type=int, default=64)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    g = costs.GEOMETRIES[options.geometry]
    floor = costs.pruned(g, options.keep, options.layers) / costs.whole(g)
    parts = []
    for batch in options.batch or (1, 4):
        compiled = jax_encoder.compiled(g, batch, options.keep, options.layers)
        runs = {name: one.run for name, one in compiled.items()}
        difference = largest_difference(runs[jax_encoder.PRUNED](), runs[jax_encoder.WHOLE]()[0])
        seconds = interleaved(runs, options.rounds, title=f"batch {batch}")
        compiling = ", ".join(f"{name} {one.seconds:.1f} s" for name, one in compiled.items())
        parts.append(
            f"{table(seconds, jax_encoder.PRUNED, {jax_encoder.WHOLE: floor})}\n\n"
            f"{options.geometry}, batch {batch}, keep={options.keep}, K={options.layers}, float32, "
            f"{options.rounds} interleaved rounds. Compiled before: {compiling}. "
            f"Largest difference of a kept feature: {difference:.1e}."
        )
    body = "\n\n".join(parts)
    print(body)
    write_section("Encoder, JAX", "python benchmarks/encoder_jax.py", body, jax_encoder.PACKAGES)


if __name__ == "__main__":
    main()
