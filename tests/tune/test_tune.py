"""All of it on a few scenes: what the rows and the report hold, a method that is wrong on purpose, Ray."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pyarrow.parquet as pq
import pytest
from no_cluster import no_cluster as no_cluster

import vtc_tune
from vtc_core.methods import Choice, VtcCls
from vtc_encode import Refused
from vtc_tune.ray_engine import on_ray
from vtc_tune.scenes import Scenes
from vtc_tune.settings import default_methods, settings_of

from .running import FEW, tuned, without_times

# The command, on the scenes of these tests.
RAY = """
import vtc_cli.tune
from vtc_cli.app import main
from vtc_tune.scenes import Scenes
vtc_cli.tune.Scenes = lambda: Scenes(range(50))
main()
"""


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
