"""CLIP's own view of words and of patches, for methods that compare the two."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTextModelWithProjection, PreTrainedModel

from vtc_core.methods import METHODS, Method
from vtc_torch import loading
from vtc_torch.configuration import UNTRUSTED, as_data, read_config
from vtc_torch.reading import read


class _Ends(PreTrainedModel):
    """A CLIP without the layers of its vision tower."""

    _keys_to_ignore_on_load_unexpected = [r"."]  # noqa: RUF012

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        text, vision = copy.deepcopy(config.text_config), config.vision_config
        text.projection_dim = config.projection_dim
        self.text = CLIPTextModelWithProjection(text)
        self.post_layernorm = nn.LayerNorm(vision.hidden_size, eps=vision.layer_norm_eps)
        self.visual_projection = nn.Linear(vision.hidden_size, config.projection_dim, bias=False)
        self.post_init()


_KEYS = {r"^(text_model\.|text_projection)": r"text.\1", r"^vision_model\.post_layernorm": "post_layernorm"}


class TextTower:
    """Of a CLIP checkpoint what text and patches go through, in float32: to be read once, for several patches.

    Attributes:
        name: of the checkpoint.
        dim: of the features that its vision tower makes.
    """

    def __init__(self, name: str, ends: Any, tokenizer: Any) -> None:
        self.name = name
        self.dim: int = ends.visual_projection.in_features
        self._ends = ends.eval().requires_grad_(False)
        self._tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, path_or_hub_id: str, **hub_kwargs: Any) -> "TextTower":
        """Read a CLIP checkpoint, without the layers of its vision tower, and its tokenizer.

        Raises:
            OSError: no checkpoint there.
            ValueError: it is no CLIP, or tensors are missing (they are named).
        """
        config = read_config(path_or_hub_id, **hub_kwargs)
        if config.model_type != "clip":
            raise ValueError(f"text_tower must be a CLIP with both towers, got model_type {config.model_type!r}")
        options = {"config": config, "key_mapping": _KEYS, "dtype": torch.float32, **hub_kwargs}
        ends = read(_Ends, path_or_hub_id, "its text tower", **options)
        with as_data(path_or_hub_id):
            tokenizer = AutoTokenizer.from_pretrained(path_or_hub_id, **UNTRUSTED, **hub_kwargs)
        return cls(path_or_hub_id, ends, tokenizer)

    def on(self, device: torch.device) -> "TextTower":
        """Itself, moved there if it is elsewhere."""
        self._ends.to(device)
        return self

    def of_patches(self, features: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens embed"]:
        """As CLIP makes its picture's vector of CLS; of features that feed a projector."""
        with torch.autocast(features.device.type, enabled=False):
            return self._ends.visual_projection(self._ends.post_layernorm(features.float()))

    def of_prompts(self, prompts: Sequence[str]) -> Float[Tensor, "prompts segments embed"]:
        """A vector of each part of a prompt that fits; zeros at the end of the shorter."""
        longest = self._ends.config.text_config.max_position_embeddings
        parts = self._tokenizer(
            list(prompts),
            truncation=True,
            max_length=longest,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        device = self._ends.visual_projection.weight.device
        ids, mask = (parts[name].to(device) for name in ("input_ids", "attention_mask"))
        with torch.autocast(device.type, enabled=False):
            embeds = self._ends.text(input_ids=ids, attention_mask=mask).text_embeds
        of_each = embeds.split(parts["overflow_to_sample_mapping"].bincount(minlength=len(prompts)).tolist())
        return nn.utils.rnn.pad_sequence(list(of_each), batch_first=True)


def text_tower_of(method: Method, given: str | TextTower | None, config: Any) -> TextTower | None:
    """What a method compares pictures and words with, for a LLaVA of this configuration, or a refusal.

    Raises:
        ValueError: it needs one that is not given, is given one that it does not need, or one whose vision
            tower makes other features than this model's.
    """
    if "text_embeds" not in method.needs:
        if given is not None:
            users = ", ".join(name for name, kind in METHODS.items() if "text_embeds" in kind.needs)
            raise ValueError(
                f"text_tower is for methods that compare words and patches ({users}), not for {method.name!r}"
            )
        return None
    if given is None:
        raise ValueError(
            f"method {method.name!r} compares words and patches as CLIP does: pass text_tower, the CLIP checkpoint "
            "that the vision tower is of, such as 'openai/clip-vit-large-patch14-336'"
        )
    if config.vision_config.model_type != "clip_vision_model":
        kind = config.vision_config.model_type
        raise ValueError(f"method {method.name!r} compares words and patches of a CLIP, the vision tower is a {kind!r}")
    layers = loading.feature_layer(config)
    dim = config.vision_config.hidden_size * (1 if isinstance(layers, int) else len(layers))
    tower = TextTower.from_pretrained(given) if isinstance(given, str) else given
    if tower.dim != dim:
        raise ValueError(
            f"text_tower must be a CLIP whose vision tower makes features of {dim} numbers, as this model's does, "
            f"and {tower.name} makes {tower.dim}"
        )
    return tower
