"""Is the pruned encoder faster than the unpruned one? Every backend, geometry and batch that matters, recorded.

    python benchmarks/encoder.py [--backend torch --backend onnx ...] [--rounds 5]

The same as `vtc bench encoder` for several settings; a backend's section of RESULTS.md is replaced.
"""

import argparse

from results import write_section

from vtc_bench import report

SETTINGS = (  # geometry, batch, keep
    ("vit-l-336", 4, 64),
    ("vit-l-336", 1, 64),
    ("vit-l-336", 1, 192),
    ("vit-b-224", 4, 22),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", action="append", choices=report.BACKENDS)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for backend in options.backend or report.BACKENDS:
        made = [report.encoder(backend, *setting, rounds=options.rounds) for setting in SETTINGS]
        body = "\n\n".join(one.body for one in made)
        print(body)
        write_section(
            f"Encoder, {backend}", f"python benchmarks/encoder.py --backend {backend}", body, made[0].packages
        )


if __name__ == "__main__":
    main()
