"""The floor is arithmetic: torch's own counter has to agree with it to the last multiply-add."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vtc_bench import costs, prefill, torch_encoder
from vtc_torch import PrunedEncoder


def counted(run):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops() / 2  # torch counts a multiply-add as two


@pytest.mark.parametrize(("keep", "layers"), [(1, 1), (7, 3), (36, 4)])
def test_an_encoder_does_what_the_floor_counts(toy, keep, layers):
    tower = torch_encoder.tower(toy, "eager")  # torch counts no sdpa on CPU
    pixel_values = torch_encoder.pixels(toy, 2)
    assert counted(lambda: PrunedEncoder(tower, keep, layers)(pixel_values)) == 2 * costs.pruned(toy, keep, layers)
    assert counted(lambda: torch_encoder.whole(tower, pixel_values)) == 2 * costs.whole(toy)


def test_the_floor_of_llava_1_5_is_that_of_the_design():
    g = costs.GEOMETRIES["vit-l-336"]
    assert round(costs.pruned(g, 64) / costs.whole(g), 3) == 0.927


def test_a_geometry_is_that_of_its_configuration():
    for g in costs.GEOMETRIES.values():
        assert costs.geometry_of(torch_encoder.clip_config(g)) == g


@pytest.mark.parametrize("tokens", [1, 9])
def test_prefill_does_what_the_floor_counts(toy, tokens):
    config = prefill.LANGUAGE_MODELS["toy"]()
    model = prefill.language_model(config, "cpu", torch.float32)
    model.set_attn_implementation("eager")  # torch counts no sdpa on CPU
    length, dim = tokens + prefill.TEXT, config.hidden_size
    total = counted(lambda: model(inputs_embeds=torch.randn(1, length, dim), logits_to_keep=1))
    masked = config.num_hidden_layers * length * (length - 1) * dim  # what torch counts and a causal kernel skips
    projector = tokens * (toy.dim * dim + dim * dim)
    assert total - masked + projector == prefill.multiply_adds(toy, config, tokens)


def test_floors_are_ratios_of_counted_work(toy):
    config = prefill.LANGUAGE_MODELS["toy"]()
    floors = prefill.floors(toy, config, 4, 3)
    assert set(floors) < set(prefill.WORK)
    assert 0 < floors[prefill.PREFILL] < floors[prefill.END_TO_END] < 1
    assert prefill.floors(toy, config, toy.tokens, 3)[prefill.PREFILL] == 1


@pytest.mark.parametrize(("keep", "layers", "message"), [(37, 3, r"keep must be .* \[1, 36\]"), (4, 5, r"\[1, 4\]")])
def test_numbers_that_do_not_fit_are_refused(toy, keep, layers, message):
    with pytest.raises(ValueError, match=message):
        costs.pruned(toy, keep, layers)
