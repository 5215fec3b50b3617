"""The shipped checkpoint."""

from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "checkpoint"


def load() -> tuple[Any, Any]:
    """The shipped model and its processor, loaded as any LLaVA-1.5 checkpoint is.

    A stock `LlavaForConditionalGeneration`, in evaluation mode, and a stock `LlavaProcessor`.
    """
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    return LlavaForConditionalGeneration.from_pretrained(PATH).eval(), AutoProcessor.from_pretrained(PATH)
