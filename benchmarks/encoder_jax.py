"""Is the jitted pruned encoder faster than the jitted unpruned one? And how long does either take to compile?

    python benchmarks/encoder_jax.py [--rounds 5]

Random weights, float32. The unpruned tower runs all its layers, the last one too, and returns the feature layer.
"""

import argparse

from results import write_section

from vtc_bench import costs, jax_encoder
from vtc_bench.report import largest_difference
from vtc_bench.timing import interleaved, table
from vtc_core.methods import VtcCls, spelled

SETTINGS = (("vit-l-336", 1, 64), ("vit-l-336", 4, 64), ("vit-l-336", 1, 192), ("vit-b-224", 4, 22))
METHOD = VtcCls()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    parts = []
    for geometry, batch, keep in SETTINGS:
        g = costs.GEOMETRIES[geometry]
        floor = costs.pruned(g, keep, METHOD) / costs.whole(g)
        compiled = jax_encoder.compiled(g, batch, keep, METHOD)
        runs = {name: one.run for name, one in compiled.items()}
        difference = largest_difference(runs[jax_encoder.PRUNED](), runs[jax_encoder.WHOLE]()[0])
        seconds = interleaved(runs, rounds, title=f"{geometry}, batch {batch}, keep {keep}")
        compiling = ", ".join(f"{name} {one.seconds:.1f} s" for name, one in compiled.items())
        parts.append(
            f"{table(seconds, jax_encoder.PRUNED, {jax_encoder.WHOLE: floor})}\n\n"
            f"{geometry}, batch {batch}, keep={keep}, method {spelled(METHOD)}, float32, {rounds} interleaved rounds. "
            f"Compiled before: {compiling}. Largest difference of a kept feature: {difference:.1e}."
        )
    body = "\n\n".join(parts)
    print(body)
    write_section("Encoder, JAX", "python benchmarks/encoder_jax.py", body, jax_encoder.PACKAGES)


if __name__ == "__main__":
    main()
