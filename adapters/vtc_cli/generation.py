"""What a checkpoint says of generating, as far as greedy decoding listens to it: the ids at which an answer ends."""

from typing import Any

from transformers import GenerationConfig

from vtc_core import checkpoints

# Whatever the checkpoint says: one answer, the likeliest token at every step, and nothing kept but its ids.
GREEDY: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "output_logits": False,
    "return_dict_in_generate": False,
}


def check_endings(path_or_id: str, vocab_size: int) -> None:
    """A ValueError for special tokens of the generation config that are none of the vocabulary's."""
    try:
        settings = GenerationConfig.from_pretrained(path_or_id)
    except OSError:  # a checkpoint without one
        return
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value: Any = getattr(settings, key, None)
        for number in value if isinstance(value, list) else [value]:
            if number is not None:
                checkpoints.token(f"{key} of the generation config of {path_or_id}", number, vocab_size)
