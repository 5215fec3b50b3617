"""What the pages of methods and stages list: each with its formula, from its docstring, and methods with pictures."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pictures

from vtc_core.methods import METHODS, Method
from vtc_core.methods.method import OF_CLS, OF_PROMPT
from vtc_core.stages import STAGES, Stage

ATTENTION = {"cls_attention", "cls_logits", "joint_attention", "received_attention", "sink_attention"}
GROUPS = (
    "Attention alone",
    "Features, with attention or without",
    "Reads the question",
    "Drops inside the encoder",
    "Baselines",
)
NO_PICTURE = "No picture: it takes a CLIP text tower, and the embedded model has none."


def methods() -> str:
    """A gallery, then an entry each."""
    lines = ['<div class="gallery">', *map(_small, filter(pictures.possible, METHODS.values())), "</div>\n"]
    for group in GROUPS:
        lines += [f"## {group}\n", *(_method(kind) for kind in METHODS.values() if _group(kind) == group)]
    return "\n".join(lines)


def stages() -> str:
    return "\n".join(map(_stage, STAGES.values()))


def _group(kind: type[Method]) -> str:
    """By what has to be computed for it."""
    needs = set(kind.needs)
    attention, features, prompt, flow, baselines = GROUPS
    if kind.source == "baseline":
        return baselines
    if "flow" in needs:
        return flow
    if needs.intersection(OF_PROMPT):
        return prompt
    return attention if needs <= ATTENTION else features


def _small(kind: type[Method]) -> str:
    return f'<a href="#{kind.name}"><img src="../pictures/{kind.name}-kept.png" alt="">{kind.name}</a>'


def _method(kind: type[Method]) -> str:
    sees = ", ".join(f"`{field}`" for field in kind.needs)
    tower = "towers with CLS" if any(field in OF_CLS for field in kind.needs) else "any tower"
    picture = f"![what {kind.name} keeps, and its scores](pictures/{kind.name}.png)"
    facts = (f"sees {sees or 'nothing'}", tower, "mixes tokens" if kind.merges else "")
    return f"{_entry(kind, *facts)}\n\n{picture if pictures.possible(kind) else NO_PICTURE}\n"


def _stage(kind: type[Stage]) -> str:
    marks = {
        "mixes tokens": kind.merges,
        "numbers positions anew": kind.renumbers,
        "the picture decides how many": kind.adaptive,
    }
    return _entry(kind, kind.looks_at, *(mark for mark, has in marks.items() if has)) + "\n"


def _entry(kind: Any, *facts: str) -> str:
    source = re.sub(r"arXiv (\S+)", r"[arXiv \1](https://arxiv.org/abs/\1)", kind.source)
    told = " · ".join(filter(None, (source, *facts, "; ".join(_parameters(kind)))))
    return f"### {kind.name}\n\n{told}\n\n{inspect.getdoc(kind)}"


def _parameters(kind: Any) -> Iterator[str]:
    for field in fields(kind):
        yield f"`{field.name}={field.default!r}`"
