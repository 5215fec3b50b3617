"""Questions about pictures that were encoded before: `vtc encode` once, ask many times."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vtc_torch.loading import shuffle_of
from vtc_torch.wrapping import device_of


def prompt(processor: Any, question: str) -> str:
    """One picture and one question, in the form the checkpoint was trained on; LLaVA-1.5's where it has no template."""
    if processor.chat_template is None:
        return f"USER: {processor.image_token}\n{question} ASSISTANT:"
    content = [{"type": "image"}, {"type": "text", "text": question}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


@torch.no_grad()
def project(model: Any, features: Any) -> Tensor:
    """What a model feeds its language model of stored features: (batch keep dim) -> (batch keep language_dim).

    Args:
        model: a LLaVA-1.5 or an InternVL, patched or not: its projector alone is run.
        features: a tensor or NumPy array as `vtc encode` stores them, in any floating dtype; they have to be of the
            model's own vision tower.
    """
    config = model.config
    if config.model_type not in ("llava", "internvl"):
        raise ValueError(
            f"model must be of model_type 'llava' or 'internvl', one tile a picture, got {config.model_type!r}"
        )
    layers = config.vision_feature_layer
    dim = config.vision_config.hidden_size * (1 if isinstance(layers, int) else len(layers)) * shuffle_of(config) ** 2
    tensor = features if isinstance(features, Tensor) else torch.tensor(features)
    if tensor.dim() != 3 or tensor.shape[1] < 1 or tensor.shape[2] != dim:
        raise ValueError(
            f"features must have shape (batch, keep, {dim}), as this tower makes them, got {tuple(tensor.shape)}"
        )
    projector = model.model.multi_modal_projector
    return projector(tensor.to(device_of(projector), model.dtype))


@torch.inference_mode()
def answer_from(
    model: Any, processor: Any, features: Any, questions: Sequence[str], max_new_tokens: int = 64
) -> list[str]:
    """Answer a question about each picture from its stored features, greedily; no pixels, no vision tower.

    The prompt has as many places as there are features, so it does not matter whether the pair is patched, nor with
    which `keep`. Answers are those that a pair patched with the features' settings gives to the pictures, as far as
    the stored dtype lets them.

    Args:
        model, processor: a LLaVA-1.5 or an InternVL, and its processor.
        features: (batch keep dim), see `project`. One picture asked many things: repeat its row.
        questions: as many as pictures.
    """
    if isinstance(questions, str) or len(questions) != len(features):
        raise ValueError(
            f"questions must be a sequence with one for each of {len(features)} pictures, got {questions!r}"
        )
    if any(processor.image_token in question for question in questions):
        raise ValueError(f"questions must be words; {processor.image_token} is put before them by itself")
    visual = project(model, features)
    start, end = (getattr(processor, name, "") for name in ("start_image_token", "end_image_token"))  # InternVL's
    places = f"{start}{processor.image_token * visual.shape[1]}{end}"
    texts = [prompt(processor, question).replace(processor.image_token, places) for question in questions]
    inputs = processor.tokenizer(texts, return_tensors="pt", padding=True, padding_side="left").to(device_of(model))
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    is_visual = inputs["input_ids"] == model.config.image_token_id
    embeds = embeds.masked_scatter(is_visual[..., None], visual.to(embeds))
    ids = model.generate(
        inputs_embeds=embeds,
        attention_mask=inputs["attention_mask"],
        max_new_tokens=max_new_tokens,
        do_sample=False,
    )
    return [text.strip() for text in processor.batch_decode(ids, skip_special_tokens=True)]
