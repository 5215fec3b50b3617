"""The model, its processor, and the folder they live in, in the layout of the published llava-hf checkpoints."""

from pathlib import Path

from safetensors.torch import save_file
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from .scenes import SIDE
from .tokenizer import BOS, CHAT_TEMPLATE, EOS, IMAGE, PAD, tokenizer, vocabulary

PATCH = 8  # pixels; 12 x 12 = 144 patch tokens
VISION = CLIPVisionConfig(
    hidden_size=96,
    intermediate_size=384,
    num_hidden_layers=7,
    num_attention_heads=4,
    image_size=SIDE,
    patch_size=PATCH,
)

# what a module is called in LlavaForConditionalGeneration, and in LLaVA-NeXT's -> in published checkpoints
PUBLISHED = {
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
    "model.image_newline": "image_newline",
}


def build() -> LlavaForConditionalGeneration:
    """The untrained model: 1.4 million parameters."""
    text = LlamaConfig(
        vocab_size=len(vocabulary()),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=2048,
        initializer_range=0.08,  # 1 / sqrt(128): with the usual 0.02 so narrow a model hardly starts to learn
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    config = LlavaConfig(
        vision_config=VISION,
        text_config=text,
        image_token_index=IMAGE,
        image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    return LlavaForConditionalGeneration(config)


def processor() -> LlavaProcessor:
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return LlavaProcessor(
        image_processor,
        tokenizer(),
        patch_size=PATCH,
        num_additional_image_tokens=1,  # the [CLS] token
        vision_feature_select_strategy="default",
        image_token="<image>",
        chat_template=CHAT_TEMPLATE,
    )


def save(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Write config, weights under their published names, generation defaults and processor."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = ["LlavaForConditionalGeneration"]
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    weights = {published(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors leaves a file that its owner alone can read
    ends = GenerationConfig(bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD, max_new_tokens=8, do_sample=False)
    ends.save_pretrained(folder)
    processor().save_pretrained(folder)


def published(name: str) -> str:
    """What a tensor of `LlavaForConditionalGeneration` is called in published checkpoints."""
    ours = next(prefix for prefix in PUBLISHED if name.startswith(prefix))
    return PUBLISHED[ours] + name.removeprefix(ours)
