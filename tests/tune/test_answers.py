"""Agreement of two answers, by hand."""

import pytest

from vtc_tune.answers import agreement, normalised, token_f1


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("Yes.", "yes"),
        ("The Two dogs", "2 dogs"),
        ("none", "0"),
        ("it's", "its"),
        ("don\u2019t", "dont"),
        ("1,000", "1000"),
        ("3.5!", "3.5"),
        ("red/blue", "red blue"),
        (" top \n left ", "top left"),
        ("A", "a"),  # of a multiple choice: no article
        ("the", "the"),
        ("?", "?"),
        ("", ""),
    ],
)
def test_normalised_as_vqa_does(answer, wanted):
    assert normalised(answer) == wanted


def test_a_short_answer_is_right_or_wrong():
    assert agreement("A red ring.", "red ring") == 1
    assert agreement("red", "red ring") == 0
    assert agreement("A", "B") == 0
    assert agreement("", "no") == 0


def test_a_long_answer_is_compared_by_words():
    wanted = "two dogs play with a ball near water"  # 7 words without the article
    assert agreement("two dogs play with a ball near water", wanted) == 1
    assert agreement("two cats play near water", wanted) == pytest.approx(2 * 4 / (5 + 7))
    assert agreement("nothing", wanted) == 0


def test_f1_counts_words_as_often_as_both_have_them():
    assert token_f1("red red red", "red red blue") == pytest.approx(2 * 2 / 6)
    assert token_f1("red", "blue") == 0
