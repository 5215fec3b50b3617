"""VLMEvalKit's own run.py with one more model, a pruned LLaVA.

    python benchmarks/vlm_eval_kit.py llava-hf/llava-1.5-7b-hf --keep 64 --method visionzip --data POPE --mode infer

Arguments that are not this command's go to run.py: `--data`, `--mode`, `--judge`, `--work-dir`, `--reuse`, ... The
model's name there, and so its folder of results, says the settings.

VLMEvalKit itself is not on PyPI; ms-vlmeval, ModelScope's package of it, is: `pip install ms-vlmeval -e '.[torch]'`, in
an environment of its own. By hand, with its 0.0.20, all 24 answers of the embedded LLaVA to a custom data set were
those of the patched model; the tests have a stand-in.
"""

import argparse
import sys
from functools import partial
from pathlib import PurePath
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig
from vlmeval.config import supported_VLM  # pyright: ignore[reportMissingImports]
from vlmeval.run import main as run  # pyright: ignore[reportMissingImports]
from vlmeval.vlm.base import BaseModel  # pyright: ignore[reportMissingImports]

import vtc_llava
from vtc_core.methods import spelled
from vtc_llava.families import settings_of


class PrunedLlava(BaseModel):
    """As VLMEvalKit asks: a message of texts and pictures, one at a time, answered greedily.

    The prompt is the checkpoint's own template around what the data set asks, pictures where the message has them.
    """

    INSTALL_REQ = False
    INTERLEAVE = True

    def __init__(self, pretrained: str, settings: vtc_llava.Settings, max_new_tokens: int = 512) -> None:
        super().__init__()
        place: dict[str, Any] = {"device_map": "auto"} if torch.cuda.is_available() else {}
        self.model, self.processor = vtc_llava.load(
            pretrained, settings.keep, total=settings.total, method=settings.method, dtype="auto", **place
        )
        self.max_new_tokens = max_new_tokens

    def generate_inner(self, message: list[dict[str, Any]], dataset: str | None = None) -> str:
        content = [{"type": m["type"], **({"text": m["value"]} if m["type"] == "text" else {})} for m in message]
        prompt = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        pictures = [Image.open(m["value"]).convert("RGB") for m in message if m["type"] == "image"]
        inputs = self.processor(images=pictures or None, text=prompt, return_tensors="pt")
        inputs = inputs.to(self.model.device, self.model.dtype)
        ids = self.model.generate(**inputs, max_new_tokens=self.max_new_tokens, do_sample=False)
        return self.processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("pretrained", help="a folder or hub id")
    parser.add_argument("--keep", type=int, help="tokens kept of a tile")
    parser.add_argument("--total", type=int, help="instead: of a picture")
    parser.add_argument("--method", help="NAME[:KEY=VALUE,...]")
    options, more = parser.parse_known_args()
    given = {name: getattr(options, name) for name in ("keep", "total", "method")}
    try:  # refusals before gigabytes are read
        settings = settings_of(AutoConfig.from_pretrained(options.pretrained), options.pretrained, given)
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    method = spelled(settings.method).replace(":", ",")
    name = f"vtc,{PurePath(options.pretrained).name},{settings.budget},{method}"
    supported_VLM[name] = partial(PrunedLlava, options.pretrained, settings)
    sys.argv = [sys.argv[0], "--model", name, *more]
    run()


if __name__ == "__main__":
    main()
