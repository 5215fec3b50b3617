"""The floor is arithmetic: torch's own counter has to agree with it to the last multiply-add."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vtc_bench import costs, prefill, torch_encoder
from vtc_core.methods import Choice, FeatureNorm, FlowCut, HoloV, Method, Received, VisionZip, VtcCls


@dataclass(frozen=True)
class Sees(Method):
    """Some fields of some layers, and the first tokens: its choice costs nothing."""

    name: ClassVar[str] = "sees"
    looks_at: ClassVar[str] = "what it is told"
    source: ClassVar[str] = "this test"

    needs: tuple[str, ...] = ()  # type: ignore[misc]
    layers: tuple[int, ...] = ()
    threshold: float = 1.0  # of sinks

    def layers_seen(self, depth, feature_layer):
        return self.layers

    def choose(self, v, seen, keep):
        return Choice(torch.arange(keep).expand(len(seen.tile), -1), torch.zeros(seen.tile.shape))


METHODS = [
    VtcCls(1),
    VtcCls(3),
    VtcCls(4),
    Received(2),
    FeatureNorm(),
    Sees(),
    Sees(("keys",), (1,)),
    Sees(("cls_attention", "features"), (3,)),
    Sees(("cls_logits", "sink_attention"), (1, 2)),  # layer 3 makes the features
    Sees(("joint_attention", "received_attention"), (0, 3)),
    Sees(("cls_attention", "keys"), (4,)),
    Sees(("sink_attention", "features", "cls_feature"), (2, 4)),
]


def counted(run):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops() / 2  # torch counts a multiply-add as two


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("keep", [1, 7, 36])
def test_an_encoder_does_what_the_floor_counts(toy, keep, method):
    tower = torch_encoder.tower(toy, "eager")  # torch counts no sdpa on CPU
    pixel_values = torch_encoder.pixels(toy, 2)
    encoder = torch_encoder.pruned(tower, keep, method)
    assert counted(lambda: encoder(pixel_values)) == 2 * costs.pruned(toy, keep, method)
    assert counted(lambda: torch_encoder.whole(tower, pixel_values)) == 2 * costs.whole(toy)


# Toy: an embedding is 55,296 multiply-adds, a layer of all tokens 390,720, one of 7 tokens 135,360; by hand.
@pytest.mark.parametrize(
    ("method", "by_hand"),
    [
        (VtcCls(2), 55_296 + 3 * 390_720 + 135_360 + 2 * 37 * 32 + 32 * 32),  # late; rows of CLS, and a query
        (VisionZip(), 55_296 + 4 * 390_720 + 37 * 32),  # whole
        (Received(2), 55_296 + 3 * 390_720 + 135_360 + 2 * 37 * 37 * 32 + 37 * 32 * 32),  # all queries ask
    ],
    ids=["late", "whole", "received"],
)
def test_costs_are_those_of_a_sum_by_hand(toy, method, by_hand):
    assert costs.pruned(toy, 7, method) == by_hand


def test_a_progressive_encoder_does_no_more_than_what_is_counted(toy):
    few = 8 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * 8 * 8 * 32  # the last useful layer, of CLS and 7 tokens
    assert costs.pruned(toy, 7, FlowCut()) == 55_296 + 3 * 390_720 + few
    encoder = torch_encoder.pruned(torch_encoder.tower(toy, "eager"), 7, FlowCut())
    pixel_values = torch_encoder.pixels(toy, 2)
    assert 55_296 + 4 * few < counted(lambda: encoder(pixel_values)) / 2 <= costs.pruned(toy, 7, FlowCut())


def test_floors_of_llava_1_5_are_those_of_the_design():
    g = costs.GEOMETRIES["vit-l-336"]
    assert round(costs.pruned(g, 64) / costs.whole(g), 3) == 0.927
    assert round(costs.pruned(g, 64, VisionZip()) / costs.whole(g), 3) == 0.958


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
    assert total - masked == prefill.language_work(config, tokens)


@pytest.mark.parametrize(
    ("method", "projected"), [(VtcCls(), 4), (VisionZip(), 4), (HoloV(), 36 + 4)], ids=["few", "mixtures", "all seen"]
)
def test_to_the_first_token_is_the_encoder_the_projector_and_the_prompt(toy, method, projected):
    config = prefill.LANGUAGE_MODELS["toy"]()
    parts = costs.pruned(toy, 4, method) + projected * (32 * 32 + 32 * 32) + prefill.language_work(config, 4)
    assert prefill.to_first_token(toy, config, 4, method) == parts


def test_floors_are_ratios_of_counted_work(toy):
    config = prefill.LANGUAGE_MODELS["toy"]()
    floors = prefill.floors(toy, config, 4, VtcCls())
    assert set(floors) < set(prefill.WORK)
    assert 0 < floors[prefill.PREFILL] < floors[prefill.END_TO_END] < 1
    assert prefill.floors(toy, config, toy.tokens, VtcCls())[prefill.PREFILL] == 1


@pytest.mark.parametrize(("keep", "layers", "message"), [(37, 3, r"keep must be .* \[1, 36\]"), (4, 5, r"\[1, 4\]")])
def test_numbers_that_do_not_fit_are_refused(toy, keep, layers, message):
    with pytest.raises(ValueError, match=message):
        costs.pruned(toy, keep, VtcCls(layers))
