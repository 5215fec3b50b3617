"""Is the pruned encoder faster than the unpruned one? CLIP ViT-L/14-336 geometry, random weights, one interleaved run.

    python benchmarks/encoder.py [--batch 4] [--keep 64] [--layers 3] [--rounds 5]

A: `vtc_torch.PrunedEncoder`. B: the whole tower with sdpa, as stock LLaVA runs it. C: the usual way to prune, eager
attention with every layer's map kept, then top-k. Rounds go A B C A B C, so that a slow minute of the machine hits all.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from results import write_section
from rich.console import Console
from rich.progress import track
from transformers import CLIPVisionConfig, CLIPVisionModel

from vtc_torch import PrunedEncoder, prune


def geometry() -> CLIPVisionConfig:
    """CLIP ViT-L/14-336. A new one each time: a model writes its attention implementation into the one it is given."""
    return CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )


def macs(config: Any, layers: int, keep: int) -> tuple[float, float]:
    """Multiply-adds of one picture: (pruned, whole). Design, section 4."""
    n, dim, mlp = (config.image_size // config.patch_size) ** 2, config.hidden_size, config.intermediate_size
    embed = n * dim * 3 * config.patch_size**2
    layer = (1 + n) * (4 * dim * dim + 2 * dim * mlp) + 2 * (1 + n) ** 2 * dim
    last = (1 + n) * 2 * dim * dim + dim * dim + keep * (2 * dim * dim + 2 * dim * mlp) + 2 * keep * (1 + n) * dim
    pruned = embed + (config.num_hidden_layers - 2) * layer + layers * (1 + n) * dim + last
    return pruned, embed + config.num_hidden_layers * layer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--keep", type=int, default=64)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    torch.manual_seed(0)
    whole = CLIPVisionModel._from_config(geometry(), attn_implementation="sdpa").eval()
    eager = CLIPVisionModel._from_config(geometry(), attn_implementation="eager").eval()
    eager.load_state_dict(whole.state_dict())
    assert (whole.config._attn_implementation, eager.config._attn_implementation) == ("sdpa", "eager")
    pruned = PrunedEncoder(whole, options.keep, options.layers)
    pixel_values = torch.randn(options.batch, 3, 336, 336)

    def usual_way() -> torch.Tensor:
        out = eager(pixel_values, output_attentions=True, output_hidden_states=True)
        cls_attention = torch.stack([out.attentions[n][:, :, 0, 1:] for n in pruned.layers])
        return prune(out.hidden_states[-2][:, 1:], cls_attention, options.keep).features

    runs = {
        "pruned": lambda: pruned(pixel_values).features,
        "unpruned, sdpa": lambda: whole(pixel_values, output_hidden_states=True).hidden_states[-2],
        "the usual way": usual_way,
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        difference = (runs["pruned"]() - usual_way()).abs().max().item()  # also the warm-up
        runs["unpruned, sdpa"]()
        for _ in track(range(options.rounds), description="encoder", console=Console(stderr=True)):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)

    pruned_macs, whole_macs = macs(geometry(), options.layers, options.keep)
    rows = ["| | median s | min-max s | pruned / this, median of rounds |", "|---|---|---|---|"]
    for name, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds["pruned"], times, strict=True))
        rows.append(f"| {name} | {statistics.median(times):.2f} | {min(times):.2f}-{max(times):.2f} | {ratio:.3f} |")
    body = "\n".join(rows) + (
        f"\n\nCLIP ViT-L/14-336 geometry, random weights, float32, batch {options.batch}, keep={options.keep}, "
        f"K={options.layers}, {options.rounds} interleaved rounds. "
        f"Floor of pruned / unpruned by multiply-adds: {pruned_macs / whole_macs:.3f}. "
        f"Largest difference of a kept feature from the usual way's: {difference:.1e}."
    )
    print(body)
    write_section("Encoder", "python benchmarks/encoder.py", body, ("torch", "transformers"))


if __name__ == "__main__":
    main()
