"""Which tokens are fed: the stock model's own features, where plain Python finds the best of stock-packed scores."""

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_models import picture

import vtc_llava
from vtc_torch import PrunedEncoder

from .families import FAMILIES, IMAGE, VIDEO, llava_next, llava_onevision
from .prompts import clip, encoded, prompts

BUDGETS = [{"keep": 1}, {"keep": 5}, {"keep": 20}, {"total": 1}, {"total": 17}, {"total": 60}, {"total": 10**6}]


def stock_packed(model, tiles, size):
    """(tiles tokens dim) as the stock model packs features of a picture; newlines are NaN."""
    newline = torch.full(tiles.shape[-1:], torch.nan)
    arguments = {"vision_feature_select_strategy": "default"}
    if model.config.model_type == "llava_onevision":
        arguments = {"vision_aspect_ratio": model.config.vision_aspect_ratio}
    packed, _ = model.model.pack_image_features([tiles], [size], image_newline=newline, **arguments)
    return packed[0]


def positions(scores, tile, keep: Any = None, total: Any = None, base=False):
    """Of (length,) scores in the stock order, NaN where a newline is: what is kept, by sorting."""

    def best(candidates, count):
        return sorted(candidates, key=lambda i: (-scores[i], i))[:count]

    tokens = [i for i, score in enumerate(scores) if score == score]
    if keep is not None:
        return sorted(i for t in set(tile[i] for i in tokens) for i in best([i for i in tokens if tile[i] == t], keep))
    if total >= len(scores):
        return list(range(len(scores)))
    if not base or total >= len(tokens):
        return sorted(best(tokens, total))
    whole = [i for i in tokens if tile[i] == 0]
    share = max(1, total * len(whole) // len(tokens))
    return sorted(best(whole, share) + best([i for i in tokens if tile[i] > 0], total - share))


def scores_of(model, pixels, method):
    return PrunedEncoder(model.model.vision_tower, 1, method, model.config.vision_feature_layer)(pixels).scores


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("make", [llava_next, llava_onevision])
def test_pictures_of_tiles(make, budget):
    model, processor = make()
    case = FAMILIES[make.__name__]
    asked = [picture(0, 40, 30), picture(1, 20, 90), picture(2, 100, 80), picture(3, 300, 20)]
    inputs = processor.image_processor(asked, return_tensors="pt")
    with torch.no_grad():
        stock = model.model.get_image_features(**inputs).pooler_output
        vtc_llava.patch(model, processor, **budget, method=case.method)
        kept = model.model.get_image_features(**inputs).pooler_output
        for n, size in enumerate(inputs["image_sizes"].tolist()):
            tiles = model.vtc.seen["image"][n].tiles
            scores = scores_of(model, inputs["pixel_values"][n, :tiles], case.method)
            scores = stock_packed(model, scores[..., None], size)[:, 0].tolist()
            # A blend's tile cannot be had of the stock model; where nothing is blended the two are the same.
            tile = torch.arange(float(tiles))[:, None, None].expand(-1, case.tokens, 1)
            tile = stock_packed(model, tile, size)[:, 0].tolist()
            if any(t == t and t != int(t) for t in tile):
                tile = model.vtc.seen["image"][n].tile.tolist()
            expected = positions(scores, tile, **budget, base=True)
            torch.testing.assert_close(kept[n], stock[n][expected], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("family", ["llava_next_video", "video_llava", "llava_onevision"])
def test_frames_of_videos(family, budget):
    case = FAMILIES[family]
    model, processor = case.make()
    pixels = processor.video_processor([clip(0, side=case.frame), clip(1, side=case.frame)])["pixel_values_videos"]
    side = int(case.tokens**0.5)
    with torch.no_grad():
        stock = model.model.get_video_features(pixels).pooler_output
        stock = torch.cat([part.flatten(0, -2) for part in stock]).unflatten(0, (2, -1))  # by version one part or two
        tower = model.model.video_tower if family == "video_llava" else model.model.vision_tower
        layer = model.config.vision_feature_layer
        scores = PrunedEncoder(tower, 1, case.method, layer)(pixels.flatten(0, 1)).scores
        vtc_llava.patch(model, processor, **budget, method=case.method)
        kept = model.model.get_video_features(pixels).pooler_output
        if family == "llava_next_video":
            scores = torch.nn.functional.avg_pool2d(scores.view(-1, 1, side, side), 2).flatten(1)
        elif family == "llava_onevision":
            half = [(side + 1) // 2] * 2
            scores = torch.nn.functional.interpolate(scores.view(-1, 1, side, side), half, mode="bilinear").flatten(1)
        frame = torch.arange(3)[:, None].expand_as(scores[:3])
        for n, video in enumerate(scores.unflatten(0, (2, 3))):
            chosen = positions(video.flatten().tolist(), frame.flatten().tolist(), **budget)
            if family == "video_llava":  # 37 of a frame, CLS first
                chosen = sorted([37 * (i // 36) + 1 + i % 36 for i in chosen] + [0, 37, 74])
            if family == "llava_onevision":
                chosen += range(27, len(stock[n]))  # the newline, where get_video_features adds it
            torch.testing.assert_close(kept[n], stock[n][chosen], rtol=1e-4, atol=1e-4)


made = cache(lambda make: make())  # for many examples; patched and undone by each


@pytest.mark.parametrize("family", ["llava_next", "llava_onevision", "internvl"])
@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    budget=st.one_of(
        st.builds(lambda n: {"keep": n}, st.integers(1, 25)), st.builds(lambda n: {"total": n}, st.integers(1, 300))
    ),
)
@example(height=20, width=20, budget={"keep": 7})
@example(height=20, width=20, budget={"total": 70})
@example(height=4000, width=3000, budget={"keep": 7})
@example(height=3000, width=4000, budget={"total": 31})
@example(height=1, width=300, budget={"keep": 7})
@example(height=300, width=1, budget={"total": 31})
@example(height=64, width=64, budget={"total": 115})
def test_the_processor_promises_what_the_model_makes(family, height, width, budget):
    model, processor = made(FAMILIES[family].make)
    capped: Any = {
        name: min(number, FAMILIES[family].tokens) if name == "keep" else number for name, number in budget.items()
    }
    shown = picture(0, width, height)
    with vtc_llava.patch(model, processor, **capped, method=FAMILIES[family].method), torch.no_grad():
        inputs = processor(text="USER: <image> what ? ASSISTANT:", images=shown, return_tensors="pt")
        promised = int((inputs["input_ids"] == IMAGE).sum())
        images = {name: inputs[name] for name in ("pixel_values", "image_sizes")}
        assert [len(x) for x in model.model.get_image_features(**images).pooler_output] == [promised]
        around = 2 if family == "internvl" else 0  # start and end of a picture
        counted = processor._get_num_multimodal_tokens(image_sizes=[(height, width)])["num_image_tokens"]
        assert counted == [promised + around]
        assert promised <= budget.get("total", 10**6)
        model(**inputs)


@pytest.mark.parametrize("budget", [{"keep": 5}, {"total": 17}], ids=str)
@pytest.mark.parametrize("family", [name for name, case in FAMILIES.items() if case.videos])
def test_the_processor_promises_what_the_model_makes_of_videos(family, budget):
    case = FAMILIES[family]
    model, processor = case.make()
    with vtc_llava.patch(model, processor, **budget, method=case.method) as handle, torch.no_grad():
        inputs = encoded(processor, prompts(case)["batch of videos"])
        promised = (inputs["input_ids"] == (IMAGE if case.in_a_row else VIDEO)).sum(1).tolist()
        assert promised == [handle.describe(case.frame, case.frame, frames=3).tokens_after] * 2
        model(**inputs)
        count = processor._get_num_multimodal_tokens(video_sizes=[(3, case.frame, case.frame)])
        assert count["num_video_tokens"] == (None if case.in_a_row else promised[:1])
