"""InternVL: tiles in a row, tokens of four patches, a thumbnail that comes last, text between the frames of a video."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_models import picture
from transformers import GotOcr2ImageProcessorPil, InternVLConfig

import vtc_llava
from vtc_core.methods import METHODS
from vtc_core.shuffled import patches_of
from vtc_llava.budget import Budget, candidate_groups, num_by_tile, num_visual_tokens
from vtc_llava.geometry import frames, tiled
from vtc_llava.internvl import layouts
from vtc_torch import PrunedEncoder

from .families import FAMILIES, IMAGE, internvl
from .prompts import encoded, prompts
from .test_tokens import positions

BUDGETS = [{"keep": 1}, {"keep": 5}, {"total": 1}, {"total": 17}, {"total": 60}, {"total": 10**6}]
SIZES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


# --- layouts ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(size=SIZES)
@example(size=(448, 896))
@example(size=(896, 448))
@example(size=(1, 3000))
@example(size=(3000, 1))
@example(size=(20, 20))
def test_there_are_as_many_tiles_as_the_stock_processor_cuts(size):
    pixels: Any = GotOcr2ImageProcessorPil(size={"height": 448, "width": 448})
    layout = layouts(InternVLConfig(), pixels)["image"](*size)
    assert layout.tiles == pixels.get_number_of_image_patches(*size, {"crop_to_patches": True})
    assert len(layout.tile) == 256 * layout.tiles
    rows, columns = layout.grid
    assert layout.tiles == rows * columns + (rows * columns > 1)


def test_tiles_are_numbered_in_the_order_in_which_the_stock_processor_cuts_them():
    """48 x 72 pixels in six colours are 2 x 3 tiles, then the thumbnail."""
    colours = np.arange(6, dtype=np.uint8).reshape(2, 3).repeat(24, 0).repeat(24, 1)
    pixels: Any = GotOcr2ImageProcessorPil(size={"height": 24, "width": 24}, max_patches=6, do_normalize=False)
    made = pixels(np.stack([colours] * 3, -1), crop_to_patches=True, do_rescale=False, return_tensors="np")
    assert [np.unique(tile).tolist() for tile in made["pixel_values"][:6]] == [[n] for n in range(6)]
    layout = tiled(2, 3, side=3)
    assert layout.tiles == len(made["pixel_values"]) == 7
    assert (layout.source[:, 0] // 10).tolist() == [tile for tile in range(7) for _ in range(9)]  # encoded and fed
    assert layout.tile.tolist() == [tile for tile in (1, 2, 3, 4, 5, 6, 0) for _ in range(9)]  # the base is 0
    corners = layout.place[:54].reshape(6, 9, 2)[:, 0]
    assert corners.tolist() == [[3 * row, 3 * column] for row in range(2) for column in range(3)]


def test_of_a_total_the_thumbnail_has_its_part_and_frames_have_the_same():
    picture_of_seven, video = tiled(2, 3, side=3), frames(3, side=3, apart=True)
    base, rest = candidate_groups(picture_of_seven, Budget(None, 17))
    assert (base[0].tolist(), base[1], rest[1]) == (list(range(54, 63)), 17 * 9 // 63, 15)
    assert num_by_tile(video, Budget(None, 17)) == [5, 6, 6]
    assert num_by_tile(video, Budget(None, 2)) == [0, 1, 1]
    assert num_by_tile(video, Budget(5, None)) == [5, 5, 5]
    assert num_by_tile(video, Budget(None, 27)) == [9, 9, 9]
    assert [num_visual_tokens(video, Budget(None, total)) for total in (1, 2, 26, 27, 99)] == [1, 2, 26, 27, 27]


# --- which tokens are fed ---------------------------------------------------------------------------------------------


def stock_and_scores(model, pixels):
    """(tiles tokens language) and (tiles tokens), of the stock model and of all tiles alone."""
    with torch.no_grad():
        stock = model.model.get_image_features(pixels).pooler_output
        encoder = PrunedEncoder(model.model.vision_tower, 1, "vtc-cls", -1, shuffle=2)
        return stock, encoder(pixels).scores


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_pictures(budget):
    model, processor = internvl()
    asked = [picture(0, 40, 30), picture(1, 20, 90), picture(2, 24, 24)]
    text = "USER: <image> <image> <image> what ? ASSISTANT:"
    stock, scores = stock_and_scores(model, processor(text=text, images=asked, return_tensors="pt")["pixel_values"])
    with vtc_llava.patch(model, processor, **budget) as handle, torch.no_grad():
        inputs = processor(text=text, images=asked, return_tensors="pt")
        kept = model.model.get_image_features(inputs["pixel_values"], inputs["image_sizes"]).pooler_output
        seen = handle.seen["image"]
    expected, first = [], 0
    for layout in seen:
        of_tile, some = torch.arange(1, layout.tiles + 1), slice(first, first + layout.tiles)
        of_tile[-1] = 0
        tile = of_tile[:, None].expand(-1, 9).flatten().tolist()
        chosen = positions(scores[some].flatten().tolist(), tile, **budget, base=layout.tiles > 1)
        expected.append(stock[some].flatten(0, 1)[chosen])
        first += layout.tiles
    assert [layout.tiles for layout in seen] == [7, 6, 1]
    torch.testing.assert_close(kept.flatten(0, 1), torch.cat(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_videos(budget):
    model, processor = internvl()
    inputs = encoded(processor, prompts(FAMILIES["internvl"])["batch of videos"])
    stock, scores = stock_and_scores(model, inputs["pixel_values"])
    with vtc_llava.patch(model, processor, **budget), torch.no_grad():
        inputs = encoded(processor, prompts(FAMILIES["internvl"])["batch of videos"])
        kept = model.model.get_image_features(inputs["pixel_values"], inputs["image_sizes"]).pooler_output
        expected = []
        for frame in range(6):
            start, end = (min(budget.get("total", 0), 27) * (frame % 3 + n) // 3 for n in (0, 1))
            count = budget.get("keep", end - start)
            expected.append(stock[frame][positions(scores[frame].tolist(), [0] * 9, keep=count)])
    torch.testing.assert_close(kept.flatten(0, 1), torch.cat(expected), rtol=1e-4, atol=1e-4)


def test_a_frame_is_fed_where_its_label_is():
    """The runs between <img> and </img> are as long as the frames' parts of the total."""
    model, processor = internvl()
    start, end = (processor.tokenizer.convert_tokens_to_ids(word) for word in ("<img>", "</img>"))
    with vtc_llava.patch(model, processor, total=17):
        ids = encoded(processor, prompts(FAMILIES["internvl"])["video"])["input_ids"][0].tolist()
    runs = [b - a - 1 for a, b in zip(_where(ids, start), _where(ids, end), strict=True)]
    assert runs == [5, 6, 6]
    assert ids.count(IMAGE) == 17


def _where(ids, number):
    return [i for i, x in enumerate(ids) if x == number]


@pytest.mark.parametrize("budget", [{"keep": 4}, {"total": 17}], ids=str)
@pytest.mark.parametrize(
    "method",
    [name for name, kind in METHODS.items() if not kind.progressive and not {"text", "text_embeds"} & {*kind.needs}],
)
def test_what_is_fed_is_what_the_weights_say_of_the_stock_features(method, budget):
    model, processor = internvl()
    inputs = encoded(processor, prompts(FAMILIES["internvl"])["picture and video"])
    with torch.no_grad():
        states = model.model.vision_tower(inputs["pixel_values"]).last_hidden_state[:, 1:]
        features = states[:, patches_of(torch.arange(9), 6, 2)].flatten(2)  # tiles tokens 4*dim
        with vtc_llava.patch(model, processor, **budget, method=method) as handle:
            inputs = encoded(processor, prompts(FAMILIES["internvl"])["picture and video"])
            output = model.model.get_image_features(inputs["pixel_values"], inputs["image_sizes"])
            fed, first = iter(output.pooler_output.flatten(0, 1)), 0
            project = model.model.multi_modal_projector
            for number, layout in enumerate(handle.seen["image"]):
                weights = handle.weights(number)
                tokens = torch.stack([next(fed) for _ in weights])
                own = features[first : first + layout.tiles].flatten(0, 1)
                late = METHODS[method].merges_projected
                expected = weights @ project(own) if late else project(weights @ own)
                of_patches = weights.abs().sum(1) > 0  # the others are CLS
                torch.testing.assert_close(tokens[of_patches], expected[of_patches], rtol=1e-3, atol=1e-3)
                first += layout.tiles
            assert next(fed, None) is None
