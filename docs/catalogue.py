"""The page of all methods: what each keeps of one picture, and its formula, from its own docstring."""

import inspect
import re
from collections.abc import Iterable

import pictures

from vtc_core.methods import METHODS, Method, spelled
from vtc_core.methods.method import OF_CLS, OF_PROMPT

ATTENTION = {"cls_attention", "cls_logits", "joint_attention", "received_attention", "sink_attention"}
GROUPS = (
    "Attention alone",
    "Features, with attention or without",
    "Reads the question",
    "Drops inside the encoder",
    "Baselines",
)
NO_PICTURE = "No picture: it takes a CLIP text tower, and the embedded model has none."
HEAD = f"""# Methods

No method wins everywhere: the [measured table](choose.md) says how they differ, [`vtc tune`](tune.md) which one your
own data needs. Each is equal to its authors' code, whose outputs are the tests; what differs is listed under
*Deviations*. `vtc methods` prints this catalogue, `vtc methods visionzip` one of its entries.

All of them see the same scene here and keep {pictures.KEEP} of 144 tokens of it; those that read the question are asked
"{pictures.QUESTION}". Dropped patches are dark, those that
are merged into others half-dark. `vtc show photo.jpg --method visionzip` draws the same of your picture and checkpoint.
"""


def page() -> str:
    groups: dict[str, list[type[Method]]] = {}
    for kind in METHODS.values():
        groups.setdefault(_group(kind), []).append(kind)
    sections = [f"## {group}\n\n" + "\n".join(map(_entry, groups[group])) for group in GROUPS if group in groups]
    return "\n".join([HEAD, _gallery(name for name, kind in METHODS.items() if pictures.possible(kind)), *sections])


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


def _gallery(names: Iterable[str]) -> str:
    cells = (f'<a href="#{name}"><img src="../pictures/{name}-kept.png" alt="">{name}</a>' for name in names)
    return "\n".join(['<div class="gallery">', *cells, "</div>\n"])


def _entry(kind: type[Method]) -> str:
    name = kind.name
    facts = [
        f'`method="{_spelled(kind)}"`',
        re.sub(r"arXiv (\S+)", r"[arXiv \1](https://arxiv.org/abs/\1)", kind.source),
        f"sees {', '.join(f'`{field}`' for field in kind.needs) or 'no features'}",
        "towers with CLS" if any(field in OF_CLS for field in kind.needs) else "any tower",
        *(["mixes tokens"] if kind.merges else []),
    ]
    picture = f"![what {name} keeps, and its scores](pictures/{name}.png)" if pictures.possible(kind) else NO_PICTURE
    return f"### {name}\n\n{' · '.join(facts)}\n\n{inspect.getdoc(kind)}\n\n{picture}\n"


def _spelled(kind: type[Method]) -> str:
    return spelled(kind())
