"""A vision tower made ready for one thing: inference on this CPU. An option, since features differ by rounding then."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PRODUCTS = "vtc_products"  # the name of an attention implementation, as "sdpa" is
DTYPES = (torch.float32, torch.bfloat16)  # in float16, products on CPUs are slower by far than sdpa
ROWS = 2048  # that a layout is chosen for; others are right as well


def pack(tower: Any) -> Any:
    """The same tower, changed in place: linear layers in oneDNN's layout, and in bfloat16 attention by products.

    torch lays weights out anew at every call, and its bfloat16 sdpa is slow on CPUs; see benchmarks/packed.py. What is
    packed takes the memory that the weights took, is no parameter any more (nothing to train, save or move), and gives
    bit-equal linear layers in bfloat16, in float32 such that differ by rounding. Attention by products rounds to
    bfloat16 before softmax, as transformers' eager attention does.

    Raises:
        ValueError: a tower that is not on the CPU, or not in float32 or bfloat16; a torch without oneDNN.
    """
    weight = next(tower.parameters())
    if not torch.backends.mkldnn.is_available():
        raise ValueError("packing needs a torch that was built with oneDNN (torch.backends.mkldnn)")
    if weight.device.type != "cpu" or weight.dtype not in DTYPES:
        raise ValueError(
            f"only a tower on the CPU, in float32 or bfloat16, can be packed, got {weight.device.type}, {weight.dtype}"
        )
    for name, layer in list(tower.encoder.named_modules()):
        if isinstance(layer, nn.Linear):
            tower.encoder.set_submodule(name, PackedLinear(layer))
    if weight.dtype == torch.bfloat16:
        attend_by_products(tower)
    return tower


def attend_by_products(tower: Any) -> None:
    """Give a tower an attention that is faster than torch's sdpa where that is slow: in bfloat16 on a CPU."""
    ALL_ATTENTION_FUNCTIONS.register(PRODUCTS, products)
    tower.set_attn_implementation(PRODUCTS)


class PackedLinear(nn.Module):
    """A linear layer whose weight was laid out once."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), ROWS)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


def products(
    module: nn.Module,
    query: Float[Tensor, "batch heads queries head_dim"],
    key: Float[Tensor, "batch heads length head_dim"],
    value: Float[Tensor, "batch heads length head_dim"],
    attention_mask: None = None,
    scaling: float = 1.0,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Float[Tensor, "batch queries heads head_dim"], None]:
    """softmax(query @ key) @ value, a picture at a time: the maps of one stay in the cache."""
    rows = [((q * scaling) @ k.transpose(1, 2)).softmax(-1) @ v for q, k, v in zip(query, key, value, strict=True)]
    return torch.stack(rows).transpose(1, 2), None
