"""Config and processor of an exported folder, as transformers.js and other runners read them: `keep` placeholders."""

import json
from pathlib import Path
from typing import Any

import numpy as np

LANGUAGE_MODEL = ("embed_tokens", "decoder_model_merged")  # pruning pictures changes neither


def read_processor(source: str, config: Any) -> Any:
    """A processor that fits the tower, or a ValueError."""
    from transformers import AutoProcessor

    from vtc_torch import held
    from vtc_torch.configuration import UNTRUSTED, as_data
    from vtc_torch.loading import tower_config
    from vtc_torch.processors import check_image_processor

    held.check_tower(source, config)
    with as_data(source):
        processor: Any = AutoProcessor.from_pretrained(source, **UNTRUSTED)
    check_image_processor(processor.image_processor, tower_config(config, source), source)
    return processor


def write_processor(processor: Any, vision_config: Any, keep: int, folder: Path) -> None:
    side, patch = vision_config.image_size, vision_config.patch_size
    processor.patch_size = patch
    processor.num_additional_image_tokens = keep - (side // patch) ** 2
    processor.vision_feature_select_strategy = "full"
    blank = np.zeros((side, side, 3), np.uint8)
    ids = processor(images=blank, text=processor.image_token)["input_ids"][0]
    written = ids.count(processor.image_token_id)
    if written != keep:
        raise ValueError(f"the processor does not fit the tower: it writes {written} placeholders, not {keep}")
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    _update(folder / "preprocessor_config.json", processor_class="LlavaProcessor")
    if processor.chat_template is not None:
        _update(folder / "tokenizer_config.json", chat_template=processor.chat_template)


def write_config(config: Any, earlier: Path, dtype: str, data: bool, keep: int, folder: Path) -> None:
    """`earlier` holds what those who exported the language model told transformers.js of its files, if anybody did."""
    known = json.loads(earlier.read_text()) if earlier.is_file() else config.to_dict()
    settings = known.get("transformers.js_config", {})
    settings = settings | {
        "dtype": _for_encoder(dtype, settings.get("dtype")),
        "use_external_data_format": _for_encoder(data, settings.get("use_external_data_format")),
    }
    config.image_seq_length = keep
    setattr(config, "transformers.js_config", settings)
    config.save_pretrained(folder)


def _for_encoder(value: Any, setting: Any) -> dict[str, Any]:
    """A setting of transformers.js, one for all files or one for each name, with `value` for the vision encoder."""
    each = setting if isinstance(setting, dict) else {part: setting for part in LANGUAGE_MODEL if setting is not None}
    return {name: of for name, of in each.items() if not name.startswith("vision_encoder")} | {"vision_encoder": value}


def write_generation_config(source: str, config: Any, folder: Path) -> None:
    from transformers import GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(source)
    except OSError:  # a checkpoint without one
        generation = GenerationConfig.from_model_config(config)
    generation.save_pretrained(folder)


def _update(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes, indent=2, ensure_ascii=False) + "\n")
