"""Stage 2: projector and language model learn to answer from the features of the trained tower.

The eight questions of a picture share one sequence, so the image tokens are paid for once: a block mask lets each
question see the image and itself, which makes it the same computation as asking it alone.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import LlavaForConditionalGeneration

from .questions import KINDS, PER_SCENE, Question, questions
from .scenes import HELD_OUT_SEEDS, TRAIN_SEEDS, Scene, scene
from .stream import batches, pixel_values
from .tokenizer import EOS, IMAGE, PAD, tokenizer

TOKENS = 144
PROMPT = "USER: <image>\n{} ASSISTANT:"  # what the chat template makes of one picture and one question
SLOT = 11  # tokens, the longest question with its answer and </s>
GAP = 64  # tokens, the longest dialogue that training pretends lies between the image and a question
BLIND = 0.25  # of the pictures are withheld from their questions
IGNORE = -100

_encode = tokenizer().encode
PREFIX = _encode(PROMPT.format("").replace("<image>", "<image>" * TOKENS))[:-2]  # <s> user : <image> ...


def slots(asked: list[Question]) -> tuple[Int[torch.Tensor, "slots slot"], Int[torch.Tensor, "slots slot"]]:
    """Token ids of question, ` ASSISTANT:`, answer and </s>, padded to SLOT, and the labels: the answer and </s>."""
    ids, labels = torch.full((len(asked), SLOT), PAD), torch.full((len(asked), SLOT), IGNORE)
    for i, question in enumerate(asked):
        said = _encode(f"{question.text} ASSISTANT:", add_special_tokens=False)
        answer = [*_encode(question.answer, add_special_tokens=False), EOS]
        row = torch.tensor(said + answer)
        ids[i, : len(row)] = row
        labels[i, len(said) : len(row)] = row[len(said) :]
    return ids, labels


def block_mask(blind: Bool[torch.Tensor, " batch"]) -> Bool[torch.Tensor, "batch 1 length length"]:
    """True where a token (row) sees another (column): the past, without the other questions.

    The questions of a `blind` picture do not see it either: they are text alone, as language models have read much of.
    """
    slot = torch.cat([torch.zeros(len(PREFIX)), torch.arange(1, PER_SCENE + 1).repeat_interleave(SLOT)])
    same = (slot[:, None] == slot) | (slot == 0)
    image = torch.arange(len(slot)).ge(PREFIX.index(IMAGE)) & (slot == 0)
    unseen = blind[:, None, None] & image & (slot[:, None] > 0)  # batch length length
    return ((same & torch.ones_like(same).tril()) & ~unseen)[:, None]


def image_places(batch: int) -> Int[torch.Tensor, "batch tokens"]:
    """The places of the image tokens, counted from the first: as they stand, or squeezed into fewer (8 at least).

    A model that has only seen one layout reads where a token lies off its position, and how to end off the length of
    the prompt. Those that read text have seen all lengths; this one learns by half of its pictures being squeezed. All
    tokens stay: no pruned sequence is ever trained on.
    """
    room = (8 * (TOKENS / 8) ** torch.rand(batch)).long()  # log-uniform in [8, 144)
    squeezed = (torch.rand(batch, TOKENS) * room[:, None]).long().sort(dim=1).values
    return torch.where(torch.rand(batch, 1) < 0.5, torch.arange(TOKENS), squeezed)


def positions(
    places: Int[torch.Tensor, "batch tokens"], gaps: Int[torch.Tensor, "batch slots"]
) -> Int[torch.Tensor, "batch length"]:
    """Each question starts right after the image, as at inference, or `gap` later, as in a longer dialogue."""
    before = PREFIX.index(IMAGE)
    prefix = torch.cat([torch.arange(before).expand(len(places), -1), before + places], dim=1)
    slot = (prefix[:, -1:] + 1 + gaps)[..., None] + torch.arange(SLOT)
    return torch.cat([prefix, slot.flatten(1)], dim=1)


def answer_logits(
    model: LlavaForConditionalGeneration,
    pixels: Float[torch.Tensor, "batch 3 height width"],
    ids: Int[torch.Tensor, "batch slots slot"],
    at: Int[torch.Tensor, "batch length"],
    blind: Bool[torch.Tensor, " batch"],
) -> Float[torch.Tensor, "batch slots slot vocabulary"]:
    """Run the model on pictures and their questions, with the positions `at`.

    The logits at a place are the model's prediction of the token at the next one.
    """
    batch = len(pixels)
    with torch.no_grad():
        seen = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
    embed = model.get_input_embeddings()
    before = embed(torch.tensor(PREFIX[: PREFIX.index(IMAGE)])).expand(batch, -1, -1)
    inputs = torch.cat([before, model.model.multi_modal_projector(seen), embed(ids.flatten(1))], dim=1)
    states = model.model.language_model(
        inputs_embeds=inputs, attention_mask=block_mask(blind), position_ids=at, use_cache=False
    ).last_hidden_state
    return model.lm_head(states[:, len(PREFIX) :]).unflatten(1, (PER_SCENE, SLOT))


def _collate(scenes: list[Scene]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids, labels = zip(*(slots(questions(s)) for s in scenes), strict=True)
    return pixel_values(scenes), torch.stack(ids), torch.stack(labels)


@torch.no_grad()
def accuracy(model: LlavaForConditionalGeneration, pictures: int = 128) -> dict[str, float]:
    """By kind of question, on held-out scenes; an answer counts when every token of it is right."""
    scenes = [scene(seed) for seed in HELD_OUT_SEEDS[-pictures:]]
    pixels, ids, labels = _collate(scenes)
    stock = positions(torch.arange(TOKENS).expand(pictures, -1), torch.zeros(ids.shape[:2], dtype=torch.long))
    guess = answer_logits(model, pixels, ids, stock, torch.zeros(pictures, dtype=torch.bool)).argmax(-1)
    good = ((guess[..., :-1] == labels[..., 1:]) | (labels[..., 1:] == IGNORE)).all(-1)
    kinds = np.array([[question.kind for question in questions(s)] for s in scenes])
    return {kind: float(good.numpy()[kinds == kind].mean()) for kind in KINDS} | {"all": good.float().mean().item()}


def train_answers(model: LlavaForConditionalGeneration, steps: int, batch: int, rate: float = 2e-3) -> None:
    """Train everything but the tower, in place."""
    torch.manual_seed(1)
    weights = [p for name, p in model.named_parameters() if "vision_tower" not in name]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    seeds = TRAIN_SEEDS[len(TRAIN_SEEDS) // 2 :][: steps * batch]  # not those of stage 1
    bar = tqdm(batches(seeds, batch, _collate), "answers", steps, mininterval=10)
    for step, (pixels, ids, labels) in enumerate(bar, 1):
        at = positions(image_places(len(pixels)), torch.randint(0, GAP + 1, ids.shape[:2]))
        blind = torch.rand(len(pixels)) < BLIND
        labels[blind] = labels[blind].where(labels[blind] == EOS, IGNORE)  # text alone tells where an answer ends
        with torch.autocast("cpu", torch.bfloat16):  # 1.5 times the speed of float32 where the CPU has bfloat16
            logits = answer_logits(model, pixels, ids, at, blind)
        loss = cross_entropy(logits[..., :-1, :].flatten(0, 2).float(), labels[..., 1:].flatten(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0 or step == steps:
            kinds = ", ".join(f"{kind} {share:.3f}" for kind, share in accuracy(model).items())
            bar.write(f"answers step {step}: loss {loss:.4f}, held-out accuracy: {kinds}")
