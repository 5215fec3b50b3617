"""MMTok: tokens that cover the words of the prompt, and the picture."""

import re
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from array_api_compat import array_namespace

from vtc_core import arguments

from .greedy import cover
from .method import Choice, Method, Seen
from .parts import cosine, softmax, there

# What of a question says nothing of a picture: the authors' list, and two sentences of the benchmarks they measure on.
STOP_WORDS = (
    "a an the is are was were be been being have has had do does did it they he she we you i what where when why how "
    "who which and or but so if then question answer to for with by from at into onto upon"
)
SENTENCES = (
    "Answer the question using a single word or phrase.",
    "Answer with the option's letter from the given choices directly.",
)


@dataclass(frozen=True)
class MmTok(Method):
    """Tokens that cover the words and the picture most: facility location on softmaxes (MMTok, ICLR 2026).

        P_ij = softmax_j(cos(t_i, p_j) / tau_text) / words     t rows of the embedding table, p projected tokens
        Q_ij = softmax_j(cos(h_i, h_j) / tau_vision) / tokens  h features
        always the token that adds most to sum_i max_{j chosen} C_ij of C = [P; alpha Q];   raster order

    Of the prompt, words that say nothing of a picture are left out (all stay where nothing else would).

    Deviations: no token is chosen twice; patches of padding, which the authors leave out for LLaVA-1.5, compete: the
    stock processors cut to a square and do not pad. The text is all of the prompt, words of its template included. Of
    a picture in tiles each tile covers the words.
    """

    name: ClassVar[str] = "mmtok"
    looks_at: ClassVar[str] = "covering prompt and picture"
    source: ClassVar[str] = "arXiv 2508.18264"
    needs: ClassVar[tuple[str, ...]] = ("features", "projected", "text")

    alpha: int | float = 0.5
    tau_text: int | float = 0.02
    tau_vision: int | float = 0.2

    def __post_init__(self) -> None:
        arguments.number("alpha", self.alpha, 0.0, float("inf"))
        arguments.number("tau_text", self.tau_text, 1e-3, float("inf"))
        arguments.number("tau_vision", self.tau_vision, 1e-3, float("inf"))

    def reads(self, prompt: str) -> str:
        for sentence in SENTENCES:
            prompt = prompt.replace(sentence, "")
        words = [word for word in re.findall(r"\w+", prompt) if word.lower() not in STOP_WORDS.split()]
        return " ".join(words) or prompt

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        xp = array_namespace(seen.projected)
        words = there(seen.text)
        of_words = softmax(cosine(seen.text, seen.projected) / self.tau_text)
        count = xp.sum(xp.astype(words, of_words.dtype), axis=1)[:, None, None]
        of_words = xp.where(words[:, :, None], of_words, 0.0) / xp.where(count > 0, count, 1.0)
        of_tokens = softmax(cosine(seen.features, seen.features) / self.tau_vision) / seen.features.shape[1]
        coverage = xp.concat([of_words, self.alpha * of_tokens], axis=1)
        return Choice(xp.sort(cover(v, coverage, keep), axis=1), xp.sum(coverage, axis=1))
