"""The ways in which others compute the same tokens, beside ours, on the same weights.

    python benchmarks/peers.py [--geometry vit-l-336] [--keep 64] [--batch 1] [--rounds 3]

Processor seconds of one thread, float32, interleaved. The authors' ways are computed by their formulas, in modules of
transformers: eager attention with all maps and all hidden states, the last layer too; VisionZip with a hook on keys.
A hook-style plugin leaves sdpa alone and computes [CLS]'s row from hooks on the projections of the last K layers. Peak
memory is of one call in a process of its own, above the loaded model.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from results import write_section
from torch import Tensor

import vtc_torch
from vtc_bench import costs, torch_encoder
from vtc_bench.memory import above_resident, in_a_new_process
from vtc_bench.timing import interleaved, processor, ratio, spread
from vtc_core.methods import FasterVlm, Method, Seen, VisionZip, VtcCls, combine
from vtc_torch import Pruned, attend, prune

WHOLE = "unpruned, sdpa"
OURS = "vtc"


def with_maps(eager: Any, keep: int, method: VtcCls | FasterVlm, pixels: Tensor) -> Pruned:
    layers = torch_encoder.pruned(eager, keep, method).layers
    out = eager(pixels, output_attentions=True, output_hidden_states=True)
    return prune(out.hidden_states[-2][:, 1:], torch.stack([out.attentions[n][:, :, 0, 1:] for n in layers]), keep)


def visionzip(eager: Any, keep: int, pixels: Tensor) -> Tensor:
    attention, noted = eager.encoder.layers[-2].self_attn, []
    hook = attention.k_proj.register_forward_hook(lambda module, args, keys: noted.append(keys))
    out = eager(pixels, output_attentions=True, output_hidden_states=True)
    hook.remove()
    features, tokens = out.hidden_states[-2], pixels.new_zeros(len(pixels), out.hidden_states[-2].shape[1] - 1)
    seen = Seen(
        places=torch.stack([tokens, tokens], -1).long(),
        tile=tokens.long(),
        cls_attention=out.attentions[-2][:, :, 0, 1:].mean(1)[:, :, None],
        keys=noted[0][:, 1:].unflatten(2, (attention.num_heads, -1)),
    )
    return combine(vtc_torch, features[:, 1:], VisionZip().choose(vtc_torch, seen, keep), features[:, 0])


def hooked(tower: Any, keep: int, method: VtcCls, pixels: Tensor) -> Pruned:
    layers = [tower.encoder.layers[n].self_attn for n in torch_encoder.pruned(tower, keep, method).layers]
    noted: dict[Any, Tensor] = {}
    parts = [part for layer in layers for part in (layer.q_proj, layer.k_proj)]
    hooks = [part.register_forward_hook(lambda module, args, made: noted.__setitem__(module, made)) for part in parts]
    features = torch_encoder.whole(tower, pixels)
    for hook in hooks:
        hook.remove()
    rows = []
    for layer in layers:
        query, keys = (
            noted[p].unflatten(2, (layer.num_heads, -1)).transpose(1, 2) for p in (layer.q_proj, layer.k_proj)
        )
        rows.append(attend(query[:, :, 0], keys, layer.scale))
    return prune(features, torch.stack(rows), keep)


def runs(geometry: str, keep: int, batch: int) -> dict[str, dict[str, Callable[[], Any]]]:
    """For each method ours and the others' ways."""
    g = costs.GEOMETRIES[geometry]
    pixels, sdpa, eager = torch_encoder.pixels(g, batch), torch_encoder.tower(g), torch_encoder.tower(g, "eager")

    def ours(method: Method) -> Callable[[], Any]:
        return partial(torch_encoder.pruned(sdpa, keep, method), pixels)

    return {
        "VTC-CLS": {
            OURS: ours(VtcCls()),
            "authors' way": partial(with_maps, eager, keep, VtcCls(), pixels),
            "hook-style": partial(hooked, sdpa, keep, VtcCls(), pixels),
        },
        "FasterVLM": {OURS: ours(FasterVlm()), "authors' way": partial(with_maps, eager, keep, FasterVlm(), pixels)},
        "VisionZip": {OURS: ours(VisionZip()), "authors' way": partial(visionzip, eager, keep, pixels)},
        WHOLE: {"": partial(torch_encoder.whole, sdpa, pixels)},
    }


def measured(geometry: str, keep: int, batch: int, method: str, way: str) -> int:
    """Bytes of one call at its peak, in this process."""
    run = torch_encoder.without_gradients(runs(geometry, keep, batch)[method][way])
    run()  # thread pools are not the call's own
    return above_resident(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometry", choices=costs.GEOMETRIES, default="vit-l-336")
    parser.add_argument("--keep", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.measure:
        return print(measured(options.geometry, options.keep, options.batch, *options.measure))
    made = runs(options.geometry, options.keep, options.batch)
    named = {
        (method, way): torch_encoder.without_gradients(run)
        for method, ways in made.items()
        for way, run in ways.items()
    }
    seconds = interleaved({"\n".join(key): run for key, run in named.items()}, options.rounds, processor, "peers")
    sizes = ["--geometry", options.geometry, "--keep", str(options.keep), "--batch", str(options.batch)]
    bytes_of = {key: in_a_new_process(" ".join(key), __file__, *sizes, "--measure", *key) for key in named}
    head = ("method", "way", "median s", "vtc / this", "min-max", "this / unpruned", "peak memory")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    unpruned = f"{WHOLE}\n"
    for (method, way), _ in named.items():
        key = f"{method}\n{way}"
        to_whole, median = ratio(seconds, key, unpruned).median, spread(seconds[key]).median
        of = ratio(seconds, f"{method}\n{OURS}", key) if way else None
        against = f"{of.median:.3f} | {of.low:.3f}-{of.high:.3f}" if of else "- | -"
        peak = f"{bytes_of[method, way] / 2**20:.0f} MiB"
        rows.append(f"| {method} | {way} | {median:.3g} | {against} | {to_whole:.3f} | {peak} |")
    note = (
        f"Encoder {options.geometry} (CLIP geometry, random weights), float32, batch {options.batch}, "
        f"keep={options.keep}, {options.rounds} interleaved rounds, processor seconds of one thread. "
        "Peak memory: of one call above the loaded model, a process each."
    )
    body = "\n".join([*rows, "", note])
    print(body)
    command = f"python {' '.join(['benchmarks/peers.py', *sys.argv[1:]])}"
    write_section(f"Peers, {options.geometry}", command, body, torch_encoder.PACKAGES)


if __name__ == "__main__":
    main()
