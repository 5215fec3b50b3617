"""Every published stage end to end, and what stages see of the language model."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch
from small_models import same

import vtc_llava
from vtc_core.methods import Choice
from vtc_core.stages import STAGES, FastV, Running, stage_of

from .families import FAMILIES, llava_qwen2
from .prompts import encoded, new_tokens, prompts
from .staged import deep

DROPPING = {
    "fastv": "fastv:layer=1,keep=9",
    "pyramiddrop": "pyramiddrop:layers=1+2+3,keep=0.5+0.25+0.125",
    "feather": "feather:layers=1+3",
    "visiondrop": "visiondrop:layers=1+3,dominant=9+5,contextual=3+2",
    "sparsevlm": "sparsevlm:layers=1+2,keep=12+6",
    "pact": "pact:layer=2,cutoff=0.4",
    "aim": "aim:start=1,slope=0.25",
    "dart": "dart:layer=2,keep=0.5",
    "todre": "todre:share=0.75,tau=0.99",
}
NOTHING = {
    "fastv": "fastv:layer=1,keep=1.0",
    "pyramiddrop": "pyramiddrop:layers=1+2,keep=1.0+1.0",
    "feather": "feather:layers=1+3,ratio=0.0",
    "visiondrop": "visiondrop:layers=1+2,dominant=1.0+1.0,contextual=0+0",
    "sparsevlm": "sparsevlm:layers=1+2,keep=1.0+1.0",
    "pact": "pact:layer=2,share=1.0,cutoff=0.0",
    "aim": "aim:start=1,slope=0.0",
    "dart": "dart:layer=2,keep=1.0",
    "todre": "todre:share=0.75,tau=0.0",
}
close: Any = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def pair():
    return deep()


def asked(processor, side="left", name="several pictures"):
    processor.tokenizer.padding_side = side
    inputs = encoded(processor, prompts(FAMILIES["llava"])[name])
    processor.tokenizer.padding_side = "left"
    return inputs


def test_every_stage_is_here():
    assert DROPPING.keys() == NOTHING.keys() == STAGES.keys()


@pytest.mark.parametrize("name", STAGES)
def test_dropping_nothing_gives_the_logits_without_to_the_bit(pair, name):
    model, processor = pair
    inputs = asked(processor)
    with vtc_llava.patch(model, processor, keep=36):
        expected = model(**inputs).logits
    with vtc_llava.patch(model, processor, keep=36, stages=NOTHING[name]) as handle:
        found = model(**inputs).logits
        assert [len(kept) for kept in handle.stages_last[max(handle.stages_last)]] == [72, 36]
    same(found, expected)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", STAGES)
def test_a_batch_is_its_rows_and_steps_are_a_chunk(pair, name, side):
    model, processor = pair
    inputs = asked(processor, side)
    mask = inputs["attention_mask"]
    alone = [encoded(processor, row) for row in prompts(FAMILIES["llava"])["several pictures"].rows()]
    with torch.no_grad(), vtc_llava.patch(model, processor, stages=DROPPING[name]) as handle:
        batch = model(**inputs, position_ids=mask.cumsum(1) - 1)
        left = handle.stages_last
        assert any(len(kept) < visual for kept, visual in zip(left[max(left)], (72, 36), strict=True))
        words = torch.tensor([[7, 9], [12, 5]])
        longer = torch.cat([mask, torch.ones(2, 2, dtype=torch.int64)], 1)
        positions = longer.cumsum(1)[:, -2:] - 1
        steps, cache = [], batch.past_key_values
        for number in range(2):
            given = {"attention_mask": longer[:, : mask.shape[1] + number + 1]}
            at = positions[:, number : number + 1]
            out = model(input_ids=words[:, number : number + 1], past_key_values=cache, position_ids=at, **given)
            steps.append(out.logits[:, 0])
        cache = model(**inputs, position_ids=mask.cumsum(1) - 1).past_key_values
        chunk = model(input_ids=words, past_key_values=cache, position_ids=positions, attention_mask=longer).logits
        torch.testing.assert_close(torch.stack(steps, 1), chunk, **close)
        for row, one in enumerate(alone):
            single = model(**one)
            torch.testing.assert_close(batch.logits[row, mask[row] == 1], single.logits[0], **close)
            said = model(input_ids=words[row : row + 1], past_key_values=single.past_key_values).logits[0]
            torch.testing.assert_close(chunk[row], said, **close)


@dataclass(frozen=True)
class Noting(FastV):
    """Asks for everything, of all tokens."""

    needs: ClassVar[Any] = ("query", "keys", "plain_query", "plain_keys", "hidden", "normed", "embeddings")
    rows: ClassVar[str] = "text"
    seen: list[Running] = field(default_factory=list, compare=False)

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        self.seen.append(seen)
        kept = torch.arange(keep)[None]
        return Choice(kept, torch.zeros(1, seen.visual.shape[1]))


@dataclass(frozen=True)
class NotingAhead(Noting):
    ahead: ClassVar[bool] = True


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", [Noting, NotingAhead])
def test_a_stage_sees_the_layers_own_keys_queries_and_hidden_states(kind, side):
    model, processor = llava_qwen2()
    lm = model.model.language_model
    inputs = asked(processor, side)
    found: Any = []
    hook = lm.layers[1].self_attn.q_proj.register_forward_hook(lambda module, args, output: found.append(output))
    with torch.no_grad():
        stock = model(**inputs, output_hidden_states=True)
        first = stock.hidden_states[0]
        before = lm.layers[0].self_attn.q_proj(lm.layers[0].input_layernorm(first))
    hook.remove()
    noting = kind(layer=1, keep=1.0)
    with torch.no_grad(), vtc_llava.patch(model, processor, stages=[noting]):
        model(**inputs)
    layer = int(kind.ahead)
    for row, seen in enumerate(noting.seen):
        at = inputs["attention_mask"][row].nonzero()[:, 0]
        is_visual = inputs["input_ids"][row, at] == model.config.image_token_id
        same(seen.visual[0], is_visual.nonzero()[:, 0])
        same(seen.entered, seen.visual)
        keys = stock.past_key_values.layers[layer].keys[row][:, at]
        torch.testing.assert_close(seen.keys[0], keys, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(seen.hidden[0], stock.hidden_states[1][row, at], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(seen.embeddings[0], first[row, at], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(seen.normed[0], lm.norm(stock.hidden_states[1][row, at]), rtol=1e-5, atol=1e-5)
        query = (found[0] if kind.ahead else before)[row, at][~is_visual].view(-1, 4, 8).transpose(0, 1)
        torch.testing.assert_close(seen.plain_query[0], query, rtol=1e-5, atol=1e-5)
        cos, sin = lm.rotary_emb(query, at[None])
        for plain, rotated, where in ((seen.plain_query, seen.query, ~is_visual), (seen.plain_keys, seen.keys, ...)):
            turned = torch.cat([-plain[..., 4:], plain[..., :4]], -1)
            same(rotated, plain * cos[0][where] + turned * sin[0][where])


@pytest.mark.parametrize("name", ["fastv", "pyramiddrop", "sparsevlm", "pact"])
def test_beams_and_batches_answer_as_their_rows(pair, name):
    model, processor = pair
    prompt = prompts(FAMILIES["llava"])["several pictures"]
    with vtc_llava.patch(model, processor, keep=18, stages=[stage_of(DROPPING[name])]):
        batch = new_tokens(model, encoded(processor, prompt), num_beams=2)
        for row, one in enumerate(prompt.rows()):
            alone = new_tokens(model, encoded(processor, one), num_beams=2)
            assert batch[row, : alone.shape[1]].tolist() == alone[0].tolist()
