"""Timings are put together right; how long anything takes is nobody's test."""

import time

import pytest

from vtc_bench import timing


def test_runs_are_interleaved_and_the_first_turn_is_not_counted():
    calls = []
    took = iter(range(100))

    def clock(run):
        run()
        return float(next(took))

    seconds = timing.interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, clock)
    assert "".join(calls) == "ababab"
    assert seconds == {"a": [2.0, 4.0], "b": [3.0, 5.0]}


def test_the_wall_clock_waits_for_the_run():
    ran = []
    assert timing.wall(lambda: ran.append(1)) > 0
    assert ran == [1]


def test_a_ratio_is_that_of_rounds_not_of_medians():
    seconds = {"a": [1.0, 10.0, 3.0], "b": [2.0, 40.0, 3.0]}  # a slow second round
    assert timing.ratio(seconds, "a", "b") == (0.5, 0.25, 1.0)


def test_rounds_that_are_not_paired_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        timing.ratio({"a": [1.0], "b": [1.0, 2.0]}, "b", "a")


def test_the_table_shows_measured_against_floor():
    table = timing.table({"kept": [1.0], "all": [4.0]}, "kept", {"all": 0.2})
    assert table.splitlines()[-1] == "| all | 4 | 4-4 | 0.250 | 0.250-0.250 | 0.200 | 1.25 |"
    assert table.splitlines()[-2].endswith("| - | - |")


def test_the_processor_clock_does_not_count_waiting():
    assert timing.processor(lambda: time.sleep(0.2)) < 0.1
    assert timing.processor(lambda: sum(range(300_000))) > 0
