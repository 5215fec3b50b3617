"""The words of the prompts that pictures are in, for methods that read them."""

import inspect
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import accumulate
from types import MethodType
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vtc_core.methods import reads_prompt
from vtc_torch.walk import Looked
from vtc_torch.wrapping import device_of

from .budget import num_visual_tokens
from .geometry import Layout
from .handle import Handle
from .text_tower import TextTower


class Prompts(NamedTuple):
    """Of the call that is going on."""

    handle: Handle
    ids: Int[Tensor, "rows length"] | None
    told: Bool[Tensor, "rows length"] | None  # which of them may be read, all if None


_PROMPTS: ContextVar[Prompts | None] = ContextVar("vtc_llava.prompts", default=None)


@contextmanager
def prompted(
    handle: Handle, input_ids: Int[Tensor, "rows length"] | None, labels: Int[Tensor, "rows length"] | None = None
) -> Iterator[None]:
    """Within, pictures and videos are of these prompts: for whoever asks a patched model for features by itself.

    What `labels` say is to be learned is not read. Within `generate` the prompts are those that it was given, whatever
    it goes on to call.
    """
    now = _PROMPTS.get()
    told = None if labels is None else labels == -100
    given = now if now is not None and now.handle is handle else Prompts(handle, input_ids, told)
    token = _PROMPTS.set(given)
    try:
        yield
    finally:
        _PROMPTS.reset(token)


@dataclass(frozen=True, eq=False)
class Told:
    """In place of `forward` or `generate` of a model: the same, and meanwhile its prompts can be read."""

    handle: Handle
    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        named = (kwargs[name] for name in ("input_ids", "inputs") if kwargs.get(name) is not None)
        with prompted(self.handle, next(named, args[0] if args else None), kwargs.get("labels")):
            return self._stock(*args, **kwargs)

    @property
    def _stock(self) -> Any:
        model = self.handle.model
        return MethodType(getattr(type(model), self.name), model)

    @property
    def __signature__(self) -> inspect.Signature:
        """`generate` and Trainer look up what `forward` takes."""
        return inspect.signature(self._stock)


@dataclass(frozen=True, eq=False)
class Words:
    """Adds to what was seen of pictures what the method reads of their prompts.

    The text of a prompt is all of its tokens but placeholders and the tokenizer's special tokens; words of its template
    ("USER:") are part of it. All pictures of a prompt get the same.
    """

    handle: Handle
    clip: TextTower | None

    @torch.no_grad()
    def read(self, looked: Looked, kind: str, layouts: Sequence[Layout]) -> Looked:
        """`looked` is of the tiles of these pictures, or videos."""
        budget, tiles = self.handle.settings.budget, torch.tensor([layout.tiles for layout in layouts])
        texts = self._texts(self._rows(kind, [num_visual_tokens(layout, budget) for layout in layouts]))
        seen, needs, model = looked.seen, looked.method.needs, self.handle.model
        owner = torch.arange(len(layouts)).repeat_interleave(tiles).to(seen.tile.device)
        if "text" in needs:
            embeds = rows_of_table(model.get_input_embeddings(), self.handle.processor.tokenizer, texts)
            seen = seen._replace(text=embeds.to(owner.device)[owner])
        if self.clip is not None and seen.features is not None:
            clip = self.clip.on(owner.device)
            seen = seen._replace(image_embeds=clip.of_patches(seen.features), text_embeds=clip.of_prompts(texts)[owner])
        return looked._replace(seen=seen)

    def _rows(self, kind: str, fed: Sequence[int]) -> list[int]:
        """The number of the prompt that each picture is in."""
        prompts = self._prompts()
        there = (prompts.ids == getattr(self.handle.model.config, f"{kind}_token_id")).sum(1).tolist()
        times = max(1, sum(fed) // max(1, sum(there)))  # before transformers 5.18 pictures are repeated for each beam
        ends, last = [0, *accumulate(there)], list(accumulate(fed[::times]))
        if not set(ends) <= {0, *last} or ends[-1] != last[-1]:
            name = {"image": "pictures", "video": "videos"}[kind]
            raise ValueError(
                f"the prompts have {', '.join(map(str, there))} placeholders, and the {len(fed)} pruned {name} make "
                f"{', '.join(map(str, fed))} tokens: each has to be in one prompt, as the processor that was given to "
                "vtc_llava.patch writes it"
            )
        return [bisect_left(ends, end) - 1 for end in last for _ in range(times)]

    def _texts(self, rows: Sequence[int]) -> list[str]:
        prompts, config = self._prompts(), self.handle.model.config
        ids = prompts.ids.cpu()
        is_text = torch.ones_like(ids, dtype=torch.bool) if prompts.told is None else prompts.told.cpu()
        for kind in self.handle.family.towers:
            is_text = is_text & (ids != getattr(config, f"{kind}_token_id"))
        decode, reads = self.handle.processor.tokenizer.decode, self.handle.settings.method.reads
        made = {row: reads(decode(ids[row][is_text[row]], skip_special_tokens=True)) for row in set(rows)}
        return [made[row] for row in rows]

    def _prompts(self) -> Any:
        """ValueErrors where nothing is known of the prompts."""
        prompts, name = _PROMPTS.get(), self.handle.settings.method.name
        if prompts is None or prompts.handle is not self.handle:
            raise ValueError(
                f"method {name!r} reads the prompt that a picture is in: call the model itself or its generate, or ask "
                "for features within `vtc_llava.prompted(handle, input_ids)`"
            )
        if prompts.ids is None:
            raise ValueError(f"method {name!r} reads the prompt: pass input_ids, not inputs_embeds alone")
        return prompts


def install(handle: Handle, clip: TextTower | None) -> None:
    """Let the method of a patch read prompts, if it does."""
    if reads_prompt(handle.settings.method):
        handle.words, model = Words(handle, clip), handle.model
        forward = "_old_forward" if hasattr(model, "_hf_hook") else "forward"  # which accelerate's hooks call
        handle.install([(model, forward, Told(handle, "forward")), (model, "generate", Told(handle, "generate"))])


def rows_of_table(table: Any, tokenizer: Any, texts: Sequence[str]) -> Float[Tensor, "texts words dim"]:
    """The embeddings of each text's tokens; zeros at the end of the shorter."""
    ids = [torch.tensor(tokenizer(text, add_special_tokens=False).input_ids, dtype=torch.long) for text in texts]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=-1)
    embeds = table(padded.clamp(min=0).to(device_of(table)))
    return embeds.masked_fill((padded < 0)[..., None].to(embeds.device), 0)
