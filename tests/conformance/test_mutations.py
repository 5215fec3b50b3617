"""`conformance/mutations.py` runs for minutes and by hand; that its texts are those of today is held here."""

import ast
import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("mutations", Path(__file__).parents[2] / "conformance" / "mutations.py")
assert SPEC is not None
assert SPEC.loader is not None
mutations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutations)


@pytest.mark.parametrize("rule", mutations.MUTATIONS)
def test_a_mutation_changes_one_place_of_its_file_and_leaves_it_python(rule):
    file, old, new = mutations.MUTATIONS[rule]
    text = (mutations.BACKEND / file).read_text()
    assert text.count(old) == 1
    assert ast.dump(ast.parse(mutations.mutated(file, old, new))) != ast.dump(ast.parse(text))


def test_a_text_that_is_gone_or_there_twice_ends_the_run():
    for old, times in (("nothing like it", 0), ("import", r"\d+")):
        with pytest.raises(SystemExit, match=f"verbs.py must have this once, it has it {times} times: {old}"):
            mutations.mutated("verbs.py", old, "")


def test_the_readme_has_the_table_of_these_rules():
    readme = (mutations.BACKEND.parents[1] / "conformance" / "README.md").read_text()
    table = readme.partition("| rule taken out |")[2].splitlines()[2:]
    rules = [line.split("|")[1].strip() for line in table if line.startswith("|")]
    assert rules == list(mutations.MUTATIONS)
