"""The one table of tolerances: how far a result may lie from the float64 specification. Never widened for one backend.

Each number is twice the largest error that vtc_torch 0.1.0 (torch 2.13.0, CPU) made in this suite, rounded up to two
digits; `conformance/measure.py` measures it again.
"""

from typing import NamedTuple


class Tolerance(NamedTuple):
    """All relative."""

    attention: float  # of each weight that `attend` returns
    score: float  # of each score
    encoder_score: float  # of each score of an encoder
    encoder_features: float  # of an encoder's features, to the largest of them


TOLERANCES = {
    # attention 2.8e-6 and score 2.6e-7, taken in float32 whatever comes in (S1, S2): the row of float32. The encoder's
    # hidden states are rounded to 11 bits: 1.1e-2 and 1.5e-3.
    "float16": Tolerance(5.6e-6, 5.2e-7, 2.2e-2, 3.0e-3),
    # As float16; hidden states are rounded to 8 bits: 0.10 (logits of 10 are off by several 1/100) and 1.1e-2.
    "bfloat16": Tolerance(5.6e-6, 5.2e-7, 2.1e-1, 2.2e-2),
    # attention 2.8e-6 (logits of up to 30, each with a few roundings of 6e-8), score 2.6e-7, encoder 4.3e-6 and 6.7e-7.
    "float32": Tolerance(5.6e-6, 5.2e-7, 8.6e-6, 1.4e-6),
    # attention 5.0e-15, score 2.2e-16 (one rounding), encoder 1.6e-14 and 1.5e-15.
    "float64": Tolerance(1.0e-14, 4.5e-16, 3.2e-14, 3.0e-15),
}

# Of scores, weights and mixtures of methods, to the largest of them: what outputs of their authors' code are held to.
METHODS = 1e-5
