"""What lmms-eval calls, by the entry point `lmms_eval.models`, to learn of models that are not its own."""

from typing import Any

MODEL = "vtc_llava_hf"


def manifest() -> Any:
    """An lmms-eval `ModelManifest`. The model's module is named, and imported once it is asked for."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(MODEL, chat_class_path="vtc_lmms.model.VtcLlavaHf")
