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

from vtc_bench.server import overrides

# Of the machine's memory an engine wants 0.92 to be free by default; this one takes VLLM_CPU_KVCACHE_SPACE anyway.
SETTINGS = {"dtype": "float32", "enforce_eager": True, "max_model_len": 1024, "gpu_memory_utilization": 0.1}
SMALL = "--dtype float32 --enforce-eager --max-model-len 1024 --gpu-memory-utilization 0.1".split()


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


def said(made: LLM, prompts: Sequence[Any], many: int, never: Sequence[int] = ()) -> list[Said]:
    """At most `many` tokens greedily after each prompt, none of which is in `never`; all at the same moment."""
    words = json.loads((Path(made.llm_engine.model_config.model) / "config.json").read_text())["text_config"]
    allowed = [i for i in range(words["vocab_size"]) if i not in never]
    how = SamplingParams(temperature=0, max_tokens=many, allowed_token_ids=allowed)
    outputs = made.generate(list(prompts), how, use_tqdm=False)
    return [Said(list(o.prompt_token_ids or ()), list(o.outputs[0].token_ids)) for o in outputs]
