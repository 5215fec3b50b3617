"""A server under hostile requests, and good ones beside them: it lives, and answers the good ones as before.

VTC_HOSTILE=10000 PYTHONPATH=tests/vllm/shim python -m pytest -q -s tests/vllm/test_hostile.py
"""

import json
import os
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import hostile
import httpx
from asking import QUESTIONS, SCENES, Asked, ask, expected_of_scenes
from said import same

MANY = int(os.environ.get("VTC_HOSTILE", "300"))
GOOD = [Asked(question, [scene.image]) for question, scene in zip(QUESTIONS, SCENES, strict=True)]


def test_it_lives_and_answers_as_before(pruned: str):
    wrong, answered = [], Counter()
    fresh = httpx.Limits(max_keepalive_connections=0)  # a connection each: the server ends one after some errors
    with ThreadPoolExecutor(16) as clients, httpx.Client(base_url=pruned, limits=fresh, timeout=30) as client:
        requests, number = hostile.requests(21, MANY), 0
        while part := [*islice(requests, 100)]:
            sent = [clients.submit(status, client, request.body) for request in part]
            at, number = slice(number % 5, None, 5), number + 1
            same([answer.said for answer in ask(pruned, GOOD[at])], expected_of_scenes(16)[at])
            for request, answer in zip(part, sent, strict=True):
                answered[request.kind, answer.result()] += 1
                if answer.result() not in request.allowed:
                    wrong.append((request.kind, answer.result(), json.dumps(request.body)[-300:]))
    print(*sorted(answered.items()), sep="\n")
    assert wrong == []
    assert len({kind for kind, _ in answered}) == 16
    with urllib.request.urlopen(f"{pruned}/health", timeout=10) as health:
        assert health.status == 200
    same([answer.said for answer in ask(pruned, GOOD)], expected_of_scenes(16))


def status(client: httpx.Client, body: object) -> int:
    text = json.dumps(body)  # NaN and infinity as well
    return client.post("/v1/chat/completions", content=text, headers={"Content-Type": "application/json"}).status_code
