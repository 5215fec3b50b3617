"""Every family: pictures of several tiles, towers without CLS, several feature layers."""

from typing import Any

import pytest
from llava.families import FAMILIES, IMAGE, VIDEO
from small_models import picture

import vtc_tune
from vtc_cli.answering import decoded, generate, inputs_of
from vtc_llava import patch

SAMPLES: list[Any] = [
    {"image": picture(seed, width, height), "question": question}
    for seed, (width, height, question) in enumerate(
        [(48, 48, "what ?"), (20, 90, "what red star ?"), (100, 30, "how ?")]
    )
]


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_measured_is_what_the_patched_model_says(name, tmp_path):
    case = FAMILIES[name]
    model, processor = case.make()
    model.generation_config.suppress_tokens = [IMAGE, VIDEO]  # a trained model never says those
    budgets: list[Any] = [(case.tokens, None), (5, None)] + [(None, 7)] * case.total
    report = vtc_tune.tune(
        *(model, processor, SAMPLES, [case.method, "divprune"], [5, case.tokens]),
        totals=[7] if case.total else None,
        max_new_tokens=4,
        out=tmp_path,
    )
    rows = report.rows.to_pylist()
    assert len(rows) == 3 * (1 + 2 * len(budgets))
    order = [row["question"] for row in rows[:3]]
    asked = [next(sample for sample in SAMPLES if sample["question"] == question) for question in order]
    pictures, questions = [sample["image"] for sample in asked], order
    for method in (case.method, "divprune"):
        for keep, total in budgets:
            mine = [row for row in rows if (row["method"], row["keep"], row["total"]) == (method, keep, total)]
            with patch(model, processor, keep, total=total, method=method):
                inputs = inputs_of(model, processor, pictures, questions)
                assert [row["answer"] for row in mine] == decoded(processor, generate(model, inputs, 4))
                assert [row["visual"] for row in mine] == (inputs["input_ids"] == IMAGE).sum(1).tolist()
            if keep == case.tokens:
                assert [row["agreement"] for row in mine] == [1, 1, 1]
    assert all(0 < result.first_token.floor < 1.2 for result in report.results)
    assert (tmp_path / "report.html").stat().st_size > 10_000
