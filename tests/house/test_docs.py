"""The examples of pages that need no more than the embedded model run as they stand."""

import re
from pathlib import Path

import pytest

from vtc_core.methods import METHODS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["jax", "hands", "inside"])
@pytest.mark.filterwarnings("ignore:.*checkpointing.*deprecated:FutureWarning")  # PEFT's
def test_the_examples_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{page}.md, block {number}", "exec"), names)


def test_the_table_of_costs_has_every_method_once():
    table = (DOCS / "choose.md").read_text().split("## What a method costs")[1].split("\n\n")[1]
    named = [name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[3])]
    assert sorted(named) == sorted(METHODS)
