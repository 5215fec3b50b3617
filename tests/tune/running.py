"""How the tests here tune the embedded model on a few scenes."""

import json
from contextlib import contextmanager
from typing import Any

import vtc_tune
from vtc_tune.scenes import Scenes

FEW = {"methods": ["vtc-cls", "centerclip"], "keeps": [16, 72], "count": 10, "batch_size": 4}


class Stopped(BaseException):
    """As a kill: nothing catches it."""


@contextmanager
def stopping(after):
    left = [after]

    def step(result):
        left[0] -= 1
        if left[0] < 0:
            raise Stopped
        return result

    yield step


def tuned(pair, out=None, **options):
    given: dict[str, Any] = {**FEW, "name": "tiny", "out": out, **options}
    return vtc_tune.tune(*pair, samples=Scenes(range(50)), **given)


def without_times(report):
    made = json.loads(report)
    for setting in made["settings"]:
        setting.pop("time_to_first_token")
    return json.dumps(made)
