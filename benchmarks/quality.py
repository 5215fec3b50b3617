"""How many held-out questions the shipped tiny model answers with a part of its visual tokens; and what choosing costs.

    python benchmarks/quality.py [answers] [costs] [draw] [--questions 2048] [--methods visionzip dart:pivots=4 ...]

Every method of the catalogue, and VTC-CLS with other ensembles, through the library itself: `vtc_torch`'s walk, the
method's choice, the tokens that it feeds; that this is what `vtc_llava.patch` does is checked before anything is
counted. Costs are those of the choice alone at the sizes of ViT-L/14-336 and a 7B language model. Figures are kept in
quality.json, where a part that runs again replaces its own; from them the section "Quality" of RESULTS.md and
plots/quality.png are made.
"""

import argparse
import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from quality_answers import BATCH, answer, check, fed, fed_by_question
from quality_tables import body, draw
from results import write_section
from rich.progress import track
from torch import Tensor

import vtc_tiny
from vtc_bench import choices, costs, torch_encoder
from vtc_bench.timing import interleaved, processor, ratio, spread
from vtc_core.methods import METHODS, Method, Random, VtcCls, method_of, reads_prompt, spelled
from vtc_tiny.scenes import SIDE, patch_labels
from vtc_torch import Pruned

DIVISORS = (2, 4, 6, 9, 18)  # keep 1/2, 1/4, ... of the tokens
CHECKED = 16  # at this budget every method is held against the patched model
FIGURES = Path(__file__).with_name("quality.json")
PLOT = Path(__file__).with_name("plots") / "quality.png"
ENSEMBLES = [VtcCls(layers, reduce) for layers in (2, 3, 6) for reduce in ("sum", "max", "min")]
LOTS = [Random(seed) for seed in (1, 2, 3)]
FITTED = ["visionzip:contextual=2", "prumerge:neighbours=8", "pact:share=1.0", "vflowopt:threshold=2.0,cell=8.0"]
OTHERS = [*ENSEMBLES, *LOTS, *map(method_of, FITTED)]  # the last to 144 tokens, where the published are for 576
TIMED, KEEP = "vit-l-336", 64


def answers(methods: list[Method], questions: int) -> Iterator[dict[str, Any]]:
    """What was asked; by spelling and budget right answers by kind of question ("all": every token), and objects hit.

    As it is found out, a method at a time.
    """
    model, processor = vtc_tiny.load()
    scenes = [vtc_tiny.scene(seed) for seed in vtc_tiny.HELD_OUT_SEEDS[: math.ceil(questions / 8)]]
    pixels = processor.image_processor(images=[s.image for s in scenes], return_tensors="pt").pixel_values
    asked = [q for s in scenes for q in vtc_tiny.questions(s)]
    owner = torch.arange(len(scenes)).repeat_interleave(len(asked) // len(scenes))  # the picture of each question
    kinds = sorted({q.kind for q in asked})
    tokens = (SIDE // model.config.vision_config.patch_size) ** 2
    keeps = [tokens // divisor for divisor in DIVISORS]

    def made_by(method: Method) -> Iterator[Pruned]:
        """A row for each question."""
        if reads_prompt(method):
            texts = [q.text for q in asked]
            yield from (fed_by_question(model, processor, method, pixels[owner], texts, keep) for keep in keeps)
        else:
            yield from (Pruned(*(x[owner] for x in pruned)) for pruned in fed(model, method, pixels, keeps))

    def right(features: Float[Tensor, "asked keep language"]) -> dict[str, int]:
        said: list[str] = []
        for rows in torch.arange(len(asked)).split(BATCH):
            said += answer(model, processor, features[rows], [asked[row].text for row in rows])
        hits = [q.kind for a, q in zip(said, asked, strict=True) if a == q.answer]
        return {kind: hits.count(kind) for kind in kinds}

    asked_of = {kind: sum(q.kind == kind for q in asked) for kind in kinds}
    (whole,) = fed(model, VtcCls(), pixels, [tokens])
    right_of: dict[str, Any] = {"all": {str(tokens): right(whole.features[owner])}}
    hit_of: dict[str, Any] = {"all": {str(tokens): 1.0}}
    cells = np.stack([patch_labels(s, model.config.vision_config.patch_size)[2] for s in scenes])
    for method in track(methods, "answering"):
        check(model, processor, method, CHECKED)
        made = {str(pruned.indices.shape[1]): pruned for pruned in made_by(method)}
        right_of[spelled(method)] = {keep: right(pruned.features) for keep, pruned in made.items()}
        hit_of[spelled(method)] = {keep: hit(cells[owner], pruned.indices.numpy()) for keep, pruned in made.items()}
        yield {"tokens": tokens, "pictures": len(scenes), "asked": asked_of, "right": right_of, "hit": hit_of}


def hit(cells: Int[np.ndarray, "batch tokens"], indices: Int[np.ndarray, "batch keep"]) -> float:
    """The share of all objects of which a patch is kept, or is the anchor of a mixture; cell 9 is no object's."""
    rows = np.arange(len(cells))[:, None]
    there, kept = np.zeros((2, len(cells), 10), bool)
    there[rows, cells] = True
    kept[rows, np.where(indices < 0, 9, cells[rows, indices])] = True
    return float((there & kept)[:, :9].sum() / there[:, :9].sum())


def cost(methods: list[Method], rounds: int) -> dict[str, Any]:
    """Spelling to milliseconds and share of the unpruned encoder's time, by batch, and bytes that choosing takes.

    Choices are timed in the rounds of the encoder, in one thread. A progressive method's is part of its walk, not here.
    """
    torch.set_num_threads(1)
    g = costs.GEOMETRIES[TIMED]
    methods = [method for method in methods if not method.progressive]
    out: dict[str, Any] = {spelled(method): {} for method in methods}
    tower = torch_encoder.tower(g)
    for batch in (1, 4):
        encoder = partial(torch_encoder.whole, tower, torch_encoder.pixels(g, batch))
        runs = {"encoder": torch_encoder.without_gradients(encoder), **choices.runs(g, batch, KEEP, methods)}
        seconds = interleaved(runs, rounds, processor, title=f"choosing, batch {batch}")
        for name, of_method in out.items():
            of_method[f"ms, batch {batch}"] = 1000 * spread(seconds[name]).median
            of_method[f"of encoder, batch {batch}"] = ratio(seconds, name, "encoder").median
    for method in methods:
        out[spelled(method)] |= choices.memory(g, 1, KEEP, method)._asdict()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subjects = ("answers", "costs", "draw")
    parser.add_argument("subjects", nargs="*", choices=[[], *subjects], default=[], metavar="|".join(subjects))
    parser.add_argument("--questions", type=int, default=2048, help="held-out questions, 8 to a picture (%(default)s)")
    parser.add_argument("--methods", nargs="+", type=method_of, metavar="NAME[:KEY=VALUE,...]", help="left out: all")
    parser.add_argument("--rounds", type=int, default=7, help="of costs (%(default)s)")
    options = parser.parse_args()
    wanted = options.subjects or subjects
    catalogue = [kind() for kind in METHODS.values()]
    answering = [method for method in catalogue if "text_embeds" not in method.needs]  # no CLIP has such a tower
    figures: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if "answers" in wanted:
        for made in answers(options.methods or [*answering, *OTHERS], options.questions):
            same = figures.get("asked") == made["asked"]  # else the old figures are of other questions
            figures |= made | {key: (figures[key] if same else {}) | made[key] for key in ("right", "hit")}
            FIGURES.write_text(f"{json.dumps(figures, indent=1)}\n")  # a run that is cut off has what it found out
    if "costs" in wanted:
        figures["costs"] = figures.get("costs", {}) | cost(options.methods or catalogue, options.rounds)
    FIGURES.write_text(f"{json.dumps(figures, indent=1)}\n")
    text = body(figures, PLOT)
    draw(figures, PLOT)
    print(text)
    write_section("Quality", "python benchmarks/quality.py", text, ("torch", "transformers"))


if __name__ == "__main__":
    main()
