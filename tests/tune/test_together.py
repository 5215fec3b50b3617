"""One walk for many methods: each sees what it sees alone."""

from typing import Any

import pytest
import torch

import vtc_tiny
from vtc_core.methods import METHODS, method_of
from vtc_core.methods.method import reads_prompt
from vtc_llava import patch
from vtc_torch.encoder import walk_of
from vtc_torch.walk import Walk
from vtc_tune.together import Walks, as_alone, joint, parties

TOKENS, DEPTH = 144, 7
NAMES = [name for name, kind in METHODS.items() if not reads_prompt(kind)]  # those see more than a walk
WALKS: dict[str, Any] = {name: walk_of(TOKENS, DEPTH, 16, name, -2) for name in NAMES}
WHOLE = [walk for walk in WALKS.values() if isinstance(walk, Walk)]


def pixels(model, processor, count=3):
    images = [vtc_tiny.scene(seed).image for seed in range(count)]
    return processor.image_processor(images=images, return_tensors="pt").pixel_values.to(model.dtype)


def test_the_whole_catalogue_goes_in_few_parties_and_nobody_is_left_out():
    made = parties(WHOLE)
    assert sorted(walk.method.name for party in made for walk in party) == sorted(walk.method.name for walk in WHOLE)
    assert len(made) == 3  # keys of the last useful layer, keys of the one after it, sinks
    assert len(parties([WALKS["vtc-cls"], WALKS["divprune"], WALKS["received"]])) == 1


@torch.inference_mode()
def test_what_is_lent_is_what_a_method_sees_alone(pair):
    model, processor = pair
    tower, projector, seen_by_all = model.model.vision_tower, model.model.multi_modal_projector, {}
    batch = pixels(model, processor)
    for party in parties(WHOLE):
        together = joint(party)
        looked = together(tower, batch, projector)
        seen_by_all |= {walk: as_alone(looked, together, walk) for walk in party}
    for walk, lent in seen_by_all.items():
        own = walk(tower, batch, projector)
        assert lent.method == own.method
        for name, field in own.seen._asdict().items():
            if field is not None:
                torch.testing.assert_close(getattr(lent.seen, name), field, rtol=1e-4, atol=1e-5, msg=f"{walk} {name}")
        assert all(getattr(lent.seen, name) is None for name in ("keys", "projected") if name not in walk.method.needs)
        mine, theirs = lent.choose(16), own.choose(16)
        assert torch.equal(mine.indices, theirs.indices), walk.method
        torch.testing.assert_close(lent.feed(mine, projector), own.feed(theirs, projector), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "walks"), [(("vtc-cls", "divprune", "centerclip"), 1), (("prumerge", "visionzip"), 2)]
)
def test_the_tower_is_walked_as_often_as_promised(pair, names, walks):
    model, processor = pair
    calls = []
    hook = model.model.vision_tower.encoder.layers[0].register_forward_hook(lambda *_: calls.append(1))
    shared = Walks([WALKS[name] for name in names])
    try:
        for name in names:
            for keep in (8, 16):
                with patch(model, processor, keep, method=method_of(name)) as handle, torch.inference_mode():
                    shared.lend(handle)
                    model.model.get_image_features(pixels(model, processor))
    finally:
        hook.remove()
    assert len(calls) == walks == shared.a_batch


@torch.inference_mode()
def test_the_next_batch_is_looked_at_anew(pair):
    model, processor = pair
    shared = Walks([WALKS["vtc-cls"]])
    made = []
    for seed in (0, 1):
        shared.next_batch()
        with patch(model, processor, 16) as handle:
            shared.lend(handle)
            batch = processor.image_processor(images=[vtc_tiny.scene(seed).image], return_tensors="pt").pixel_values
            made.append(model.model.get_image_features(batch).pooler_output)
    assert not torch.equal(made[0][0], made[1][0])
