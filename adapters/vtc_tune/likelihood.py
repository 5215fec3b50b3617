"""How likely one answer is in two models' eyes: logits in, numbers out."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class Likelihood(NamedTuple):
    loyalty: float  # mean log-probability per token, in nats; 0 is certainty
    first: Float[Tensor, "vocabulary"]  # log-probabilities of the first token
    greedy: Int64[Tensor, "length"]  # the likeliest token at each place, given those of the answer before it


def likelihood(logits: Float[Tensor, "length vocabulary"], answer: Int64[Tensor, "length"]) -> Likelihood:
    """Of an answer, token by token, by the logits that a model has in its places when it is fed the answer itself."""
    log_probabilities = logits.float().log_softmax(-1)
    loyalty = log_probabilities.gather(1, answer[:, None]).double().mean()
    return Likelihood(float(loyalty), log_probabilities[0], logits.argmax(-1))


def divergence(first: Float[Tensor, "vocabulary"], other: Float[Tensor, "vocabulary"]) -> float:
    """KL(first || other) in nats, of two distributions given as log-probabilities."""
    return float(torch.nn.functional.kl_div(other.double(), first.double(), log_target=True, reduction="sum").clamp(0))
