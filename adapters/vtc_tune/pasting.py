"""The lines that use a setting: in Python, on the command line, in vLLM."""

import json
import shlex
from typing import Any

ARCHITECTURES = {"llava": "VtcLlavaForConditionalGeneration", "llava_next": "VtcLlavaNextForConditionalGeneration"}


def lines(model: str, family: str, options: dict[str, Any]) -> dict[str, str]:
    """By where they are pasted; `options` are arguments of `vtc_llava.patch`. vLLM where the plugin has the family."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in options.items())
    flags = " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items())
    lines = {
        "Python": f"vtc_llava.patch(model, processor, {arguments})",
        "command line": f'vtc ask photo.jpg "What is this?" --model {shlex.quote(model)} {flags}',
    }
    if family in ARCHITECTURES:
        overrides = json.dumps({"architectures": [ARCHITECTURES[family]], "vtc": options})
        lines["vLLM"] = f"vllm serve {shlex.quote(model)} --hf-overrides {shlex.quote(overrides)}"
    return lines
