"""Is the pruned encoder faster than the unpruned one in PyTorch? Eager against whole and the usual way; compiled; and
all methods that walk through it in another way.

    python benchmarks/encoder_torch.py [torch] [compile] [methods] [--rounds 5] [--busy]

The same as `vtc bench encoder` for several settings, random weights, float32; recorded in RESULTS.md.
"""

import argparse

import torch
from results import write_section

from vtc_bench import report
from vtc_bench.timing import processor, wall
from vtc_core.methods import FlowCut, PruMerge, Received, VisionZip, VtcCls

SETTINGS = {  # geometry, batch, keep
    "torch": (("vit-l-336", 4, 64), ("vit-l-336", 1, 64), ("vit-l-336", 1, 192), ("vit-b-224", 4, 22)),
    "compile": (("vit-l-336", 1, 64), ("vit-b-224", 4, 22)),
}
TITLES = {"torch": "Encoder, PyTorch", "compile": "Encoder, torch.compile", "methods": "Encoder, PyTorch, by method"}
# What they look at: rows of CLS, all queries, features, the layer after the features, fewer tokens in every layer.
METHODS = (VtcCls(), Received(), VisionZip(), PruMerge(), FlowCut())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*", choices=[[], *TITLES], default=[], metavar="|".join(TITLES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help="methods by the processor time of one thread")
    options = parser.parse_args()
    clock = processor if options.busy else wall
    if options.busy:
        torch.set_num_threads(1)
    for backend in options.backends or TITLES:
        if backend == "methods":
            made = [report.methods("vit-l-336", METHODS, batch, 64, options.rounds, clock) for batch in (1, 4)]
        else:
            made = [report.encoder(backend, *setting, rounds=options.rounds) for setting in SETTINGS[backend]]
        body = "\n\n".join(one.body for one in made)
        if options.busy:
            body += "\n\nSeconds are those of the processor, in one thread, on a machine with other work."
        print(body)
        command = f"python benchmarks/encoder_torch.py {backend}{' --busy' * options.busy}"
        write_section(TITLES[backend], command, body, made[0].packages)


if __name__ == "__main__":
    main()
