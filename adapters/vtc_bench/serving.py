"""Two servers of one LLaVA, stock vLLM and vLLM with the plugin, asked the same: the first token, and a burst."""

import base64
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from transformers import PreTrainedConfig

from vtc_core import checks
from vtc_core.methods import Method, VtcCls

from . import costs
from .costs import Geometry
from .photos import photo
from .prefill import STEPS, TEXT, after_encoder, to_first_token
from .random_llava import question
from .timing import Run, ratio, spread

SERVERS = STOCK, PLUGIN = "stock", "plugin"
WORK = FIRST, BURST = "first token", "burst"
HITS = ("vllm:prefix_cache_hits_total", "vllm:mm_cache_hits_total")


class Answer(NamedTuple):
    """To one streamed request; seconds are from its sending."""

    prompt_tokens: int  # as the server reports them
    first: float  # seconds to the first token
    last: float  # seconds to the last of STEPS


def ask(client: Any, jpeg: bytes) -> Answer:
    """A picture and a question, streamed, of an `openai.OpenAI`.

    Raises:
        RuntimeError: the answer has not STEPS tokens.
    """
    url = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question(TEXT)}]
    start = time.perf_counter()
    stream = client.chat.completions.create(
        model="llava",
        messages=[{"role": "user", "content": content}],
        max_completion_tokens=STEPS,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    times, usage = [], None
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            times.append(time.perf_counter() - start)
        usage = chunk.usage or usage
    if usage is None or usage.completion_tokens != STEPS:
        raise RuntimeError(f"{STEPS} tokens were asked for, got {usage}")
    return Answer(usage.prompt_tokens, times[0], times[-1])


def runs(clients: Mapping[str, Any], burst: int) -> tuple[dict[str, Run], dict[str, list[Answer]]]:
    """Name to run, which returns the seconds that count; and by server the answers to its lone requests, as they come.

    No picture is sent twice to one server; every server gets the same ones.
    """
    answers: dict[str, list[Answer]] = {server: [] for server in clients}

    def alone(server: str, jpegs: Iterator[bytes]) -> float:
        answers[server].append(ask(clients[server], next(jpegs)))
        return answers[server][-1].first

    def together(server: str, jpegs: Iterator[bytes]) -> float:
        sent = [next(jpegs) for _ in range(burst)]
        start = time.perf_counter()
        with ThreadPoolExecutor(burst) as threads:
            list(threads.map(partial(ask, clients[server]), sent))
        return time.perf_counter() - start

    made: dict[str, Run] = {}
    for what, run, seed in zip(WORK, (alone, together), (0, 1_000_000), strict=True):
        made |= {f"{what}, {server}": partial(run, server, map(photo, count(seed))) for server in clients}
    return made, answers


def cache_hits(metrics: str) -> float:
    """Tokens and pictures that a server took from its prefix and its processor cache, by its `/metrics`.

    Raises:
        ValueError: it does not say.
    """
    found = [re.findall(rf"^{name}\{{.*\}} (\S+)$", metrics, re.MULTILINE) for name in HITS]
    if not all(found):
        raise ValueError(f"the metrics lack one of {', '.join(HITS)}")
    return sum(float(value) for values in found for value in values)


def floor(g: Geometry, config: PreTrainedConfig, keep: int, method: Method = VtcCls()) -> float:  # noqa: B008
    """Plugin / stock by multiply-adds up to the first token. vLLM makes no layer of a tower after the feature layer."""
    stock = costs.whole(g._replace(depth=1 + checks.last_layer(g.depth, -2)))
    return to_first_token(g, config, keep, method) / (stock + after_encoder(g, config, g.tokens))


def table(
    seconds: Mapping[str, Sequence[float]], answers: Mapping[str, Sequence[Answer]], burst: int, floor: float
) -> str:
    """Markdown, from what every round took of each of `runs`, and the answers to the lone requests of those rounds."""
    first, after, requests = (dict[str, list[float]]() for _ in range(3))
    for server in SERVERS:
        first[server] = list(seconds[f"{FIRST}, {server}"])
        after[server] = [(answer.last - answer.first) / (STEPS - 1) for answer in answers[server]]
        requests[server] = [burst / taken for taken in seconds[f"{BURST}, {server}"]]
    measured = {
        "one request: time to first token, s": first,
        "one request: s per token after it": after,
        f"burst of {burst}: requests per second": requests,
        f"burst of {burst}: output tokens per second": {k: [STEPS * rate for rate in requests[k]] for k in requests},
    }
    rows = [
        f"| | {STOCK}: median | {PLUGIN}: median | {PLUGIN} / {STOCK} | min-max | floor | measured / floor |",
        "|---|---|---|---|---|---|---|",
    ]
    long, short = (answers[server][0].prompt_tokens for server in SERVERS)
    rows.append(f"| tokens of a prompt | {long} | {short} | {short / long:.3f} | - | - | - |")
    for what, of in measured.items():
        r = ratio(of, PLUGIN, STOCK)
        against = f"{floor:.3f} | {r.median / floor:.2f}" if of is first else "- | -"
        medians = " | ".join(f"{spread(of[server]).median:.3g}" for server in SERVERS)
        rows.append(f"| {what} | {medians} | {r.median:.3f} | {r.low:.3f}-{r.high:.3f} | {against} |")
    return "\n".join(rows)
