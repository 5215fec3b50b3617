"""What a report looks like: the page, the plot, the table, the lines to paste."""

import json
import re
import shlex
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import vtc_tune
from vtc_tune import pasting
from vtc_tune.scenes import Scenes

HOSTILE = '</td><script>alert("1")</script>\x1b[31m\u202e & "quotes"'


class Page(HTMLParser):
    """Tags with their attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def made(pair, tmp_path_factory):
    """A report of scenes whose questions end in something nasty, one of which has no picture."""
    out = tmp_path_factory.mktemp("tuned")
    scenes = [sample._replace(id=HOSTILE) for sample in Scenes().read(range(24))]
    bad = scenes[0]._replace(question=" ")
    model, processor = pair
    report = vtc_tune.tune(
        model,
        processor,
        [bad, *scenes],
        ["visionzip", "divprune"],
        [8, 72],
        target=0.6,
        out=out,
        name=f"a model{HOSTILE}",
    )
    return out, report, Page((out / "report.html").read_text())


def test_nothing_of_the_page_comes_from_elsewhere_and_nothing_runs(made):
    _, _, page = made
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    addresses = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert len(addresses) > 3
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert "url(" not in page.text
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_the_page_shows_what_is_nasty_as_what_it_is(made):
    _, report, page = made
    assert '</td><script>alert("1")</script>\\x1b[31m\\u202e & "quotes"' in page.text
    assert not {"\x1b", "\u202e"} & set(page.text)
    assert report.skipped[0].reason in page.text


def test_the_page_has_every_setting_and_what_disagrees_most(made):
    _, report, page = made
    for result in report.results:
        assert f"{100 * result.figures.agreement.mean:.1f} (" in page.text
    worst = [
        row
        for row in report.rows.to_pylist()
        if (row["method"], row["keep"]) == (report.best.method, report.best.setting.keep)
    ]
    expected = min(8, sum(row["agreement"] < 1 for row in worst))
    assert sum(tag == "article" for tag, _ in page.tags) == expected
    assert sum(tag == "img" for tag, _ in page.tags) == 1 + 2 * expected


def test_the_plot_is_a_picture_of_some_size(made):
    with Image.open(made[0] / "report.png") as plot:
        assert plot.size == (1650, 735)
        assert len(np.unique(np.asarray(plot.convert("L")))) > 20


def test_the_table_has_a_row_a_setting_in_80_columns(made):
    console = Console(width=80)
    with console.capture() as capture:
        console.print(made[1].table())
    lines = [line for line in capture.get().splitlines() if re.match(r" ?(visionzip|divprune|all tokens)", line)]
    assert len(lines) == 1 + len(made[1].results)
    assert all("…" not in line for line in lines)


def test_the_report_for_machines_says_the_same(made):
    saved = json.loads((made[0] / "report.json").read_text())
    report = made[1]
    assert saved["conclusion"] == report.conclusion
    assert saved["recommended"] == report.recommended.options
    assert saved["skipped"] == 1
    assert saved["tower_walks"] == {"made": 2 * 2, "by_themselves": 2 * 5}
    assert saved["settings"][0]["agreement_at_least"] == report.results[0].sure


def test_lines_can_be_pasted(made):
    made_lines = pasting.lines("a b/c", "llava", {"keep": 64, "method": "visionzip:contextual=10"})
    assert made_lines["Python"] == "vtc_llava.patch(model, processor, keep=64, method='visionzip:contextual=10')"
    words = shlex.split(made_lines["command line"])
    assert words[4:] == ["--model", "a b/c", "--keep", "64", "--method", "visionzip:contextual=10"]
    serve = shlex.split(made_lines["vLLM"])
    assert serve[:3] == ["vllm", "serve", "a b/c"]
    assert json.loads(serve[4]) == {
        "architectures": ["VtcLlavaForConditionalGeneration"],
        "vtc": {"keep": 64, "method": "visionzip:contextual=10"},
    }
    assert "vLLM" not in pasting.lines("x", "video_llava", {"total": 64, "method": "norm"})
