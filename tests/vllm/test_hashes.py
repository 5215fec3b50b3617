"""A picture's key in the caches of vLLM: with the settings of the engine and the budget of the request."""

from typing import Any

import pytest
import torch
from engines import processor
from vllm.multimodal.parse import MultiModalUUIDItems

import vtc_tiny
from vtc_tiny.tokenizer import IMAGE

SETTINGS = [
    {"keep": 16},
    {"keep": 17},
    {"keep": 16, "layers": 2},
    {"keep": 16, "layers": [5]},
    {"keep": 16, "reduce": "max"},
    {"keep": 16, "signal": "received"},
    {"keep": 16, "method": "visionzip"},
    {"keep": 16, "method": "visionzip:contextual=4"},
    {"keep": 16, "method": "random"},
    {"keep": 16, "method": "random:seed=1"},
]


def processed(made: Any, picture: Any, uuid: str | None = None, **kwargs: Any) -> tuple[str, int]:
    """The key of a picture, and the places it gets in the prompt."""
    items = made.info.parse_mm_data({"image": [picture]})
    uuids: MultiModalUUIDItems = {"image": [uuid]}
    found = made([5, IMAGE, 9], items, mm_uuid_items=uuids, hf_processor_mm_kwargs=kwargs)
    (key,), (place,) = found["mm_hashes"]["image"], found["mm_placeholders"]["image"]
    assert found["prompt_token_ids"].count(IMAGE) == place.length
    return key, place.length


PICTURE, OTHER = vtc_tiny.scene(0).image, vtc_tiny.scene(1).image


@pytest.mark.parametrize("uuid", [None, "a picture"])
def test_engines_of_different_settings_share_nothing(uuid: str | None):
    keys = [processed(processor(vtc_tiny.PATH, vtc), PICTURE, uuid)[0] for vtc in SETTINGS]
    assert len(set(keys)) == len(SETTINGS)
    assert uuid not in keys


@pytest.mark.parametrize("uuid", [None, "a picture"])
def test_engines_of_the_same_settings_share(uuid: str | None):
    """However they are written."""
    same = [
        {"keep": 16},
        {"keep": 16, "layers": 3, "reduce": "sum", "signal": "cls"},
        {"keep": 16, "method": "vtc-cls"},
        {"keep": 16, "method": {"name": "vtc-cls", "reduce": "sum"}},
    ]
    keys = {processed(processor(vtc_tiny.PATH, vtc), PICTURE, uuid)[0] for vtc in same}
    assert len(keys) == 1
    other = (PICTURE, "another picture") if uuid else (OTHER, None)
    assert processed(processor(vtc_tiny.PATH, {"keep": 16}), *other)[0] not in keys


@pytest.mark.parametrize("uuid", [None, "a picture"])
def test_requests_of_different_budgets_share_nothing(uuid: str | None):
    made = processor(vtc_tiny.PATH, {"keep": 16})
    found = [processed(made, PICTURE, uuid, **kwargs) for kwargs in ({}, {"vtc_keep": 36}, {"vtc_keep": 144})]
    assert [length for _, length in found] == [16, 36, 144]
    assert len({key for key, _ in found}) == 3
    assert found == [processed(made, PICTURE, uuid, **kwargs) for kwargs in ({}, {"vtc_keep": 36}, {"vtc_keep": 144})]


def test_a_servers_own_budget_is_another_engines_settings():
    """A request's 36 on a server of 16 is not looked up among what a server of 36 made, nor the reverse."""
    ours, theirs = (
        processed(processor(vtc_tiny.PATH, {"keep": 16}), PICTURE, vtc_keep=36),
        processed(processor(vtc_tiny.PATH, {"keep": 36}), PICTURE),
    )
    assert ours[1] == theirs[1] == 36
    assert ours[0] != theirs[0]


def test_embeddings_are_known_by_what_they_hold():
    """Whatever their client calls them: under one uuid there would be another's."""
    made = processor(vtc_tiny.PATH, {"keep": 16}, enable_mm_embeds=True)
    rows = [torch.full((length, 128), value) for length, value in ((3, 1.0), (4, 1.0), (3, 2.0))]
    found = [processed(made, row, "a uuid") for row in rows]
    assert [length for _, length in found] == [3, 4, 3]
    assert len({key for key, _ in found}) == 3
    assert found[0] == processed(made, rows[0], "another")
