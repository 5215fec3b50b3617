"""The architecture `VtcLlavaNextForConditionalGeneration`: LLaVA-NeXT (1.6), pruned tile by tile, or by `total`."""

from vllm.model_executor.models.llava import LlavaDummyInputsBuilder
from vllm.model_executor.models.llava_next import (
    LlavaNextForConditionalGeneration,
    LlavaNextMultiModalProcessor,
    LlavaNextProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from .encoder import PrunedModel
from .processing import PrunedInfo, PrunedProcessor


class Info(PrunedInfo, LlavaNextProcessingInfo):
    pass


class Processor(PrunedProcessor, LlavaNextMultiModalProcessor):
    pass


@MULTIMODAL_REGISTRY.register_processor(Processor, info=Info, dummy_inputs=LlavaDummyInputsBuilder)
class VtcLlavaNextForConditionalGeneration(PrunedModel, LlavaNextForConditionalGeneration):
    pass
