"""The prompt as a checkpoint's own template and tokenizer write it, held to what its model takes."""

import json
from collections.abc import Sequence
from typing import Any

from vtc_core import checkpoints
from vtc_llava.answering import prompt

from .limited import limited


def written(processor: Any, config: Any, name: str, questions: Sequence[str]) -> list[str]:
    """The prompt of each question about one picture; `name` is for messages. The template runs within limits.

    Raises:
        ValueError: a chat template that fails, does not end or has another number of places for a picture than one; a
            tokenizer that cannot fill up a batch, or writes what the model has no embedding for.
    """
    try:
        texts = json.loads(limited(lambda: json.dumps([prompt(processor, question) for question in questions])))
    except ValueError as error:
        raise ValueError(f"the chat template of {name} {error}") from error
    for text in texts:
        if (places := text.count(processor.image_token)) != 1:
            raise ValueError(
                f"the chat template of {name} must write {processor.image_token} once for one picture, it does so "
                f"{places} times"
            )
    tokenizer = processor.tokenizer
    if tokenizer.pad_token is None:
        raise ValueError(f"the tokenizer of {name} has no pad_token: is its tokenizer_config.json there?")
    largest = max(max(ids, default=0) for ids in tokenizer(texts)["input_ids"])
    checkpoints.token(f"a token of the tokenizer of {name}", largest, config.text_config.vocab_size)
    return texts
