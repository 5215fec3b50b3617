"""What a folder of results holds: stopped and resumed, refused, begun anew."""

import pyarrow.parquet as pq
import pytest

from vtc_encode import Refused

from .running import Stopped, stopping, tuned, without_times


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
