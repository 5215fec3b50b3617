"""The architecture `VtcLlavaForConditionalGeneration`: LLaVA-1.5 and fine-tunes in the same form, pruned."""

from vllm.model_executor.models.llava import (
    LlavaDummyInputsBuilder,
    LlavaForConditionalGeneration,
    LlavaMultiModalProcessor,
    LlavaProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from .encoder import PrunedModel
from .processing import PrunedInfo, PrunedProcessor


class Info(PrunedInfo, LlavaProcessingInfo):
    pass


class Processor(PrunedProcessor, LlavaMultiModalProcessor):
    pass


@MULTIMODAL_REGISTRY.register_processor(Processor, info=Info, dummy_inputs=LlavaDummyInputsBuilder)
class VtcLlavaForConditionalGeneration(PrunedModel, LlavaForConditionalGeneration):
    pass
