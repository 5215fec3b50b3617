"""LLaVA-1.5, LLaVA-NeXT and LLaVA-OneVision: questions with none to three pictures of any size, mixed in batches."""

import json
import runpy
from pathlib import Path
from typing import Any, NamedTuple

import families
import pytest
import torch
from evaluating import TASKS, answers, evaluated
from transformers import AutoProcessor, LlavaOnevisionProcessor, LlavaOnevisionVideoProcessor

import vtc_llava
from vtc_tiny.tokenizer import CHAT_TEMPLATE

OURS = TASKS[1]
FUNCTIONS = runpy.run_path(str(OURS / "sizes.py"))
TASKS_BY_HAND = {
    "vtc_sizes": (FUNCTIONS["pictures"], "how many red star ?"),
    "vtc_sizes_turned": (FUNCTIONS["turned"], "how many blue ring ?"),
}


class Checkpoint(NamedTuple):
    folder: Path
    model: Any
    processor: Any


def onevision() -> tuple[Any, Any]:
    """With the stock video processor, which a checkpoint needs to be read again."""
    model, made = families.llava_onevision()
    videos = LlavaOnevisionVideoProcessor(size=families.SIGLIP_SIZE)
    kept = {name: getattr(made, name) for name in ("num_image_tokens", "vision_feature_select_strategy")}
    aspect = {"vision_aspect_ratio": "anyres_max_2"}
    return model, LlavaOnevisionProcessor(made.image_processor, made.tokenizer, videos, **kept, **aspect)


MAKERS = {"llava": families.llava, "llava_next": families.llava_next, "llava_onevision": onevision}


@pytest.fixture(scope="module", params=MAKERS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    model, processor = MAKERS[request.param]()
    processor.chat_template = CHAT_TEMPLATE
    with torch.no_grad():  # so that what it says depends on all that it reads
        for layer in model.model.language_model.layers:
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                getattr(layer.self_attn, name).weight.mul_(15)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Checkpoint(folder, model, AutoProcessor.from_pretrained(folder))


def expected(checkpoint: Checkpoint, task: str, **patch: Any) -> list[str]:
    """What the patched model answers in transformers, one question at a time."""
    shown, text = TASKS_BY_HAND[task]
    _, model, processor = checkpoint
    said = []
    with vtc_llava.patch(model, processor, **patch):
        for line in (OURS / "sizes.jsonl").read_text().splitlines():
            pictures = shown(json.loads(line))
            content = [{"type": "image"}] * len(pictures) + [{"type": "text", "text": text}]
            prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            inputs = processor(images=pictures or None, text=prompt, return_tensors="pt")
            ids = model.generate(**inputs, max_new_tokens=6, do_sample=False)
            said += processor.batch_decode(ids[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in said]


def settings(checkpoint: Checkpoint, wanted: str) -> dict[str, Any]:
    """`wanted` as this family can do it."""
    several, cls = checkpoint.model.config.model_type != "llava", "onevision" not in checkpoint.model.config.model_type
    budget = {"total": 30} if wanted == "total" and several else {"keep": 7}
    return {**budget, "method": "fastervlm" if cls else "received"}


@pytest.mark.parametrize("wanted", ["keep", "total"])
def test_answers_are_the_patched_models_in_batches_of_both_tasks(checkpoint: Checkpoint, wanted: str):
    given = settings(checkpoint, wanted)
    arguments = ",".join([f"pretrained={checkpoint.folder}", *(f"{key}={value}" for key, value in given.items())])
    results = evaluated("vtc_llava_hf", arguments, [*TASKS_BY_HAND], batch=5)
    for task in TASKS_BY_HAND:
        assert answers(results, task) == expected(checkpoint, task, **given)
        assert len({*answers(results, task)}) > 3  # they depend on the pictures
