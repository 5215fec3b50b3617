"""Layers that are run whole are called as modules: hooks and gradient checkpointing work as in the stock model."""

import threading
from typing import Any

import pytest
import torch
from small_models import make_siglip, make_tower, pixels

from vtc_core.methods import FeatureNorm, Received, VtcCls
from vtc_torch import PrunedEncoder

from .eager import check, eager_of
from .seeing import Sees

TOWERS = {"clip": make_tower, "siglip": make_siglip}


def halved(output: Any) -> Any:
    return (output[0] / 2, *output[1:]) if isinstance(output, tuple) else output / 2


PARTS = {  # of a layer
    "layer": lambda layer: layer,
    "attention": lambda layer: layer.self_attn,
    "mlp": lambda layer: layer.mlp,
    "queries": lambda layer: layer.self_attn.q_proj,
    "keys": lambda layer: layer.self_attn.k_proj,
    "norm": lambda layer: layer.layer_norm1,
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(("make", "method"), [(make_tower, VtcCls(3)), (make_siglip, Received(2))])
def test_a_hook_changes_scores_and_features_as_in_the_stock_model(make, method, number, part):
    """Layer 0 is only passed, in 1 and 2 the method looks; the oracle's copy of the tower has the same hook."""
    tower: Any = make(depth=5)
    encoder = PrunedEncoder(tower, 7, method)
    before = encoder(pixels(tower)).features
    PARTS[part](tower.encoder.layers[number]).register_forward_hook(lambda module, inputs, output: halved(output))
    check(encoder, pixels(tower))
    assert not torch.equal(before, encoder(pixels(tower)).features)


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_hook_on_the_last_useful_layer_works_where_that_is_run_whole(number):
    tower: Any = make_tower()
    tower.encoder.layers[number].register_forward_hook(lambda module, inputs, output: halved(output))
    with torch.inference_mode():
        pruned = PrunedEncoder(tower, 7, FeatureNorm())(pixels(tower))
    whole = eager_of(tower, pixels(tower)).features(-2)[:, 1:]
    expected = torch.stack([row[kept] for row, kept in zip(whole, pruned.indices, strict=True)])
    torch.testing.assert_close(pruned.features, expected, rtol=0, atol=2e-5)


def test_no_hook_is_left_behind_not_even_after_an_error():
    tower: Any = make_tower()
    encoder = PrunedEncoder(tower, 7)
    encoder(pixels(tower))

    def fail(module, inputs):
        raise RuntimeError("in the middle of a layer")

    handle = tower.encoder.layers[1].self_attn.k_proj.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle of a layer"):
        encoder(pixels(tower))
    handle.remove()
    assert not [module for module in tower.modules() if module._forward_hooks or module._forward_pre_hooks]


# --- gradient checkpointing -------------------------------------------------------------------------------------------


def saved_for_backward(function: Any, *arguments: Any) -> tuple[Any, int]:
    """What `function` returns, and how many bytes autograd holds for its backward pass, weights apart."""
    kept: dict[int, int] = {}

    def pack(x):
        if not isinstance(x, torch.nn.Parameter) and x._base is None:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = function(*arguments)
    return out, sum(kept.values())


METHODS = [VtcCls(3), VtcCls((0, 2)), FeatureNorm(), Received(2), Sees(("keys", "cls_logits"), (1, 2))]


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
def test_checkpointing_saves_memory_for_backward_and_changes_no_gradient(method, reentrant):
    """What is held grows with the depth as in the stock model: by the input of each layer, which is recomputed."""
    held, gradients = {}, []
    for depth in (5, 9):
        for checkpointing in (False, True):
            tower: Any = make_tower(depth=depth).train()
            if checkpointing:
                tower.gradient_checkpointing_enable({"use_reentrant": reentrant})
            pixel_values = pixels(tower).requires_grad_()
            pruned, held[depth, checkpointing] = saved_for_backward(PrunedEncoder(tower, 7, method), pixel_values)
            pruned.features.square().sum().backward()
            if depth == 5:
                weight = tower.encoder.layers[1].mlp.fc1.weight
                gradients.append((pruned.features.detach(), pixel_values.grad, weight.grad))
        held[depth, "stock"] = saved_for_backward(tower, pixel_values)[1]
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed, rtol=1e-5, atol=1e-6)
    plain, checkpointed, stock = (held[9, kind] - held[5, kind] for kind in (False, True, "stock"))
    assert checkpointed == stock <= 4 * 4 * 2 * 37 * 32 < plain / 5
    assert held[5, True] < held[5, False] / 2


# --- threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [VtcCls(3), Sees(("keys", "cls_logits"), (1, 2))], ids=lambda method: method.name)
def test_two_threads_in_one_tower_do_not_mix_their_notes(method):
    """They wait for each other in the middle of every layer, after the queries and before the keys."""
    tower: Any = make_tower()
    encoder = PrunedEncoder(tower, 7, method)
    pictures = pixels(tower, 4).split(2)
    alone = [encoder.look(two).seen for two in pictures]
    meeting = threading.Barrier(2, timeout=30)

    def meet(module, inputs) -> None:
        meeting.wait()

    for layer in tower.encoder.layers:
        layer.self_attn.k_proj.register_forward_pre_hook(meet)
    together: list[Any] = [None, None]

    def look(thread: int) -> None:
        together[thread] = encoder.look(pictures[thread]).seen

    threads = [threading.Thread(target=look, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, expected in zip(together, alone, strict=True):
        for name in method.needs:
            assert torch.equal(getattr(mine, name), getattr(expected, name))
