"""Every family on a small random checkpoint, with a processor that writes its prompts."""

from collections.abc import Callable
from typing import Any, NamedTuple

from family_parts import IMAGE, VIDEO, Frames, make, text_config, tokenizer, with_frames
from small_internvl import internvl_config
from small_models import siglip_config
from transformers import (
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

PINPOINTS = [[24, 48], [48, 24], [48, 48], [72, 24], [24, 72]]
WIDE_PINPOINTS = [[20 * rows, 20 * columns] for rows in (1, 2, 3) for columns in (1, 2, 3)]


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
