"""Over the real HTTP server, what `vtc_llava.patch` answers in transformers: pictures as base64, requests all at once.

Prompts are compared token by token too, so that their length is the text and the budget.
"""

import urllib.request

import openai
import pytest
from asking import QUESTIONS, SCENES, Asked, ask, expected, expected_of_scenes
from said import same

import vtc_tiny
from vtc_tiny.tokenizer import IMAGE

ALL = 144


def scenes(*keeps: int | None) -> list[Asked]:
    """The 50 questions, with one budget after the other."""
    budgets = keeps * len(SCENES)
    return [Asked(q, [s.image], keep=k) for q, s, k in zip(QUESTIONS, SCENES, budgets, strict=False)]


def said(address: str, asked: list[Asked]):
    return [answer.said for answer in ask(address, asked)]


def steps(address: str) -> int:
    """How often the model of a server has run."""
    text = urllib.request.urlopen(f"{address}/metrics", timeout=10).read().decode()
    (count,) = [line.split()[-1] for line in text.splitlines() if line.startswith("vllm:iteration_tokens_total_count")]
    return int(float(count))


@pytest.mark.parametrize(("keep", "asked"), [(16, None), (36, 36), (ALL, ALL)])
def test_the_tokens_of_a_patched_pair(pruned: str, keep: int, asked: int | None):
    before = steps(pruned)
    answers = said(pruned, scenes(asked))
    same(answers, expected_of_scenes(keep))
    assert {answer.prompt.count(IMAGE) for answer in answers} == {keep}
    assert steps(pruned) - before < len(SCENES)  # of two tokens at least: they were batched


def test_budgets_mixed_in_the_same_moment(pruned: str):
    answers = said(pruned, scenes(None, 36, ALL, 16, 50))
    for at, keep in enumerate((16, 36, ALL, 16, 50)):
        same(answers[at::5], expected_of_scenes(keep)[at::5])


def test_the_answers_depend_on_what_is_kept():
    """Or the tests above would pass with any encoder."""
    few, some, whole = (expected_of_scenes(keep) for keep in (16, 36, ALL))
    assert sum(a.tokens != b.tokens for a, b in zip(few, whole, strict=True)) >= 5
    assert sum(a.tokens != b.tokens for a, b in zip(few, some, strict=True)) >= 5
    assert sum(abs(a.logprobs[0] - b.logprobs[0]) > 5e-3 for a, b in zip(some, whole, strict=True)) >= 5
    assert len({tuple(answer.tokens) for answer in whole}) > 10


def test_all_tokens_are_the_unpatched_server(pruned: str, stock: str):
    unpatched = said(stock, scenes(None))
    same(unpatched, said(pruned, scenes(ALL)))
    same(unpatched, expected_of_scenes(None))


@pytest.mark.parametrize("keep", [None, 36, ALL])
def test_several_pictures_in_a_prompt(pruned: str, keep: int | None):
    pictures = [[SCENES[i].image, SCENES[i + 1].image, SCENES[i + 2].image] for i in range(12)]
    asked = [Asked(question, shown, keep=keep) for question, shown in zip(QUESTIONS, pictures, strict=False)]
    answers = said(pruned, asked)
    same(answers, expected(keep or 16, pictures, QUESTIONS[:12]))
    assert {answer.prompt.count(IMAGE) for answer in answers} == {3 * (keep or 16)}
    assert len({tuple(answer.tokens) for answer in answers}) > 3


@pytest.mark.parametrize("keep", [None, 36])
def test_prompts_without_a_picture(pruned: str, keep: int | None):
    asked = ["how many objects ?", "what color is the star ?", "where is the red ring ?"]
    answers = said(pruned, [Asked(question, keep=keep) for question in asked])
    same(answers, expected(16, [[]] * 3, asked))


@pytest.mark.parametrize("uuid", [None, "a picture"])
def test_what_is_cached_is_of_the_same_budget(pruned: str, uuid: str | None):
    """The same picture and question; from 36 on, the first 32 tokens are the same in all prompts."""
    scene = vtc_tiny.scene(1000 + (uuid is None))
    question = vtc_tiny.questions(scene)[0].text
    wanted = {keep: expected(keep, [[scene.image]], [question])[0] for keep in (16, 36, 64, ALL)}
    seen = set()
    for keep in (36, 16, None, ALL, 64, 36, None, ALL, 64):
        (answer,) = ask(pruned, [Asked(question, [scene.image], keep=keep, uuid=uuid)])
        same([answer.said], [wanted[keep or 16]])
        assert (answer.cached > 0) == (keep in seen), (keep, answer.cached)  # none is long enough at 16
        seen |= {keep} & {36, 64, ALL}


@pytest.mark.parametrize("keep", [0, 145, -1, "x", 2.5, True, [16]])
def test_a_wrong_budget_is_refused_by_itself(pruned: str, keep: object):
    """And takes nobody with it."""
    scene, question = SCENES[0], QUESTIONS[0]
    with pytest.raises(openai.BadRequestError) as refused:
        ask(pruned, [Asked(question, [scene.image], keep=keep)])
    wanted = rf"vtc_keep must be an integer in \[1, 144\] \(the number of patch tokens\), got {keep!r}"
    assert wanted.replace("\\", "") in refused.value.message
    same(said(pruned, [Asked(question, [scene.image])]), expected_of_scenes(16)[:1])


def test_requests_have_no_budget_unless_the_server_trusts_them(stock: str):
    """vLLM's own rule, which the README's command has to heed."""
    with pytest.raises(openai.BadRequestError, match="--trust-request-mm-kwargs"):
        ask(stock, scenes(36)[:1])
