"""What vLLM calls in every one of its processes, by the entry point `vllm.general_plugins`."""

ARCHITECTURES = {
    "VtcLlavaForConditionalGeneration": "vtc_vllm.llava:VtcLlavaForConditionalGeneration",
    "VtcLlavaNextForConditionalGeneration": "vtc_vllm.llava_next:VtcLlavaNextForConditionalGeneration",
}


def register() -> None:
    """Make the pruned architectures known to vLLM, by name: nothing is imported until one is asked for.

    Stock architectures stay as they are. May be called again.
    """
    from vllm import ModelRegistry

    for architecture in ARCHITECTURES.keys() - ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(architecture, ARCHITECTURES[architecture])
