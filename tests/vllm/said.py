"""What a model was told and what it said, in tokens, and how transformers says it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch

END = 2  # `eos_token_id` of every model of the tests


class Said(NamedTuple):
    prompt: list[int]
    tokens: list[int]  # with the end, if there is one
    logprobs: list[float]  # of the tokens

    @property
    def ids(self) -> tuple[list[int], list[int]]:
        return self.prompt, self.tokens


def same(ours: Sequence[Said], theirs: Sequence[Said]) -> None:
    """Prompts and tokens are equal; log probabilities are so close that no other patch can have been kept."""
    assert [said.ids for said in ours] == [said.ids for said in theirs]
    assert ours
    for our, their in zip(ours, theirs, strict=True):
        assert our.logprobs == pytest.approx(their.logprobs, abs=1e-3)


@torch.inference_mode()
def in_transformers(model: Any, inputs: Any, many: int, never: Sequence[int] = ()) -> list[Said]:
    """Of a batch, padded on the left; see `engines.said`."""
    settings = {"suppress_tokens": list(never)} if never else {}
    made = model.generate(
        **inputs,
        **settings,
        max_new_tokens=many,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    new = made.sequences[:, inputs["input_ids"].shape[1] :]
    logprobs = torch.stack(made.logits, 1).log_softmax(-1).gather(2, new[..., None])[..., 0]
    rows = zip(inputs["input_ids"], inputs["attention_mask"].bool(), new.tolist(), logprobs.tolist(), strict=True)
    return [Said(ids[mask].tolist(), row[: (n := _length(row))], of[:n]) for ids, mask, row, of in rows]


def _length(row: list[int]) -> int:
    return row.index(END) + 1 if END in row else len(row)
