"""Answers of a model with all of its visual tokens, and of the same model, patched, to the same prompts.

A patched model is fed the unpruned answer, all of it at once: that gives its likelihood, and tells the greedy answer as
far as it is the same. Only from where it differs has it to be generated.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vtc_llava import prompted

from .likelihood import Likelihood, likelihood

GREEDY = {"do_sample": False, "num_beams": 1}

Ids = Int64[Tensor, "_"]  # of one answer
Embeds = Float[Tensor, "_ dim"]  # of one prompt


class Said(NamedTuple):
    """The unpruned answer to one prompt."""

    ids: Ids  # its end included, if it came to one
    likelihood: Likelihood


def unpruned(model: Any, inputs: Any, max_new_tokens: int) -> list[Said]:
    """What the model says to each prompt of a batch, greedily, and how sure it was."""
    generated = model.generate(
        **inputs, **GREEDY, max_new_tokens=max_new_tokens, output_logits=True, return_dict_in_generate=True
    )
    logits = torch.stack(generated.logits, 1)  # batch steps vocabulary
    answers = generated.sequences[:, -logits.shape[1] :]
    ended = [_ended(model, ids) for ids in answers]
    return [Said(ids, likelihood(row[: len(ids)], ids)) for ids, row in zip(ended, logits, strict=True)]


def pruned(model: Any, inputs: Any, said: Sequence[Said], max_new_tokens: int) -> tuple[list[Likelihood], list[Ids]]:
    """Of a patched model, how likely the unpruned answers are, and its own answers to the same prompts.

    `inputs` are of the patched processor. Answers are as long as `max_new_tokens` lets them.
    """
    prompts = list(_embedded(model, inputs))
    embed = model.get_input_embeddings()
    fed = [torch.cat([prompt, embed(one.ids[:-1])]) for prompt, one in zip(prompts, said, strict=True)]
    embeds, mask = padded(fed)
    longest = max(len(one.ids) for one in said)
    positions = (mask.long().cumsum(1) - 1).clamp(0)
    logits = model(
        inputs_embeds=embeds,
        attention_mask=mask.long(),
        position_ids=positions,
        logits_to_keep=longest,
        use_cache=False,
    ).logits
    seen = [likelihood(row[longest - len(one.ids) :], one.ids) for row, one in zip(logits, said, strict=True)]
    answers = [_as_far_as_known(one, of.greedy) for one, of in zip(said, seen, strict=True)]
    going_on = [i for i, ids in enumerate(answers) if len(ids) < max_new_tokens and not _ends(model, ids)[-1:].any()]
    if going_on:
        begun = [torch.cat([prompts[i], embed(answers[i])]) for i in going_on]
        more = _generated(model, begun, max_new_tokens - min(len(answers[i]) for i in going_on))
        for i, ids in zip(going_on, more, strict=True):
            answers[i] = _ended(model, torch.cat([answers[i], ids])[:max_new_tokens])
    return seen, answers


def visual_tokens(model: Any, inputs: Any) -> list[int]:
    """Of each prompt."""
    return (inputs["input_ids"] == model.config.image_token_id).sum(1).tolist()


def padded(rows: Sequence[Embeds]) -> tuple[Float[Tensor, "batch longest dim"], Bool[Tensor, "batch longest"]]:
    """On the left, so that rows end together; and what of it is none of the padding."""
    longest = max(len(row) for row in rows)
    padded = torch.stack([torch.nn.functional.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
    numbers = torch.arange(longest, device=padded.device)
    starts = torch.tensor([longest - len(row) for row in rows], device=padded.device)
    return padded, numbers >= starts[:, None]


def _embedded(model: Any, inputs: Any) -> Iterator[Embeds]:
    """Each prompt as the language model is fed it, without padding."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    shown = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    with prompted(model.vtc, ids):
        features = model.model.get_image_features(**shown).pooler_output
    embeds = model.get_input_embeddings()(ids)
    is_visual = (ids == model.config.image_token_id)[..., None]
    visual = torch.cat([picture.flatten(0, -2) for picture in features])
    embeds = embeds.masked_scatter(is_visual, visual.to(embeds))
    return (row[there] for row, there in zip(embeds, mask, strict=True))


def _as_far_as_known(said: Said, greedy: Ids) -> Ids:
    """The beginning of the patched model's answer: up to the first token that is not the unpruned model's.

    Where the unpruned answer is not its own likeliest (a repetition penalty in the generation's settings), nothing.
    """
    if not torch.equal(said.likelihood.greedy, said.ids):
        return said.ids[:0]
    differs = (greedy != said.ids).nonzero()
    return greedy[: int(differs[0]) + 1] if len(differs) else said.ids


def _generated(model: Any, begun: Sequence[Embeds], most: int) -> Int64[Tensor, "batch steps"]:
    embeds, mask = padded(begun)
    return model.generate(inputs_embeds=embeds, attention_mask=mask.long(), max_new_tokens=most, **GREEDY)


def _ends(model: Any, ids: Ids) -> Bool[Tensor, "_"]:
    ends = model.generation_config.eos_token_id
    return torch.isin(ids, torch.tensor([] if ends is None else ends, device=ids.device, dtype=ids.dtype))


def _ended(model: Any, ids: Ids) -> Ids:
    """Up to the first token that ends an answer; what comes after it is padding."""
    ends = _ends(model, ids).nonzero()
    return ids[: int(ends[0]) + 1] if len(ends) else ids
