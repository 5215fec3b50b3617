"""What vLLM calls in every one of its processes, by the entry point `vllm.general_plugins`."""

from typing import Any

ARCHITECTURES = {
    "VtcLlavaForConditionalGeneration": "vtc_vllm.llava:VtcLlavaForConditionalGeneration",
    "VtcLlavaNextForConditionalGeneration": "vtc_vllm.llava_next:VtcLlavaNextForConditionalGeneration",
}


def register() -> None:
    """Make the pruned architectures known to vLLM, by name: none is imported until it is asked for.

    Stock architectures stay as they are. May be called again.
    """
    from vllm import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP, VerifyAndUpdateConfig

    class Settings(VerifyAndUpdateConfig):
        """Refuses wrong settings when the engine's configuration is put together, before any process is started."""

        @staticmethod
        def verify_and_update_model_config(model_config: Any) -> None:
            from .settings import check

            check(model_config)

    for architecture, model in ARCHITECTURES.items():
        ModelRegistry.register_model(architecture, model)
        MODELS_CONFIG_MAP[architecture] = Settings
