"""LLaVA-NeXT: pictures of many shapes, so of different numbers of tiles and tokens, alone and several in a prompt."""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import next_model
import pytest
import torch
from engines import configured, processor, said
from llava import families
from said import Said, in_transformers, same
from small_models import picture, siglip_config
from vllm.exceptions import VLLMValidationError

import vtc_llava
from vtc_bench.server import overrides
from vtc_vllm.encoder import PrunedModel

SIZES = [(40, 30), (20, 90), (100, 80), (300, 20), (21, 20), (24, 24), (64, 64), (47, 95)]  # width, height
PICTURES = [picture(number, *size) for number, size in enumerate(SIZES)]
ALONE = [[shown] for shown in PICTURES]
PAIRS = [[PICTURES[i], PICTURES[j]] for i, j in ((0, 1), (2, 3), (4, 2), (3, 5), (1, 1), (7, 6))]
MANY_SIZES = [(width, height) for width in (1, 20, 24, 31, 48, 72, 300) for height in (1, 23, 24, 48, 60, 72, 400)]
ALL = 36
GRANITE: dict[str, Any] = {  # in the form of Granite Vision
    "counting": families.SIGLIP_COUNTING,
    "vision_config": siglip_config(depth=4, dim=32, heads=4),
    "vision_feature_layer": [-4, -2, -1],
    "vision_feature_select_strategy": "full",
}
MANY = 6


class Checkpoint(NamedTuple):
    folder: Path
    model: Any
    processor: Any

    def expected(self, pictures: list[list[Any]], **patch: Any) -> list[Said]:
        """Of transformers in one batch; unpatched without arguments of `patch`."""
        handle = vtc_llava.patch(self.model, self.processor, **patch) if patch else None
        try:
            texts = [text(shown) for shown in pictures]
            inputs = self.processor(text=texts, images=pictures, return_tensors="pt", padding=True)
            return in_transformers(self.model, inputs, MANY, next_model.NEVER)
        finally:
            if handle:
                handle.undo()


def text(shown: list[Any]) -> str:
    return f"USER: {'<image> ' * len(shown)}how many red star ? ASSISTANT:"


def prompts(pictures: list[list[Any]], *keeps: int | None) -> list[dict[str, Any]]:
    """With one budget after the other."""
    made: list[dict[str, Any]] = []
    for number, shown in enumerate(pictures):
        keep = keeps[number % len(keeps)] if keeps else None
        budget = {"mm_processor_kwargs": {"vtc_keep": keep}} if keep else {}
        made.append({"prompt": text(shown), "multi_modal_data": {"image": shown}, **budget})
    return made


def told(made: Any, pictures: list[list[Any]], *keeps: int | None) -> list[Said]:
    return said(made, prompts(pictures, *keeps), MANY, next_model.NEVER)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("next")
    return Checkpoint(folder, *next_model.save(folder, published=True))


def test_tokens_of_a_tile(checkpoint: Checkpoint, engines: Any, monkeypatch: pytest.MonkeyPatch):
    batches: list[list[int]] = []
    embed = PrunedModel.embed_multimodal

    def spy(self: Any, **kwargs: Any) -> Any:
        batches.append(kwargs["vtc_keep"].tolist())
        return embed(self, **kwargs)

    monkeypatch.setattr(PrunedModel, "embed_multimodal", spy)
    made = engines(checkpoint.folder, {"keep": 5})
    same(told(made, ALONE), checkpoint.expected(ALONE, keep=5))
    same(told(made, PAIRS), checkpoint.expected(PAIRS, keep=5))
    assert max(map(len, batches)) > 1

    batches.clear()
    mixed = told(made, PAIRS + ALONE, None, 3, 20)
    wanted = [[*checkpoint.expected(PAIRS, keep=k), *checkpoint.expected(ALONE, keep=k)] for k in (5, 3, 20)]
    for at in range(3):
        same(mixed[at::3], wanted[at][at::3])
    assert any(len(set(keeps)) > 1 for keeps in batches)  # the encoder ran once for pictures of different budgets


def test_all_tokens_are_the_unpatched_engine(checkpoint: Checkpoint, engines: Any):
    pictures = ALONE + PAIRS
    unpatched = told(engines(checkpoint.folder, None), pictures)
    made = engines(checkpoint.folder, {"keep": 5, "layers": 2})
    same(told(made, pictures, ALL), unpatched)
    same(unpatched, [*checkpoint.expected(ALONE), *checkpoint.expected(PAIRS)])
    same(
        told(made, pictures),
        checkpoint.expected(ALONE, keep=5, layers=2) + checkpoint.expected(PAIRS, keep=5, layers=2),
    )


def test_tokens_of_a_picture(tmp_path: Path, engines: Any):
    """And prompts that are cut in the middle of a picture, as a batch has room for 64 tokens."""
    checkpoint = Checkpoint(tmp_path, *next_model.save(tmp_path, published=False))
    ensemble = {"layers": [0, -2], "reduce": "min"}
    made = engines(tmp_path, {"total": 50, **ensemble}, max_num_batched_tokens=64, max_num_seqs=16)
    same(told(made, ALONE), checkpoint.expected(ALONE, total=50, **ensemble))
    same(told(made, PAIRS), checkpoint.expected(PAIRS, total=50, **ensemble))
    same(told(made, ALONE, 4), checkpoint.expected(ALONE, keep=4, **ensemble))
    with pytest.raises(VLLMValidationError, match="exceeds the pre-allocated encoder cache size 64"):
        told(made, ALONE[2:3], ALL)
    same(told(made, ALONE[2:3]), checkpoint.expected(ALONE[2:3], total=50, **ensemble))


@pytest.mark.parametrize("method", ["visionzip:contextual=3", "divprune"])
def test_other_methods(checkpoint: Checkpoint, engines: Any, method: str):
    """One that merges, a greedy one: of the server's total, of a request's tokens of a tile, of both in a call."""
    made = engines(checkpoint.folder, {"total": 50, "method": method})
    same(told(made, ALONE), checkpoint.expected(ALONE, total=50, method=method))
    same(told(made, ALONE, 9), checkpoint.expected(ALONE, keep=9, method=method))
    mixed = told(made, PAIRS, None, 5)
    same(mixed[::2], checkpoint.expected(PAIRS, total=50, method=method)[::2])
    same(mixed[1::2], checkpoint.expected(PAIRS, keep=5, method=method)[1::2])


def test_a_tower_without_cls_and_several_feature_layers(tmp_path: Path, engines: Any):
    checkpoint = Checkpoint(tmp_path, *next_model.save(tmp_path, published=True, **GRANITE))
    made = engines(tmp_path, {"keep": 5, "signal": "received"})
    same(
        told(made, ALONE + PAIRS, None),
        [
            *checkpoint.expected(ALONE, keep=5, method="received"),
            *checkpoint.expected(PAIRS, keep=5, method="received"),
        ],
    )


def test_16_bits(checkpoint: Checkpoint, engines: Any):
    made = engines(checkpoint.folder, {"keep": 5}, dtype="bfloat16")
    pixels, first = torch.zeros(1, 3, 24, 24, dtype=torch.bfloat16), torch.zeros(1, 1, dtype=torch.long)
    fed = made.apply_model(lambda model: model.walk(model.vision_tower, pixels).finish(first).dtype)
    assert fed == [torch.bfloat16]
    assert made.apply_model(lambda model: model.vision_tower.config._attn_implementation) == ["vtc_products"]
    ours, theirs = told(made, ALONE), checkpoint.expected(ALONE, keep=5)
    assert [said.prompt for said in ours] == [said.prompt for said in theirs]
    likely = [(our, their) for our, their in zip(ours, theirs, strict=True) if our.tokens[0] == their.tokens[0]]
    assert len(likely) > len(ALONE) / 2
    assert all(our.logprobs[0] == pytest.approx(their.logprobs[0], abs=0.2) for our, their in likely)


@pytest.mark.parametrize("vtc", [{"keep": 1}, {"keep": 5}, {"keep": 30}, {"keep": ALL}, {"total": 7}, {"total": 100}])
def test_no_picture_costs_more_than_what_room_is_made_for(checkpoint: Checkpoint, vtc: dict[str, int]):
    """vLLM asks once, for the picture of most tokens; among such it should be one of most tiles, to measure memory."""
    info = processor(checkpoint.folder, vtc).info
    cost = {size: info.get_num_image_tokens(image_width=size[0], image_height=size[1]) for size in MANY_SIZES}
    widest = info.get_image_size_with_most_features()
    assert max(cost.values()) <= info.get_max_image_tokens() == cost[widest.width, widest.height]
    assert widest == (48, 48)
    with vtc_llava.patch(checkpoint.model, checkpoint.processor, **vtc):
        sizes = [(height, width) for width, height in MANY_SIZES]
        counts = checkpoint.processor._get_num_multimodal_tokens(image_sizes=sizes)["num_image_tokens"]
    assert [*cost.values()] == counts


@pytest.mark.parametrize(
    ("vtc", "message"),
    [
        ({"keep": 5, "method": "flowcut"}, "'flowcut' drops tokens inside the encoder, .* not for 'llava_next'"),
        ({"keep": 37}, r"keep must be an integer in \[1, 36\] .*, got 37"),
        ({"total": 0}, "total .* at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused_at_once(checkpoint: Checkpoint, vtc: dict[str, int], message: str):
    with pytest.raises(ValueError, match=message):
        configured(checkpoint.folder, overrides(checkpoint.folder, vtc))


def test_the_answers_depend_on_what_is_kept(checkpoint: Checkpoint):
    """Or the tests above would pass with any encoder."""
    budgets = [{"keep": 5}, {"keep": 20}, {"total": 50}, {"keep": ALL}]
    answers = [[tuple(row.tokens) for row in checkpoint.expected(ALONE, **budget)] for budget in budgets]
    for pair in pairwise(answers):
        assert sum(a != b for a, b in zip(*pair, strict=True)) >= 5
    assert all(len(set(rows)) >= 5 for rows in answers)
