"""What stages inside the language model save of the prefill, and of the time to the first token.

    python benchmarks/stages.py [--rounds 5] [--language-model 0.5b]

A LLaVA of ViT-L/14-336 with random weights, 576 visual tokens and a short text, float32. Processor seconds of one
thread, interleaved. The floor is by multiply-adds, layer by layer; what a stage itself computes is not in it.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from results import write_section
from transformers import LlavaConfig, LlavaForConditionalGeneration, PreTrainedConfig

import vtc_llava
from vtc_bench import costs, torch_encoder
from vtc_bench.costs import Geometry
from vtc_bench.prefill import LANGUAGE_MODELS, TEXT
from vtc_bench.random_llava import processor as processor_of
from vtc_bench.random_llava import question
from vtc_bench.timing import interleaved, processor, ratio
from vtc_core.methods import UniformGrid, spelled
from vtc_core.stages import FastV, PyramidDrop, Stage
from vtc_llava.places import Visual
from vtc_llava.savings import decoder, tokens_by_layer

ALL = "all tokens"


def stages(depth: int) -> dict[str, Sequence[Stage]]:
    """PyramidDrop's layers are quarters of the depth, as 8, 16, 24 of 32 are."""
    pyramid = PyramidDrop(layers=(depth // 4, depth // 2, 3 * depth // 4))
    return {spelled(stage): [stage] for stage in (FastV(), FastV(keep=0.25), pyramid)}


def work(config: PreTrainedConfig, stages: Sequence[Stage], tokens: int) -> int:
    """Multiply-adds of the prefill, up to the logits of the last token."""
    language = decoder(config)._replace(layers=1)
    lengths = tokens_by_layer(stages, config.num_hidden_layers, tokens)
    return sum(language.flops(n + TEXT) for n in lengths) // 2 + config.hidden_size * config.vocab_size


def before(g: Geometry, config: PreTrainedConfig, stock: bool) -> int:
    """Multiply-adds of encoder and projector."""
    encoder = costs.whole(g) if stock else costs.pruned(g, g.tokens, UniformGrid())
    return encoder + g.tokens * g.projection(config.hidden_size)


def llava(g: Geometry, config: PreTrainedConfig) -> Any:
    torch.manual_seed(0)
    made = LlavaConfig(
        vision_config=torch_encoder.clip_config(g), text_config=config, image_token_index=4, image_seq_length=g.tokens
    )
    model: Any = LlavaForConditionalGeneration(made)
    return model.eval()


def twin(model: Any, g: Geometry, **settings: Any) -> tuple[Any, Any]:
    """A patched model with the same weights, and what it is asked."""
    other = copy.deepcopy(model, {id(x): x for x in (*model.parameters(), *model.buffers())})
    words = processor_of(g, 1000)
    if settings:
        vtc_llava.patch(other, words, **settings)
    pixels = torch_encoder.pixels(g, 1)
    ids = words.tokenizer("<image>" * (settings.get("keep") or g.tokens) + question(TEXT), return_tensors="pt")
    return other, {"input_ids": ids["input_ids"], "pixel_values": pixels}


def prefill(model: Any, embeds: torch.Tensor, visual: Visual | None) -> Any:
    if visual is not None:
        model.vtc.visual = visual
    seen = model.model.language_model(inputs_embeds=embeds, use_cache=True)
    return model.lm_head(seen.last_hidden_state[:, -1:])


def runs(g: Geometry, config: PreTrainedConfig) -> dict[str, dict[str, Callable[[], Any]]]:
    """Prefill and all that is done before the first token, by setting."""
    model = llava(g, config)
    settings: dict[str, dict[str, Any]] = {ALL: {}}
    settings |= {name: {"stages": given} for name, given in stages(config.num_hidden_layers).items()}
    found: dict[str, dict[str, Callable[[], Any]]] = {"prefill": {}, "first token": {}}
    for name, given in settings.items():
        patched, inputs = twin(model, g, **given)
        mask = inputs["input_ids"] == 4
        embeds = torch.randn(1, mask.shape[1], config.hidden_size, generator=torch.Generator().manual_seed(0))
        side = int(g.tokens**0.5)
        grid = torch.cartesian_prod(torch.arange(side), torch.arange(side))
        visual = Visual.of(mask, grid) if given else None
        found["prefill"][name] = torch_encoder.without_gradients(partial(prefill, patched, embeds, visual))
        found["first token"][name] = torch_encoder.without_gradients(partial(patched, **inputs, logits_to_keep=1))
    return found


def table(seconds: dict[str, list[float]], floors: dict[str, float]) -> str:
    rows = ["| | of all tokens' time | min-max | floor | measured / floor |", "|---|---|---|---|---|"]
    for name in seconds:
        r = ratio(seconds, name, ALL)
        against = f"{floors[name]:.3f} | {r.median / floors[name]:.2f}"
        rows.append(f"| {name} | {r.median:.3f} | {r.low:.3f}-{r.high:.3f} | {against} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--language-model", choices=LANGUAGE_MODELS, default="0.5b")
    options = parser.parse_args()
    torch.set_num_threads(1)
    g, config = costs.GEOMETRIES["vit-l-336"], LANGUAGE_MODELS[options.language_model]()
    named, parts = runs(g, config), []
    given: dict[str, Sequence[Stage]] = {ALL: [], **stages(config.num_hidden_layers)}
    for title, timed in named.items():
        floors = {name: work(config, given[name], g.tokens) for name in timed}
        if title == "first token":  # the stock encoder runs a last layer that feeds nobody
            floors = {name: floor + before(g, config, stock=name == ALL) for name, floor in floors.items()}
        floors = {name: floor / floors[ALL] for name, floor in floors.items()}
        parts += [f"{title}:", table(interleaved(timed, options.rounds, processor, title), floors)]
    parts.append(
        f"ViT-L/14-336 and a language model of {options.language_model} (random weights), {g.tokens} visual and {TEXT} "
        f"other tokens, batch 1, float32, {options.rounds} interleaved rounds, processor seconds of one thread. First "
        "token: encoder, projector, prefill. The encoder is not pruned."
    )
    body = "\n\n".join(parts)
    print(body)
    command = f"python {' '.join(['benchmarks/stages.py', *sys.argv[1:]])}"
    write_section("Stages inside the language model", command, body, torch_encoder.PACKAGES)


if __name__ == "__main__":
    main()
