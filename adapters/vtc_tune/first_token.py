"""The time to the first token: measured, as a share of the unpruned model's, and what arithmetic alone would say."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from vtc_bench import costs
from vtc_bench.timing import interleaved, ratio
from vtc_cli.answering import inputs_of
from vtc_core.checks import feature_layers
from vtc_llava import Settings, patch
from vtc_llava.savings import decoder
from vtc_torch.loading import feature_layer, shuffle_of

from .asking import visual_tokens
from .samples import Sample

ROUNDS = 5
ALL = "all tokens"


class FirstToken(NamedTuple):
    """Of one setting, as shares of the unpruned model's: the median of rounds with their range, and the floor."""

    measured: float
    low: float
    high: float
    floor: float


@torch.inference_mode()
def first_token(model: Any, processor: Any, sample: Sample, settings: Sequence[Settings]) -> list[FirstToken]:
    """Of one prompt with one picture, for each setting; all in one interleaved run. Drawing pixels is not timed."""
    picture = sample.picture()
    runs: dict[str, Callable[[], float]] = {ALL: lambda: _seconds(model, whole)}
    whole = inputs_of(model, processor, [picture], [sample.question])
    floors = []
    for number, setting in enumerate(settings):
        with patch(model, processor, setting.keep, total=setting.total, method=setting.method) as handle:
            inputs = inputs_of(model, processor, [picture], [sample.question])
            size = map(int, inputs["image_sizes"][0]) if "image_sizes" in inputs else ()
            tiles = handle.layouts["image"](*size).tiles
        runs[str(number)] = lambda setting=setting, inputs=inputs: _patched(model, processor, setting, inputs)
        floors.append(_work(model, setting, tiles, inputs) / _work(model, None, tiles, whole))
    seconds = interleaved(runs, ROUNDS, lambda run: run(), title="time to first token")
    return [FirstToken(*ratio(seconds, str(i), ALL), floor) for i, floor in enumerate(floors)]


def _patched(model: Any, processor: Any, setting: Settings, inputs: Any) -> float:
    with patch(model, processor, setting.keep, total=setting.total, method=setting.method):
        return _seconds(model, inputs)


def _seconds(model: Any, inputs: Any) -> float:
    """Of the model alone, until its first token is known here."""
    start = time.perf_counter()
    int(model(**inputs, logits_to_keep=1, use_cache=True).logits[0, -1].argmax())
    return time.perf_counter() - start


def _work(model: Any, setting: Settings | None, tiles: int, inputs: Any) -> float:
    """Multiply-adds of tower, projector and language model; of a `total`, as if each tile had an equal part of it."""
    config = model.config
    g, text = costs.geometry_of(config.vision_config), config.get_text_config()
    (visual,) = visual_tokens(model, inputs)
    square = shuffle_of(config) ** 2  # patches of a token
    tokens = g.tokens // square
    if setting is None:
        tower, projected = costs.whole(g), tiles * tokens
    else:
        keep = square * min(tokens, setting.keep or max(1, visual // tiles))
        latest = max(feature_layers(g.depth, feature_layer(config)))
        tower, projected = costs.pruned(g, keep, setting.method, latest), visual
        if "projected" in setting.method.needs:
            projected = tiles * tokens + (0 if setting.method.merges_projected else visual)
    language = decoder(text).flops(inputs["input_ids"].shape[1]) / 2 + text.hidden_size * text.vocab_size
    return tiles * tower + projected * g._replace(dim=square * g.dim).projection(text.hidden_size) + language
