"""lmms-eval's own `llava_hf` with a part of its visual tokens, in batches."""

import inspect
import time
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import PartialState
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.models.chat.llava_hf import LlavaHf
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from lmms_eval.models.simple.llava_hf import model_map
from lmms_eval.protocol import ChatMessages
from lmms_eval.utils import Collator
from torch import Tensor
from tqdm import tqdm
from transformers import AutoConfig

import vtc_llava

from .settings import check_names, recorded, settings


def _names(model: type) -> set[str]:
    """What `--model_args` and the command line may set of a model."""
    parameters = inspect.signature(model.__init__).parameters.values()
    return {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}


class VtcLlavaHf(LlavaHf):
    """`--model vtc_llava_hf`: LLaVA-1.5, LLaVA-NeXT and LLaVA-OneVision of Hugging Face, pruned by `vtc_llava.patch`.

    Modifications to lmms-eval's `llava_hf`:
    - `--model_args` takes the arguments of `patch` as well, see `settings`; they are refused before weights are read;
    - the results' config says what pruned, see `batch_sizes`;
    - any `--batch_size`; requests of several tasks, or none with a picture, may share a batch;
    - an error in `generate` ends the run: the stock model logs it and goes on with an empty answer;
    - without a GPU it runs on the CPU; the default `device_map=""`, which transformers 5 refuses, is the device.
    Prompts, generation and token counts are the stock model's: with `keep=all` its results, number for number.

    As there, chat tasks only: `--force_simple` and tasks scored by likelihood are not run.
    """

    def __init__(
        self,
        pretrained: str = "llava-hf/llava-1.5-7b-hf",
        keep: Any = None,
        total: Any = None,
        method: Any = None,
        layers: Any = None,
        reduce: Any = None,
        revision: str = "main",
        device: str | None = None,
        device_map: str = "",
        trust_remote_code: bool = False,
        **stock: Any,
    ) -> None:
        check_names(stock, _names(VtcLlavaHf) | _names(LlavaHf))
        config = AutoConfig.from_pretrained(pretrained, revision=revision, trust_remote_code=trust_remote_code)
        given = {"keep": keep, "total": total, "method": method, "layers": layers, "reduce": reduce}
        chosen = settings(config, pretrained, given, model_map)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if PartialState().num_processes == 1:  # else the stock model gives each process its own
            device_map = device_map or device
        super().__init__(
            pretrained, revision, device, device_map=device_map, trust_remote_code=trust_remote_code, **stock
        )
        how = {"method": chosen.method, "stages": chosen.stages}
        vtc_llava.patch(self.model, self._image_processor, chosen.keep, total=chosen.total, **how)
        self._recorded = recorded(chosen)

    @property
    def batch_sizes(self) -> dict[str, Any]:
        """Every setting and vtc's version: this is the one thing of a model that lmms-eval writes into results' config.

        It is meant for sizes found automatically, which no LLaVA there has, and used for nothing else.
        """
        return {"vtc": self._recorded}

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """An answer to each request, in their order."""
        # long prompts first: a batch has little to pad, and what does not fit into memory shows at once
        order = Collator(
            [request.args for request in requests], lambda x: -len(x[0]), group_fn=lambda x: x[2], grouping=True
        )
        results, seconds, new_tokens = [], 0.0, 0
        with tqdm(total=len(requests), disable=self.rank != 0, desc="Model Responding") as bar:
            for batch in order.get_batched(n=self.batch_size):
                inputs, began = self._inputs(batch), time.time()
                ids = self.model.generate(**inputs, **self._generation(batch[0][2]))[:, inputs["input_ids"].shape[1] :]
                seconds += time.time() - began
                counts = [self._length(row) for row in ids]
                texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
                results += [
                    GenerationResult(t, TokenCounts(output_tokens=n)) for t, n in zip(texts, counts, strict=True)
                ]
                new_tokens += sum(counts)
                bar.update(len(batch))
        log_metrics(seconds, new_tokens, new_tokens / seconds if seconds else 0.0, {"rank": self.rank})
        return order.get_original(results)

    def _inputs(self, batch: Sequence[tuple[Any, ...]]) -> Any:
        """What the processor makes of prompts, pictures and videos."""
        asked = [
            ChatMessages(messages=messages_of(self.task_dict[task][split][row]))
            for _, messages_of, _, row, task, split in batch
        ]
        media = [a.extract_media() for a in asked]
        images, videos = ([x for of_one in media for x in of_one[kind]] for kind in (0, 1))
        texts = self._image_processor.apply_chat_template(
            [a.model_dump()["messages"] for a in asked],
            chat_template=self.chat_template,
            tokenize=False,
            add_generation_prompt=True,
        )
        inputs = self._image_processor(
            images=images or None, videos=videos or None, text=texts, padding=True, return_tensors="pt"
        )
        return inputs.to(self._device, self.model.dtype)

    def _generation(self, given: dict[str, Any]) -> dict[str, Any]:
        """A task's generation arguments as the stock model understands them."""
        temperature = given.get("temperature", 0)
        return {
            "do_sample": temperature > 0,
            "temperature": temperature if temperature > 0 else None,
            "top_p": given.get("top_p"),
            "num_beams": given.get("num_beams", 1),
            "max_new_tokens": given.get("max_new_tokens", 1024),
            "use_cache": self.use_cache,
            "pad_token_id": self.eot_token_id,
            "eos_token_id": self.eot_token_id,
        }

    def _length(self, row: Tensor) -> int:
        """Tokens of an answer, its end included, without what pads it to the longest of the batch."""
        ends = (row == self.eot_token_id).nonzero()
        return int(ends[0]) + 1 if len(ends) else len(row)
