"""How many held-out questions the shipped tiny model answers with a part of its visual tokens.

    python benchmarks/quality.py [--questions 2048]

Every picture is encoded once; its kept features then go to the language model at compact positions, as `vtc_llava`
does it, which the script checks before it counts anything. Writes the section "Quality" of benchmarks/RESULTS.md.
"""

import argparse
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from results import write_section
from rich.progress import track
from torch import Tensor

import vtc_llava
import vtc_tiny
import vtc_torch

DIVISORS = (2, 4, 6, 9, 18)  # keep 1/2, 1/4, ... of the tokens
DEFAULT = "VTC-CLS, K=3, sum"
BATCH = 256  # questions answered at once


class Encoded(NamedTuple):
    """What the tower says about all pictures, CLS excluded; layers are those up to the feature layer."""

    features: Float[Tensor, "batch tokens dim"]
    cls_attention: Float[Tensor, "layers batch heads tokens"]
    received: Float[Tensor, "layers batch tokens"]  # attention of all tokens to each, mean over queries and heads


Chooser = Callable[[int], Int[Tensor, "batch keep"]]


@torch.inference_mode()
def encode(model: Any, pixels: Float[Tensor, "batch 3 height width"]) -> Encoded:
    """Run the vision tower with eager attention and read every map."""
    tower = model.model.vision_tower
    own = tower.config._attn_implementation
    tower.set_attn_implementation("eager")
    seen = tower(pixels, output_hidden_states=True, output_attentions=True)
    tower.set_attn_implementation(own)
    maps = torch.stack(seen.attentions[:-1])  # layers batch heads 1+tokens 1+tokens
    return Encoded(seen.hidden_states[-2][:, 1:], maps[..., 0, 1:], maps[..., 1:].mean((2, 3)))


@torch.inference_mode()
def answer(
    model: Any,
    processor: Any,
    features: Float[Tensor, "batch keep dim"],
    asked: list[str],
) -> list[str]:
    """Greedy answers from kept features, before the projector, one picture and one question per row."""
    prompts = [prompt(processor, text).replace("<image>", "<image>" * features.shape[1]) for text in asked]
    tokens = processor.tokenizer(prompts, return_tensors="pt", padding=True)
    embeds = model.get_input_embeddings()(tokens.input_ids)
    image = model.model.multi_modal_projector(features)
    embeds = embeds.masked_scatter((tokens.input_ids == model.config.image_token_id)[..., None], image)
    said = model.generate(inputs_embeds=embeds, attention_mask=tokens.attention_mask)
    return processor.batch_decode(said, skip_special_tokens=True)


def prompt(processor: Any, text: str) -> str:
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def choosers(seen: Encoded) -> dict[str, Chooser]:
    """Method name -> which tokens it keeps; the methods differ in nothing else."""
    pictures, tokens = seen.features.shape[:2]
    depth = len(seen.cls_attention) + 1

    def ensemble(layers: int, reduce: str) -> Chooser:
        rows = seen.cls_attention[list(vtc_torch.resolve_layers(layers, depth))]
        return lambda keep: vtc_torch.prune(seen.features, rows, keep, reduce).indices

    def highest(scores: Float[Tensor, "batch tokens"]) -> Chooser:
        return lambda keep: vtc_torch.select(scores, keep)

    methods = {"VTC-CLS, K=1": ensemble(1, "sum")}
    for layers in (2, 3, depth - 1):
        for reduce in ("sum", "max", "min"):
            name = f"K={layers}" if layers < depth - 1 else f"K=all ({layers})"
            methods[f"VTC-CLS, {name}, {reduce}"] = ensemble(layers, reduce)
    methods["mean received attention, last 3 layers"] = highest(seen.received[-3:].sum(0))
    methods["feature norm"] = highest(seen.features.norm(dim=-1))
    methods["uniform grid"] = lambda keep: grid(keep, tokens).expand(pictures, -1)
    methods["random"] = highest(torch.rand(pictures, tokens, generator=torch.Generator().manual_seed(0)))
    return methods


def grid(keep: int, tokens: int) -> Int[Tensor, " keep"]:
    """The middles of the most nearly square rows x columns = keep blocks of the picture."""
    side = math.isqrt(tokens)
    rows = max(r for r in range(1, math.isqrt(keep) + 1) if keep % r == 0)
    down, right = (((torch.arange(n) + 0.5) * side / n).long() for n in (rows, keep // rows))
    return (down[:, None] * side + right).flatten()


def check(model: Any, processor: Any, keep: int, pictures: int = 8) -> None:
    """Fail unless the answers, and the tokens kept, are those of `vtc_llava.patch` and `generate`."""
    scenes = [vtc_tiny.scene(seed) for seed in range(pictures)]
    images = [s.image for s in scenes for _ in vtc_tiny.questions(s)]
    asked = [q.text for s in scenes for q in vtc_tiny.questions(s)]
    with vtc_llava.patch(model, processor, keep=keep) as handle:
        texts = [prompt(processor, text) for text in asked]
        inputs = processor(images=images, text=texts, return_tensors="pt", padding=True)
        said = model.generate(**inputs)[:, inputs.input_ids.shape[1] :]
        patched, last = processor.batch_decode(said, skip_special_tokens=True), handle.last
    seen = encode(model, inputs.pixel_values)
    indices = choosers(seen)[DEFAULT](keep)
    ours = answer(model, processor, vtc_torch.gather(seen.features, indices), asked)
    if last is None or not torch.equal(last.indices, indices) or ours != patched:
        raise AssertionError(f"this script and vtc_llava.patch disagree at keep={keep}")


def wilson(right: Bool[np.ndarray, " questions"], z: float = 1.96) -> str:
    """Share of right answers and its 95 % Wilson interval, in percent."""
    n, share = len(right), right.mean()
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return f"{100 * share:.1f} ({100 * (middle - half):.1f}-{100 * (middle + half):.1f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description="Answers of the tiny model with a part of its visual tokens.")
    parser.add_argument("--questions", type=int, default=2048, help="held-out questions, 8 to a picture (%(default)s)")
    pictures = math.ceil(parser.parse_args().questions / 8)

    model, processor = vtc_tiny.load()
    scenes = [vtc_tiny.scene(seed) for seed in vtc_tiny.HELD_OUT_SEEDS[:pictures]]
    pixels = processor.image_processor(images=[s.image for s in scenes], return_tensors="pt").pixel_values
    chunks = [encode(model, part) for part in track(pixels.split(32), "encoding")]
    seen = Encoded(*(torch.cat(parts, dim=d) for parts, d in zip(zip(*chunks, strict=True), (0, 1, 1), strict=True)))
    tokens = seen.features.shape[1]
    keeps = [tokens // divisor for divisor in DIVISORS]
    for keep in (keeps[0], keeps[-1]):
        check(model, processor, keep)

    asked = [q for s in scenes for q in vtc_tiny.questions(s)]
    owner = torch.arange(pictures).repeat_interleave(len(asked) // pictures)  # the picture of each question

    def right(indices: Int[Tensor, "batch keep"]) -> Bool[np.ndarray, " questions"]:
        features = vtc_torch.gather(seen.features, indices)
        texts = [q.text for q in asked]
        said = [
            a
            for rows in torch.arange(len(asked)).split(BATCH)
            for a in answer(model, processor, features[owner[rows]], texts[rows[0] : rows[-1] + 1])
        ]
        return np.array([a == q.answer for a, q in zip(said, asked, strict=True)])

    whole = right(torch.arange(tokens).expand(pictures, -1))
    jobs = [(name, keep) for name in choosers(seen) for keep in keeps]
    outcome = {(name, keep): right(choosers(seen)[name](keep)) for name, keep in track(jobs, "answering")}

    shares = [f"1/{d} ({k})" for d, k in zip(DIVISORS, keeps, strict=True)]
    methods = [[name, *(wilson(outcome[name, keep]) for keep in keeps)] for name in choosers(seen)]
    of_kind = {kind: np.array([q.kind == kind for q in asked]) for kind in sorted({q.kind for q in asked})}
    kinds = [
        [f"{kind} ({chosen.sum()})", wilson(whole[chosen]), *(wilson(outcome[DEFAULT, keep][chosen]) for keep in keeps)]
        for kind, chosen in of_kind.items()
    ]
    body = f"""\
Right answers in percent (95 % Wilson interval) of `vtc_tiny` to {len(asked)} questions about {pictures} held-out
pictures, by the tokens kept of {tokens}. With all tokens: **{wilson(whole)}**.

{table(["method", *shares], methods)}

By kind of question (how many), for {DEFAULT}:

{table(["kind", f"all ({tokens})", *shares], kinds)}

Float32. "Mean received attention" is the attention of all tokens to a token; the random choice is one draw per picture
(seed 0), nested over the budgets.
"""
    print(body)
    write_section("Quality", f"python benchmarks/quality.py --questions {len(asked)}", body, ("torch", "transformers"))


if __name__ == "__main__":
    main()
