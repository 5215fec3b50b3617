"""`handle.describe` against numbers that were computed by hand."""

import pytest
import torch
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

import vtc_llava
from vtc_core.methods import VtcCls, method_of

from .families import FAMILIES, llava, llava_next, llava_next_video, llava_qwen2


def test_llava_by_hand():
    """Hidden 32, intermediate 64, 2 layers, 4 heads of 8: 2 * 32 * (4 + 4) * 8 + 3 * 32 * 64 = 10240 a layer."""
    with vtc_llava.patch(*llava(), keep=5, layers=2) as handle:
        described = handle.describe(640, 480)
    assert described[:4] == ("llava", "clip_vision_model, 5 layers, 36 patch tokens a tile", VtcCls(2), (2, 3))
    assert (described.tokens_before, described.tokens_after) == (36, 5)
    assert described.flops_before == 2 * (2 * 36 * 10240 + 2 * 36 * 37 * 32)
    assert described.flops_after == 2 * (2 * 5 * 10240 + 2 * 5 * 6 * 32)
    assert (described.cache_before, described.cache_after) == (2 * 2 * 32 * 36 * 4, 2 * 2 * 32 * 5 * 4)


def test_grouped_heads_and_the_models_dtype():
    """Two key-value heads: 2 * 32 * (4 + 2) * 8 + 3 * 32 * 64 = 9216 weights a layer; a cache of 16 numbers, twice."""
    model, processor = llava_qwen2()
    with vtc_llava.patch(model.to(torch.bfloat16), processor, keep=5) as handle:
        described = handle.describe(640, 480)
    assert described.flops_after == 2 * (2 * 5 * 9216 + 2 * 5 * 6 * 32)
    assert described.cache_after == 2 * 2 * 16 * 5 * 2


def test_the_size_of_a_picture_counts_where_it_has_tiles():
    """48 x 24 pixels: a base tile, two tiles, 6 newlines."""
    with vtc_llava.patch(*llava_next(), keep=5) as handle:
        assert handle.describe(48, 24)[5:7] == (114, 15)
        assert handle.describe(48, 48)[5:7] == (192, 25)
    with vtc_llava.patch(*llava_next(), total=20) as handle:
        assert handle.describe(48, 48)[5:7] == (192, 20)


def test_videos():
    with vtc_llava.patch(*llava_next_video(), keep=5) as handle:
        assert handle.describe(24, 24, frames=8)[5:7] == (72, 40)


def test_llava_1_5_7b_by_hand():
    """On no device: 32 layers of 4096, MLP 11008; 576 tokens take 302 MB of cache in float16, 64 of them 33.6 MB."""
    text = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32)
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(LlavaConfig(text_config=text)).half()
    with vtc_llava.patch(model, llava()[1], keep=64) as handle:
        described = handle.describe(640, 480)
    assert (described.tokens_before, described.layers) == (576, (20, 21, 22))
    assert (described.cache_before, described.cache_after) == (301_989_888, 33_554_432)
    weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008)  # 6.5 billion
    assert described.flops_before == 2 * 576 * weights + 32 * 2 * 576 * 577 * 4096
    assert described.flops_after == 2 * 64 * weights + 32 * 2 * 64 * 65 * 4096


def test_it_prints():
    with vtc_llava.patch(*llava(), keep=5, layers=2) as handle:
        lines = str(handle.describe(640, 480)).splitlines()
    assert lines == [
        "family        llava",
        "tower         clip_vision_model, 5 layers, 36 patch tokens a tile",
        "method        vtc-cls:layers=2, layers (2, 3)",
        "tokens        36 -> 5 (keep=5)",
        "prefill       1.65 M -> 209 k FLOPs (1.44 M saved)",
        "KV cache      18.4 k -> 2.56 k bytes (15.9 k saved)",
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_described(family):
    case = FAMILIES[family]
    model, processor = case.make()
    with vtc_llava.patch(
        model, processor, keep=5, method={"name": case.method, "layers": 1, "reduce": "max"}
    ) as handle:
        described = handle.describe(40, 30)
        assert described.layers == (max(handle.walk.feature_layers) - 1,)
        assert described.family == model.config.model_type
        assert described.method == method_of({"name": case.method, "layers": 1, "reduce": "max"})
        assert 0 < described.tokens_after < described.tokens_before
        assert described.flops_after < described.flops_before


def test_stages_count_layer_by_layer():
    """Of 36 tokens 9 are left before the second of two layers; the first is as it was."""
    with vtc_llava.patch(*llava(), keep=36, stages=["fastv:layer=1,keep=0.25"]) as handle:
        described = handle.describe(640, 480)
        assert "stages='fastv:layer=1,keep=0.25'" in repr(handle)
        assert "fastv:layer=1,keep=0.25" in handle._repr_html_()
    of_layer = [2 * n * 10240 + 2 * n * (n + 1) * 32 for n in (36, 9)]
    assert (described.tokens_after, described.tokens_by_layer) == (36, (36, 9))
    assert (described.flops_after, described.cache_after) == (sum(of_layer), 2 * 32 * 45 * 4)
    assert "stages        9 from layer 1 on (fastv:layer=1,keep=0.25)" in str(described)
