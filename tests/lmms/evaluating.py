"""Runs of lmms-eval in this process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager

import vtc_lmms
import vtc_tiny

TASKS = [Path(vtc_lmms.__file__).parent / "tasks", Path(__file__).parent / "tasks"]
TINY = f"pretrained={vtc_tiny.PATH}"


def evaluated(
    model: str, arguments: str, tasks: Sequence[str] = ("vtc_scenes",), batch: int = 1, limit: int | None = None
) -> dict[str, Any]:
    """The results of lmms-eval, as it would write them, with its samples."""
    known = TaskManager("ERROR", include_path=[*map(str, TASKS)], include_defaults=False, model_name=model)
    results = simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=[*tasks],
        task_manager=known,
        batch_size=batch,
        limit=limit,
        device="cpu",
        verbosity="ERROR",
    )
    assert results is not None
    return results


def answers(results: dict[str, Any], task: str = "vtc_scenes") -> list[str]:
    return [sample["filtered_resps"][0] for sample in results["samples"][task]]


def comparable(results: dict[str, Any]) -> dict[str, Any]:
    """What does not say when, how fast, or by which model: functions are printed with their addresses.

    Of samples what is written to a file: to the others the stock model adds the sizes of pictures.
    """
    keys = ("results", "group_subtasks", "versions", "n-shot", "higher_is_better", "n-samples", "efficiency")
    samples = [{key: value for key, value in s.items() if key != "arguments"} for s in results["samples"]["vtc_scenes"]]
    configs = {
        task: {key: value for key, value in of.items() if not str(value).startswith("<function")}
        for task, of in results["configs"].items()
    }
    made = results["throughput"]["total_gen_tokens"]
    return {**{key: results[key] for key in keys}, "configs": configs, "samples": samples, "total_gen_tokens": made}
