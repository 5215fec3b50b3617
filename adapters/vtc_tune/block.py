"""A block of samples: the unpruned answers, once, and what becomes of them with every setting."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from vtc_cli.answering import decoded, inputs_of
from vtc_core.methods import spelled
from vtc_llava import Settings, patch

from . import asking
from .answers import agreement
from .likelihood import divergence
from .samples import Sample
from .together import Walks

DIGITS = 6  # of a likelihood: what is beyond is noise of the arithmetic


class Row(NamedTuple):
    """One sample with one setting. Without a method: with all visual tokens, what the others are held against."""

    sample: int
    id: str
    question: str
    method: str | None
    keep: int | None
    total: int | None
    visual: int  # tokens of the prompt that are of the picture
    prompt: int  # tokens of the prompt, all
    answer: str
    agreement: float  # with the unpruned answer, see `answers.agreement`
    accuracy: float | None  # the same with the right answer, where that is known
    loyalty: float  # mean log-probability per token of the unpruned answer, in nats
    divergence: float  # KL of the first token's distribution from the unpruned model's, in nats


@torch.inference_mode()
def measure(
    model: Any,
    processor: Any,
    samples: Sequence[tuple[int, Sample]],
    settings: Sequence[Settings],
    walks: Walks,
    max_new_tokens: int,
    step: Callable[[Any], Any],
) -> list[Row]:
    """All rows of these samples, (number, sample) each; `step` is called after each setting and the unpruned pass."""
    pictures, questions = [sample.picture() for _, sample in samples], [sample.question for _, sample in samples]
    inputs = inputs_of(model, processor, pictures, questions)
    said = asking.unpruned(model, inputs, max_new_tokens)
    wanted = decoded(processor, _together([one.ids for one in said], model))
    certain = [one.likelihood for one in said]

    def rows(setting: Settings | None, inputs: Any, answers: list[str], seen: Sequence[Any]) -> list[Row]:
        visual, prompt = asking.visual_tokens(model, inputs), inputs["attention_mask"].sum(1).tolist()
        budget = (setting and spelled(setting.method), setting and setting.keep, setting and setting.total)
        return [
            Row(
                number,
                sample.id,
                sample.question,
                *budget,
                visual[i],
                prompt[i],
                answers[i],
                agreement(answers[i], wanted[i]),
                None if sample.answer is None else agreement(answers[i], sample.answer),
                round(seen[i].loyalty, DIGITS),
                round(divergence(certain[i].first, seen[i].first), DIGITS),
            )
            for i, (number, sample) in enumerate(samples)
        ]

    made = rows(None, inputs, wanted, certain)
    step(None)
    walks.next_batch()
    written: dict[Any, Any] = {}  # placeholders depend on the budget alone: one call of the processor for all methods
    for setting in settings:
        with patch(model, processor, setting.keep, total=setting.total, method=setting.method) as handle:
            walks.lend(handle)
            if setting.budget not in written:
                written[setting.budget] = inputs_of(model, processor, pictures, questions)
            of_budget = written[setting.budget]
            seen, ids = asking.pruned(model, of_budget, said, max_new_tokens)
        made += rows(setting, of_budget, decoded(processor, _together(ids, model)), seen)
        step(None)
    return made


def _together(ids: Sequence[torch.Tensor], model: Any) -> torch.Tensor:
    """Answers as `batch_decode` takes them: padded with what ends an answer, which is not spoken."""
    pad = model.generation_config.pad_token_id
    return torch.nn.utils.rnn.pad_sequence(list(ids), batch_first=True, padding_value=pad or 0)
