"""How many held-out questions the shipped tiny model answers with stages inside its language model, alone and in pairs.

    python benchmarks/quality_stages.py [--questions 2048]

Its language model has three layers: stages cut before the second (layer 1) and the third (layer 2), with parameters
that leave half, a quarter or a ninth of 144 tokens, or whatever an adaptive one leaves. Everything goes through
`vtc_llava.patch` and `generate`; the questions about a picture share its features.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from quality_answers import prompt
from quality_tables import table, wilson
from results import write_section
from rich.progress import track

import vtc_llava
import vtc_tiny

STAGES = [
    "fastv:layer=1,keep=0.5",
    "fastv:layer=2,keep=0.5",
    "fastv:layer=2,keep=0.25",
    "fastv:layer=2,keep=0.111",
    "pyramiddrop:layers=1+2,keep=0.5+0.25",
    "visiondrop:layers=1+2,dominant=0.44+0.22,contextual=8+4",
    "sparsevlm:layers=1,keep=0.5",
    "feather:layers=1+2,ratio=0.5",
    "pact:layer=2",
    "aim:start=1,slope=0.5",
    "dart:layer=1,keep=0.5",
    "dart:layer=2,keep=0.25",
    "todre:share=0.67",
]
ENCODERS: dict[str, dict[str, Any]] = {  # of 144 tokens a quarter is fed; the last row feeds an eighth, without stages
    "alone": {},
    "after vtc-cls": {"keep": 36, "method": "vtc-cls"},
    "after centerclip": {"keep": 36, "method": "centerclip"},
}
HALF = 18
PICTURES = 64  # at once


@torch.inference_mode()
def right(model: Any, processor: Any, scenes: Sequence[vtc_tiny.Scene], **settings: Any) -> tuple[int, float]:
    """Right answers to all questions, and visual tokens left in the last layer, on average."""
    hits, left = 0, []
    with vtc_llava.patch(model, processor, **settings) as handle:
        for first in range(0, len(scenes), PICTURES):
            some = scenes[first : first + PICTURES]
            questions = [question for scene in some for question in vtc_tiny.questions(scene)]
            pixels = processor.image_processor(images=[scene.image for scene in some], return_tensors="pt").pixel_values
            features = model.model.get_image_features(pixel_values=pixels)
            each = len(questions) // len(some)
            features.pooler_output = [rows for rows in features.pooler_output for _ in range(each)]
            places = "<image>" * len(features.pooler_output[0])
            texts = [prompt(processor, question.text).replace("<image>", places) for question in questions]
            inputs = processor.tokenizer(texts, return_tensors="pt", padding=True)
            said = model.generate(**inputs, mm_encoder_outputs={"image": features})[:, inputs.input_ids.shape[1] :]
            words = processor.batch_decode(said, skip_special_tokens=True)
            hits += sum(word == question.answer for word, question in zip(words, questions, strict=True))
            kept = handle.stages_last.values()
            left += [len(row) for row in [*kept][-1]] if kept else [len(features.pooler_output[0])]
    return hits, sum(left) / len(left)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=2048, help="held-out questions, 8 to a picture (%(default)s)")
    options = parser.parse_args()
    model, processor = vtc_tiny.load()
    scenes = [vtc_tiny.scene(seed) for seed in vtc_tiny.HELD_OUT_SEEDS[: math.ceil(options.questions / 8)]]
    asked = sum(len(vtc_tiny.questions(scene)) for scene in scenes)
    tokens = (model.config.vision_config.image_size // model.config.vision_config.patch_size) ** 2

    def cell(settings: dict[str, Any]) -> str:
        hits, left = right(model, processor, scenes, **settings)
        return f"{left:.3g}: {wilson(hits, asked)}"

    rows = [["no stage", *(cell(given or {"keep": tokens}) for given in ENCODERS.values())]]
    for name in track(STAGES, "answering"):
        rows.append([f"`{name}`", *(cell({**given, "stages": name}) for given in ENCODERS.values())])
        print(*rows[-1], flush=True)
    fewer = [{**given, "keep": HALF} for given in ENCODERS.values() if given]
    rows.append([f"no stage, keep={HALF}", "", *map(cell, fewer)])
    head = ["", *(f"{name} (of {given.get('keep', tokens)})" for name, given in ENCODERS.items())]
    body = (
        "Visual tokens left in the last layer, and right answers in percent (95 % Wilson interval) of `vtc_tiny` to "
        f"{asked} questions about {len(scenes)} held-out pictures: {tokens} tokens enter its language model of three "
        f"layers, or a quarter of them that a method chose before.\n\n{table(head, rows)}"
    )
    print(body)
    command = f"python {' '.join(['benchmarks/quality_stages.py', *sys.argv[1:]])}"
    write_section("Quality with stages inside the language model", command, body, ("torch", "transformers"))


if __name__ == "__main__":
    main()
