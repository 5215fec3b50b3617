"""What a model was told and what it said, in tokens, and how transformers says it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

END = 2  # `eos_token_id` of every model of the tests


class Said(NamedTuple):
    prompt: list[int]
    tokens: list[int]  # with the end, if there is one


@torch.inference_mode()
def in_transformers(model: Any, inputs: Any, many: int, never: Sequence[int] = ()) -> list[Said]:
    """Of a batch, padded on the left; see `engines.said`."""
    suppressed = {"suppress_tokens": list(never)} if never else {}
    rows = model.generate(**inputs, max_new_tokens=many, do_sample=False, **suppressed)
    new = rows[:, inputs["input_ids"].shape[1] :].tolist()
    shown = zip(inputs["input_ids"], inputs["attention_mask"].bool(), strict=True)
    return [Said(ids[mask].tolist(), _ended(row)) for (ids, mask), row in zip(shown, new, strict=True)]


def _ended(row: list[int]) -> list[int]:
    return row[: row.index(END) + 1] if END in row else row
