"""All of it on a few scenes: stopped and resumed, refused, and with a method that is wrong on purpose."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest
from no_cluster import no_cluster as no_cluster

import vtc_tune
from vtc_core.methods import Choice, VtcCls
from vtc_encode import Refused
from vtc_tune.ray_engine import on_ray
from vtc_tune.scenes import Scenes
from vtc_tune.settings import default_methods, settings_of

# The command, on the scenes of these tests.
RAY = """
import vtc_cli.tune
from vtc_cli.app import main
from vtc_tune.scenes import Scenes
vtc_cli.tune.Scenes = lambda: Scenes(range(50))
main()
"""
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


@pytest.fixture(scope="module")
def whole(pair, tmp_path_factory):
    """A folder that was filled without a break."""
    out = tmp_path_factory.mktemp("tuned") / "out"
    tuned(pair, out)
    return out


def test_rows_are_all_samples_with_all_settings(whole):
    rows = pq.read_table(whole / "results.parquet").to_pylist()
    keys = {(row["sample"], row["method"], row["keep"]) for row in rows}
    settings = [(None, None), *((method, keep) for method in FEW["methods"] for keep in (72, 16))]
    assert keys == {(sample, *setting) for sample in range(10) for setting in settings}
    assert len(rows) == 50
    assert all(row["prompt"] > row["visual"] == (row["keep"] or 144) for row in rows)
    assert len({row["question"] for row in rows}) > 1


def test_means_are_those_of_the_rows(whole):
    rows = pq.read_table(whole / "results.parquet").to_pylist()
    for setting in json.loads((whole / "report.json").read_text())["settings"]:
        mine = [row for row in rows if (row["method"], row["keep"]) == (setting["method"]["name"], setting["keep"])]
        for name in ("agreement", "accuracy", "loyalty", "divergence"):
            assert setting[name]["mean"] == pytest.approx(sum(row[name] for row in mine) / 10)
        assert setting["time_to_first_token"]["measured"] > 0
        assert 0.4 < setting["time_to_first_token"]["floor"] < 1


def test_stopped_at_ten_places_and_resumed_it_says_the_same(pair, whole, tmp_path):
    """Of three blocks of five steps; what was begun is done anew."""
    out = tmp_path / "out"
    for after in (0, 1, 4, 5, 2, 4, 6, 3, 0, 4):
        with pytest.raises(Stopped):
            tuned(pair, out, bar=lambda what, steps, after=after: stopping(after))
        assert not (out / "report.json").exists()
    (out / "blocks" / ".000001.parquet.0.tmp").write_bytes(b"half")
    tuned(pair, out)
    first = (out / "report.json").read_bytes()
    assert without_times(first) == without_times((whole / "report.json").read_bytes())
    assert not [*(out / "blocks").glob(".*")]
    tuned(pair, out, bar=lambda what, steps: stopping(steps))  # of none
    assert (out / "report.json").read_bytes() == first  # times, too: they are measured once


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"keeps": [16]}, "other methods or budgets"),
        ({"seed": 1}, "other samples"),
        ({"max_new_tokens": 3}, "max_new_tokens 64, not 3"),
        ({"batch_size": 5}, "batch_size 4, not 5"),
    ],
)
def test_results_of_other_settings_are_refused(pair, whole, changed, message):
    before = (whole / "report.json").read_bytes()
    with pytest.raises(Refused, match=f"out holds results of {message}: --overwrite starts anew"):
        tuned(pair, whole, **changed)
    assert (whole / "report.json").read_bytes() == before


def test_another_model_is_refused(pair, whole):
    model, processor = pair
    weight = model.lm_head.weight.data
    before = weight[0, 0].clone()
    weight[0, 0] = 1
    try:
        with pytest.raises(Refused, match="another model"):
            tuned((model, processor), whole)
    finally:
        weight[0, 0] = before


def test_another_target_is_another_verdict_on_the_same_rows(pair, whole):
    report = tuned(pair, whole, target=0.05, bar=lambda what, steps: stopping(steps))
    assert report.recommended is not None
    tuned(pair, whole)


def test_a_damaged_block_is_named(pair, whole):
    path = whole / "blocks" / "000001.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    try:
        with pytest.raises(Refused, match=r"000001\.parquet is damaged since it was written: remove it"):
            tuned(pair, whole)
    finally:
        path.write_bytes(data)


@dataclass(frozen=True)
class Backwards(VtcCls):
    """Keeps what VTC-CLS drops first."""

    name: ClassVar[str] = "backwards"

    def choose(self, v, seen, keep):
        scores = -super().choose(v, seen, keep).scores
        return Choice(v.select(scores, keep), scores)


def test_a_method_that_drops_the_best_tokens_is_never_recommended(pair):
    report = tuned(pair, methods=[Backwards(), "centerclip"], keeps=[72, 36], count=50, batch_size=25, target=0.85)
    assert report.recommended is not None
    assert report.recommended.method == "centerclip"
    wrong = [result for result in report.results if result.method == "backwards"]
    assert max(result.figures.agreement.mean for result in wrong) < 0.85
    alone = tuned(pair, methods=[Backwards()], keeps=[72, 36], count=50, batch_size=25, target=0.85)
    assert alone.recommended is None
    assert alone.lines() == {}
    assert alone.conclusion.startswith("No recommendation: none meets 85.0%")


def test_with_all_tokens_all_answers_agree(pair):
    report = tuned(pair, keeps=[144], count=30, batch_size=15, target=0.85)
    assert all(result.figures.agreement == (1, 1, 1) for result in report.results)
    assert report.best.figures.visual == report.unpruned.visual == 144


def test_the_pair_is_left_as_it_was(pair, whole):
    model, processor = pair
    for part in (model, model.model, processor):
        assert not {"vtc", "get_image_features", "replace_image_token"} & set(vars(part))


def test_mappings_with_pictures_or_paths_are_samples(pair, tmp_path):
    picture = next(iter(Scenes().read([0]))).picture()
    picture.save(tmp_path / "a.png")
    given = [
        {"image": picture, "question": "how many objects ?"},
        {"image": tmp_path / "a.png", "question": "how many objects ?"},
    ]
    report = vtc_tune.tune(*pair, samples=given, methods=["vtc-cls"], keeps=[16])
    first, second = [row["answer"] for row in report.rows.to_pylist() if row["method"] is None]
    assert first == second
    assert report.unpruned.accuracy is None


def test_defaults_fit_the_tower(pair):
    config = pair[0].config
    assert [method.name for method in default_methods(config)] == [
        "vtc-cls", "visionzip", "vispruner", "divprune", "centerclip",
    ]  # fmt: skip
    assert [setting.keep for setting in settings_of(config, ["norm"], None, None)] == [72, 36, 24, 16, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1.0}, "target must lie between 0 and 1, got 1.0"),
        ({"keeps": [145]}, r"keep must be an integer in \[1, 144\]"),
        ({"methods": ["nope"]}, "method must be one of"),
        ({"methods": []}, "at least one method and one budget are needed"),
        ({"totals": [9]}, "total is for pictures of several tiles"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(pair, options, message):
    with pytest.raises(ValueError, match=message):
        tuned(pair, **options)


def test_overwrite_starts_anew(pair, tmp_path):
    few = {"keeps": [16], "methods": ["norm"], "count": 4}
    tuned(pair, tmp_path, **few)
    (tmp_path / "mine.txt").write_text("kept")
    report = tuned(pair, tmp_path, **few, seed=1, overwrite=True)
    assert len(pq.read_table(tmp_path / "results.parquet")) == len(report.rows) == 8
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_two_runs_at_once_are_refused(pair, tmp_path):
    def bar(what, steps):
        with pytest.raises(Refused, match="is being written by another vtc tune"):
            tuned(pair, tmp_path, keeps=[16])
        return stopping(steps)

    tuned(pair, tmp_path, keeps=[16], count=4, bar=bar)


@pytest.mark.usefixtures("no_cluster")
def test_on_ray_it_says_the_same(pair, whole, tmp_path):
    engine = partial(on_ray, load=lambda: pair)
    report = tuned(pair, tmp_path, engine=engine)
    assert without_times((tmp_path / "report.json").read_text()) == without_times((whole / "report.json").read_text())
    assert report.samples == 10
    with pytest.raises(Refused, match=r"^9 workers need 9 CPUs, the cluster has 4$"):
        tuned(pair, tmp_path, engine=partial(engine, workers=9), overwrite=True)


def test_two_actors_of_a_cluster_say_the_same(whole, tmp_path):
    """In a process of its own: Ray warns, and warnings are errors here."""
    words = ["--methods", "vtc-cls centerclip", "--keep", "16,72", "--samples", "10", "--batch-size", "4"]
    on = ["--engine", "ray", "--workers", "2", "--out", str(tmp_path / "out")]
    home = {**os.environ, "HOME": str(tmp_path)}  # where Ray leaves a token
    done = subprocess.run([sys.executable, "-c", RAY, "tune", *words, *on], capture_output=True, text=True, env=home)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    got, wanted = (json.loads(without_times((out / "report.json").read_text())) for out in (tmp_path / "out", whole))
    assert got["settings"] == wanted["settings"]
