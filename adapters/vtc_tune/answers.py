"""Two answers to one question: how far they agree. Words alone, no model."""

import re
from collections import Counter

SHORT = 5  # words: up to so many, an answer is right or wrong

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: str(number) for number, word in enumerate(WORDS)} | {"none": "0"}
ARTICLES = ("a", "an", "the")
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


def normalised(answer: str) -> str:
    """An answer as the VQA evaluation compares it (Antol et al., arXiv 1505.00468; GT-Vision-Lab/VQA, vqaEval.py).

    In small letters, without punctuation and articles, numbers up to ten as digits. Deviations: apostrophes are taken
    away everywhere, where theirs are put in by a table of 120 contractions; an answer of nothing but articles or
    punctuation ("A" of a multiple choice) stays what it is.
    """
    text = re.sub(r"\s+", " ", answer).strip().lower()
    plain = text
    beside_blanks = {p for p in PUNCTUATION if f"{p} " in f"{text} " or f" {p}" in f" {text}"}
    for p in PUNCTUATION:
        plain = plain.replace(p, "" if p in beside_blanks or re.search(r"\d,\d", text) else " ")
    plain = re.sub(r"\.(?!\d)", "", plain).replace("'", "").replace("\u2019", "")
    words = [NUMBERS.get(word, word) for word in plain.split() if word not in ARTICLES]
    return " ".join(words) or text


def token_f1(answer: str, wanted: str) -> float:
    """The harmonic mean of precision and recall of normalised words, as SQuAD counts it (arXiv 1606.05250)."""
    ours, theirs = Counter(normalised(answer).split()), Counter(normalised(wanted).split())
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total()) if shared else float(ours == theirs)


def agreement(answer: str, wanted: str) -> float:
    """In [0, 1]: of a short `wanted` whether both are the same, normalised; of a longer one the F1 of its words."""
    if len(normalised(wanted).split()) > SHORT:
        return token_f1(answer, wanted)
    return float(normalised(answer) == normalised(wanted))
