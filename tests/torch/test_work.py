"""What a method costs in the torch encoder: tokens through each part of each layer, maps of tokens, waits of a GPU."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from small_models import make_tower, pixels
from torch import Tensor, nn

from vtc_core.methods import METHODS, Choice, Method
from vtc_core.methods.method import WHOLE
from vtc_torch import PrunedEncoder

from .seeing import Sees
from .shapes import Maps, Shapes, Waits
from .walked import WALKED, encoder_of

# Formulas that compare all tokens with each other: how many maps of them live at once while one is made of another.
COMPARING = {"vispruner": 2, "divprune": 3, "todre": 1, "catp": 3, "gprune": 3, "centerclip": 4, "pact": 3}


def rows_of(encoder: PrunedEncoder, part: str) -> list[int]:
    """Of each layer, how many tokens of a picture went through a part of it."""
    rows = []
    handles = []
    for number, layer in enumerate(encoder.tower.encoder.layers):  # type: ignore[union-attr]
        rows.append(0)

        def count(module: Any, inputs: Any, output: Any, number: int = number) -> None:
            rows[number] += output.shape[1]

        handles.append(layer.get_submodule(part).register_forward_hook(count))  # type: ignore[union-attr]
    with torch.inference_mode():
        encoder(pixels(encoder.tower))
    for handle in handles:
        handle.remove()
    return rows


def looks_whole(method: type[Method]) -> bool:
    return method.merges or bool(set(WHOLE) & set(method.needs))


@pytest.mark.parametrize("name", WALKED)
def test_the_last_useful_layer_is_run_for_kept_tokens_unless_features_are_seen_and_no_layer_after_it(name):
    """Of 5 layers, 0 to 4, layer 3 is the last useful one. Beyond it some ask for queries and keys, and no more."""
    encoder = encoder_of(name)
    beyond = 4 in encoder.layers
    last = 37 if looks_whole(METHODS[name]) or beyond else 7
    assert rows_of(encoder, "mlp.fc1") == rows_of(encoder, "self_attn.out_proj") == [37, 37, 37, last, 0]
    assert rows_of(encoder, "self_attn.v_proj") == [37, 37, 37, 37, 0]
    assert rows_of(encoder, "self_attn.k_proj") == [37, 37, 37, 37, 37 * beyond]


@pytest.mark.parametrize(
    ("needs", "layers", "last", "asking"),
    [
        (("cls_attention",), (2, 3), 7, 7 + 1),  # kept tokens and CLS
        (("cls_attention",), (2,), 7, 7),
        (("received_attention",), (2, 3), 7, 7 + 37),
        (("keys",), (2, 3), 7, 7 + 1),
        (("features",), (), 37, 37),
        (("cls_feature",), (), 37, 37),
        (("projected",), (), 37, 37),
        (("cls_attention", "features"), (2, 3), 37, 37),
    ],
)
def test_each_need_has_its_price(needs, layers, last, asking):
    encoder = PrunedEncoder(make_tower(), 7, Sees(needs, layers), projector=nn.Identity())
    assert rows_of(encoder, "mlp.fc1") == [37, 37, 37, last, 0]
    assert rows_of(encoder, "self_attn.q_proj") == [37, 37, 37, asking, 0]


@pytest.mark.parametrize(
    ("needs", "asking"), [(("cls_attention",), 1), (("received_attention",), 37), (("keys",), 1)], ids=str
)
def test_beyond_the_features_there_are_queries_and_keys_alone(needs, asking):
    encoder = PrunedEncoder(make_tower(), 7, Sees(needs, (4,)))
    assert rows_of(encoder, "mlp.fc1") == [37, 37, 37, 37, 0]
    assert rows_of(encoder, "self_attn.v_proj") == [37, 37, 37, 37, 0]
    assert rows_of(encoder, "self_attn.q_proj") == [37, 37, 37, 37, asking]
    assert rows_of(encoder, "self_attn.k_proj") == [37, 37, 37, 37, 37]


@pytest.mark.parametrize("name", WALKED)
def test_no_attention_map_is_ever_made_and_no_more_maps_of_tokens_than_the_formula_has(name):
    encoder = encoder_of(name, 9, make_tower(grid=12))
    with torch.inference_mode():
        with Shapes() as shapes:
            looked = encoder.look(pixels(encoder.tower))
        with Maps(2, 144) as maps:
            looked.feed(looked.choose(9), encoder.projector)
    assert not [shape for shape in shapes.seen if len(shape) > 1 and min(shape[-2:]) >= 144]
    assert maps.most <= COMPARING.get(name, 0)


def test_maps_are_counted():
    x = torch.rand(2, 144, 8)
    with torch.inference_mode(), Maps(2, 144) as maps:
        one = x @ x.mT
        del one
        assert maps.most == 1
        one = x @ x.mT
        view = one.mT
        bits = one > 0
        assert maps.most == 1
        two = one + view
        assert maps.most == 2
        heads = one[:, None].repeat(1, 4, 1, 1)
    assert maps.most == 6
    del two, bits, heads


@pytest.mark.parametrize("name", WALKED)
def test_nothing_is_copied_from_device_to_host_between_pixels_and_features(name, monkeypatch):
    """On CPU by the names of the operations; on "meta", a device without numbers, whatever asks for one fails."""
    encoder = encoder_of(name)
    with torch.inference_mode(), Waits() as waits:
        encoder(pixels(encoder.tower))
    assert waits.seen == []
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which knows no "meta"
    tower: Any = make_tower()
    encoder = encoder_of(name, tower=tower.to("meta"), device="meta")
    with torch.inference_mode(), Waits() as waits:
        pruned = encoder(pixels(encoder.tower).to("meta"))
    assert waits.seen == []
    assert (pruned.features.device.type, pruned.features.shape[:2]) == ("meta", (2, 7))


WAITING = {
    "bincount": lambda seen: seen.tile[0].bincount(),
    "unique2": lambda seen: seen.tile.unique(),
    "nonzero": lambda seen: seen.tile.nonzero(),
    "index": lambda seen: seen.features[seen.tile == 0],
}


def test_asking_for_a_number_is_noticed_where_there_are_none():
    for ask in (Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.numpy, bool, int):
        with pytest.raises((RuntimeError, NotImplementedError, TypeError), match="meta"):
            ask(torch.zeros((), device="meta"))


@pytest.mark.parametrize("name", WAITING)
def test_waiting_is_noticed(name):
    class Waiting(Sees):
        def choose(self, v, seen, keep) -> Choice:
            WAITING[name](seen)
            return super().choose(v, seen, keep)

    encoder = PrunedEncoder(make_tower(), 7, Waiting(("features",)))
    with torch.inference_mode(), Waits() as waits:
        encoder(pixels(encoder.tower))
    assert name in waits.seen
