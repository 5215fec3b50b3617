"""Nothing of a checkpoint is loaded in a way that could run, or ask to run, the checkpoint's own code."""

import ast
from pathlib import Path

import pytest

from .test_layout import SOURCES

READERS = {"AutoConfig", "AutoProcessor", "AutoTokenizer", "AutoImageProcessor", "AutoVideoProcessor"}


def trusting(source: str) -> list[int]:
    """The lines on which a class that would ask is told neither `trust_remote_code=False` nor `**UNTRUSTED`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        words = {ast.unparse(keyword) for keyword in node.keywords}
        if (
            node.func.attr == "from_pretrained"
            and ast.unparse(node.func.value) in READERS
            and not words & {"trust_remote_code=False", "**UNTRUSTED"}
        ):
            found.append(node.lineno)
    return found


def test_what_is_told_and_what_is_not():
    assert trusting("AutoConfig.from_pretrained(path)\nAutoConfig.from_pretrained(path, **UNTRUSTED)") == [1]
    assert trusting("x = AutoProcessor.from_pretrained(path, trust_remote_code=True)") == [1]
    assert trusting("CLIPModel.from_pretrained(path)") == []  # a class of transformers' own


# The first is what ships in the wheel; the second is told by the user of lmms-eval, which has an argument for it.
ASIDE = {"vtc_tiny/shipped.py", "vtc_lmms/model.py"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_source_trusts_a_checkpoint(source: Path):
    if f"{source.parent.name}/{source.name}" not in ASIDE:
        assert trusting(source.read_text()) == []
