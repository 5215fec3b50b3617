"""Engines in this process: vLLM is imported once, so that each takes but seconds to start."""

import gc
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from said import Said
from vllm import LLM, SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.multimodal import MULTIMODAL_REGISTRY

from vtc_bench.server import overrides

SETTINGS = {  # as `servers.SMALL`
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 1024,
    "gpu_memory_utilization": 0.1,
}


@contextmanager
def engine(folder: Path, vtc: Mapping[str, Any] | None, **settings: Any) -> Iterator[LLM]:
    """Of the checkpoint in `folder`, with the plugin's settings or, if None, the stock model."""
    if vtc is not None:
        settings["hf_overrides"] = overrides(folder, vtc)
    with patch.dict(os.environ, VLLM_ENABLE_V1_MULTIPROCESSING="0"):
        made = LLM(str(folder), **{**SETTINGS, **settings})
        try:
            yield made
        finally:
            made.llm_engine.engine_core.shutdown()
            del made
            gc.collect()


def configured(folder: Path, hf_overrides: dict[str, Any], **settings: Any) -> Any:
    """The model's configuration, put together as every engine does it first."""
    return EngineArgs(str(folder), hf_overrides=hf_overrides, **settings).create_engine_config().model_config


def processor(folder: Path, vtc: Mapping[str, Any], **settings: Any) -> Any:
    """That of an engine which is not started: what it makes of pictures before they come to the model."""
    return MULTIMODAL_REGISTRY.create_processor(configured(folder, overrides(folder, vtc), **settings))


def said(made: LLM, prompts: Sequence[Any], many: int, never: Sequence[int] = ()) -> list[Said]:
    """At most `many` tokens greedily after each prompt, none of which is in `never`; all at the same moment."""
    words = json.loads((Path(made.llm_engine.model_config.model) / "config.json").read_text())["text_config"]
    allowed = [i for i in range(words["vocab_size"]) if i not in never]
    how = SamplingParams(temperature=0, max_tokens=many, allowed_token_ids=allowed, logprobs=0)
    answers = []
    for output in made.generate(list(prompts), how, use_tqdm=False):
        (new,) = output.outputs
        tokens, logprobs = list(new.token_ids), new.logprobs or ()
        of_tokens = [row[token].logprob for row, token in zip(logprobs, tokens, strict=True)]
        answers.append(Said(list(output.prompt_token_ids or ()), tokens, of_tokens))
    return answers
