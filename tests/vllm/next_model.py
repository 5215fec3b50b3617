"""Small LLaVA-NeXT checkpoints, of random weights sharp enough that answers depend on the picture."""

from pathlib import Path
from typing import Any

import torch
from family_parts import IMAGE, VIDEO, VOCABULARY
from llava import families
from safetensors.torch import save_file
from said import END
from transformers import AutoProcessor, LlamaConfig

from vtc_tiny import checkpoint

NEVER = (IMAGE, VIDEO, END)  # all that is said is words, as many as may be


def save(folder: Path, published: bool, **form: Any) -> tuple[Any, Any]:
    """Model and processor, and the folder that holds them.

    Args:
        published: under the names of the checkpoints on the hub, or else those that `save_pretrained` writes.
        form: arguments of `families.llava_next`.
    """
    words = LlamaConfig(
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,  # of 32, the least that vLLM's attention takes
        vocab_size=len(VOCABULARY),
        initializer_range=0.3,  # so that answers depend on the picture
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model, processor = families.llava_next(text_config=words, **form)
    with torch.no_grad():
        model.lm_head.weight.div_(25)  # so that it is never certain, and any change of what it sees shows
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if published:
        weights = {checkpoint.published(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return model, AutoProcessor.from_pretrained(folder)
