"""Is the pruned encoder faster than the unpruned one in PyTorch? Eager against whole and the usual way; and compiled.

    python benchmarks/encoder_torch.py [torch] [compile] [--rounds 5]

The same as `vtc bench encoder` for several settings, random weights, float32; recorded in RESULTS.md.
"""

import argparse

from results import write_section

from vtc_bench import report

SETTINGS = {  # geometry, batch, keep
    "torch": (("vit-l-336", 4, 64), ("vit-l-336", 1, 64), ("vit-l-336", 1, 192), ("vit-b-224", 4, 22)),
    "compile": (("vit-l-336", 1, 64), ("vit-b-224", 4, 22)),
}
TITLES = {"torch": "Encoder, PyTorch", "compile": "Encoder, torch.compile"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*", choices=[[], *SETTINGS], default=[], metavar="torch|compile")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for backend in options.backends or SETTINGS:
        made = [report.encoder(backend, *setting, rounds=options.rounds) for setting in SETTINGS[backend]]
        body = "\n\n".join(one.body for one in made)
        print(body)
        write_section(TITLES[backend], f"python benchmarks/encoder_torch.py {backend}", body, made[0].packages)


if __name__ == "__main__":
    main()
