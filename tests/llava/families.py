"""Every family on a small random checkpoint, with a processor that writes its prompts.

The stock video processors need torchvision, which is not among the tests' requirements: `Frames` stands in for them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import small_models
import torch
from small_models import WORDS, clip_config, internvl_config, make_processor, sharpen, sharpen_internvl, siglip_config
from transformers import (
    BatchFeature,
    CLIPImageProcessorPil,
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaNextVideoProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    MistralConfig,
    Qwen2Config,
    VideoLlavaConfig,
    VideoLlavaForConditionalGeneration,
    VideoLlavaImageProcessor,
    VideoLlavaProcessor,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)
from transformers.processing_utils import VideosKwargs

VOCABULARY = [*WORDS, "<video>", "<img>", "</img>", "Frame1:", "Frame2:", "Frame3:"]
IMAGE, VIDEO = WORDS.index("<image>"), len(WORDS)
text_config = partial(small_models.text_config, vocab_size=len(VOCABULARY))
PINPOINTS = [[24, 48], [48, 24], [48, 48], [72, 24], [24, 72]]
WIDE_PINPOINTS = [[20 * rows, 20 * columns] for rows in (1, 2, 3) for columns in (1, 2, 3)]


class Frames:
    """(frames, side, side, channels) bytes to pixel_values_videos, normalised, no resizing."""

    model_input_names = ("pixel_values_videos",)
    valid_kwargs = VideosKwargs

    def __call__(self, videos: Any, **kwargs: Any) -> BatchFeature:
        clips = [np.asarray(video) for video in (videos if isinstance(videos, list) else [videos])]
        pixels = torch.tensor(np.stack(clips)).permute(0, 1, 4, 2, 3) / 127.5 - 1
        return BatchFeature({"pixel_values_videos": pixels})


def with_frames(processor_class: type) -> type:
    """A stock processor that takes `Frames`: it checks for classes that cannot be imported without torchvision."""
    check = {"check_argument_for_proper_class": lambda self, name, argument: type(argument)}
    return type(processor_class.__name__, (processor_class,), check)


def make(model_class: type, config_class: type, **settings: Any) -> Any:
    """A model of 36 (SigLIP: 25) patch tokens a tile, whose answers depend on what it sees."""
    torch.manual_seed(0)
    settings = {
        "vision_config": clip_config(),
        "text_config": text_config(),
        "image_token_index": IMAGE,
        **settings,
    }
    model = model_class(config_class(**settings)).eval()
    model.generation_config.pad_token_id = 0
    with torch.no_grad():
        model.lm_head.weight.mul_(25)
        model.model.language_model.embed_tokens.weight.mul_(25)
        model.model.multi_modal_projector.linear_2.weight.mul_(25)
        if hasattr(model.model, "image_newline"):
            model.model.image_newline.mul_(25)
    for name in ("vision_tower", "image_tower", "video_tower"):
        tower = getattr(model.model, name, None)
        if tower is not None and tower.config.model_type == "clip_vision_model":
            sharpen(tower)
        elif tower is not None and tower.config.model_type == "internvl_vision":
            sharpen_internvl(tower)
        elif tower is not None:
            with torch.no_grad():
                tower.embeddings.patch_embedding.weight.mul_(5)
                for layer in tower.encoder.layers:
                    layer.self_attn.q_proj.weight.mul_(3)
    return model


def tokenizer() -> Any:
    made = make_processor().tokenizer
    made.add_tokens(VOCABULARY[len(WORDS) :], special_tokens=True)
    return made


SIZES: dict[str, Any] = {"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}
COUNTING: Any = {
    "patch_size": 4,
    "vision_feature_select_strategy": "default",
    "num_additional_image_tokens": 1,
}
SIGLIP = siglip_config(depth=4, dim=32, heads=4, grid=5)
SIGLIP_COUNTING: Any = {"patch_size": 4, "vision_feature_select_strategy": "full", "num_additional_image_tokens": 0}
SIGLIP_SIZE: Any = {"height": 20, "width": 20}


def llava(**settings: Any) -> tuple[Any, Any]:
    model = make(LlavaForConditionalGeneration, LlavaConfig, **settings)
    return model, LlavaProcessor(CLIPImageProcessorPil(**SIZES), tokenizer(), **COUNTING)


def bakllava() -> tuple[Any, Any]:
    return llava(text_config=text_config(MistralConfig, num_key_value_heads=2, sliding_window=None))


def llava_qwen2() -> tuple[Any, Any]:
    return llava(text_config=text_config(Qwen2Config, num_key_value_heads=2))


def llava_several_layers() -> tuple[Any, Any]:
    return llava(vision_feature_layer=[-2, -4])


def llava_siglip() -> tuple[Any, Any]:
    strategy = {"vision_feature_select_strategy": "full"}
    model = make(LlavaForConditionalGeneration, LlavaConfig, vision_config=SIGLIP, vision_feature_layer=-1, **strategy)
    pixels = CLIPImageProcessorPil(size=SIGLIP_SIZE, crop_size=SIGLIP_SIZE, do_center_crop=False)
    return model, LlavaProcessor(pixels, tokenizer(), **SIGLIP_COUNTING)


def vipllava() -> tuple[Any, Any]:
    layers = {"vision_feature_layer": [-2, -4, 1], "vision_feature_layers": [-2, -4, 1]}  # one name, by version
    model = make(VipLlavaForConditionalGeneration, VipLlavaConfig, **layers)
    return model, LlavaProcessor(CLIPImageProcessorPil(**SIZES), tokenizer(), **COUNTING)


def llava_next(counting: Any = COUNTING, **settings: Any) -> tuple[Any, Any]:
    model = make(LlavaNextForConditionalGeneration, LlavaNextConfig, image_grid_pinpoints=PINPOINTS, **settings)
    pixels = LlavaNextImageProcessorPil(image_grid_pinpoints=PINPOINTS, **SIZES)
    return model, LlavaNextProcessor(pixels, tokenizer(), **counting)


def llava_next_siglip() -> tuple[Any, Any]:
    """In the form of Granite Vision: SigLIP, several feature layers."""
    tower = siglip_config(depth=4, dim=32, heads=4)
    layers = {"vision_feature_layer": [-4, -2, -1], "vision_feature_select_strategy": "full"}
    return llava_next(SIGLIP_COUNTING, vision_config=tower, **layers)


def llava_next_video(counting: Any = COUNTING, **settings: Any) -> tuple[Any, Any]:
    model = make(
        LlavaNextVideoForConditionalGeneration,
        LlavaNextVideoConfig,
        image_grid_pinpoints=PINPOINTS,
        video_token_index=VIDEO,
        **settings,
    )
    pixels = LlavaNextImageProcessorPil(image_grid_pinpoints=PINPOINTS, **SIZES)
    return model, with_frames(LlavaNextVideoProcessor)(Frames(), pixels, tokenizer(), **counting)


def llava_next_video_siglip() -> tuple[Any, Any]:
    tower = siglip_config(depth=4, dim=32, heads=4)
    layers = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
    return llava_next_video(SIGLIP_COUNTING, vision_config=tower, **layers)


def video_llava() -> tuple[Any, Any]:
    model = make(VideoLlavaForConditionalGeneration, VideoLlavaConfig, video_token_index=VIDEO)
    return model, with_frames(VideoLlavaProcessor)(VideoLlavaImageProcessor(**SIZES), Frames(), tokenizer(), **COUNTING)


def llava_onevision() -> tuple[Any, Any]:
    model = make(
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionConfig,
        vision_config=SIGLIP,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_2",
        image_grid_pinpoints=WIDE_PINPOINTS,
        text_config=text_config(Qwen2Config, num_key_value_heads=2),
        video_token_index=VIDEO,
    )
    pixels = LlavaOnevisionImageProcessorPil(size=SIGLIP_SIZE, image_grid_pinpoints=WIDE_PINPOINTS)
    processor = with_frames(LlavaOnevisionProcessor)(
        pixels,
        tokenizer(),
        Frames(),
        num_image_tokens=25,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_2",
    )
    return model, processor


def internvl(**settings: Any) -> tuple[Any, Any]:
    """6 x 6 patches a tile, which are 9 tokens; at most 6 tiles and a thumbnail."""
    model = make(
        InternVLForConditionalGeneration,
        InternVLConfig,
        vision_config=internvl_config(**settings),
        text_config=text_config(Qwen2Config, num_key_value_heads=2),
        image_token_id=IMAGE,
    )
    words = tokenizer()
    named = {"start_image": "<img>", "end_image": "</img>", "context_image": "<image>", "video": "<video>"}
    for name, word in named.items():
        setattr(words, f"{name}_token", word)
        setattr(words, f"{name}_token_id", words.convert_tokens_to_ids(word))
    pixels = GotOcr2ImageProcessorPil(size={"height": 24, "width": 24}, max_patches=6)
    return model, with_frames(InternVLProcessor)(pixels, words, Frames(), image_seq_length=9)


def internvl_of_38b() -> tuple[Any, Any]:
    """Norms of queries and keys."""
    return internvl(use_qk_norm=True, norm_type="rms_norm")


class Case(NamedTuple):
    """A family, or a form of it."""

    make: Callable[[], tuple[Any, Any]]
    tokens: int = 36  # of a tile
    method: str = "vtc-cls"
    videos: bool = False
    total: bool = False
    in_a_row: bool = False  # the stock processor hands on tiles without saying whose they are

    @property
    def frame(self) -> int:
        """Pixels on the side of a frame."""
        return 20 if self.tokens == 25 else 24


FAMILIES = {
    "llava": Case(llava),
    "bakllava": Case(bakllava),
    "llava of qwen2": Case(llava_qwen2),
    "llava of several layers": Case(llava_several_layers),
    "llava of siglip": Case(llava_siglip, tokens=25, method="received"),
    "vipllava": Case(vipllava),
    "llava_next": Case(llava_next, total=True),
    "llava_next of siglip": Case(llava_next_siglip, method="received", total=True),
    "llava_next_video": Case(llava_next_video, videos=True, total=True),
    "llava_next_video of siglip": Case(llava_next_video_siglip, method="received", videos=True, total=True),
    "video_llava": Case(video_llava, videos=True, total=True),
    "llava_onevision": Case(llava_onevision, tokens=25, method="received", videos=True, total=True),
    "internvl": Case(internvl, tokens=9, videos=True, total=True, in_a_row=True),
    "internvl of 38b": Case(internvl_of_38b, tokens=9, videos=True, total=True, in_a_row=True),
}
