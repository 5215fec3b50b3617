"""Stages inside the language model: what a configuration alone lets one refuse or settle; no weights."""

from collections.abc import Mapping
from typing import Any

from vtc_core.stages import Stage, stage_of
from vtc_core.stages.schedule import checked_schedule

FORMS = ("llama", "mistral", "qwen2")  # transformers' LlamaModel, MistralModel, Qwen2Model


def checked_stages(config: Any, stages: Any) -> tuple[Stage, ...]:
    """Stages in any spelling, one or a sequence; `config` is that of the whole model.

    Raises:
        ValueError, TypeError: a stage that does not exist; layers that the language model does not have; a language
            model of another form.
    """
    if stages is None:
        return ()
    one = isinstance(stages, str | Mapping) or not hasattr(stages, "__iter__")
    made = tuple(map(stage_of, [stages] if one else stages))
    text = config.get_text_config()
    if made and text.model_type not in FORMS:
        raise ValueError(
            f"stages run in language models of model_type {', '.join(FORMS)} (LlamaModel, MistralModel, Qwen2Model), "
            f"got {text.model_type!r}"
        )
    checked_schedule(made, text.num_hidden_layers, 1)
    return made
