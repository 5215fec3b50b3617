"""What `--model`, `--keep`, `--layers` and `--device` mean: a checkpoint that loads, and numbers that fit it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

import vtc_tiny
from vtc_core.methods import Method, VtcCls
from vtc_core.stages import Stage
from vtc_pictures import why_unreadable
from vtc_torch.configuration import read_config
from vtc_torch.encoder import walk_of
from vtc_torch.loading import feature_layer, shuffle_of, tokens_of, tower_config
from vtc_torch.reading import read
from vtc_torch.towers import size_of_config

from . import progress
from .errors import BadUsage, reason

SHARE = 9  # one token in nine is kept when --keep is left out: 64 of 576, the paper's smallest budget


class Plan(NamedTuple):
    """One checkpoint, and what will be kept of its tokens."""

    source: str
    name: str  # short, for a title
    tokens: int
    keep: int
    method: Method
    config: Any
    counted: str  # "64 of 576 visual tokens", and where the 64 comes from

    def spent(self, fed: int, tokens: int, total: int | None) -> str:
        """The same of a picture: of one that is cut into tiles all of them, and what was asked for."""
        if total is None and tokens == self.tokens:
            return self.counted
        asked = f"{self.keep} of {self.tokens} a tile" if total is None else f"total {total}"
        return f"{fed} of {tokens} visual tokens ({asked})"


def plan(
    model: str | None,
    keep: int | None,
    method: Method = VtcCls(),  # noqa: B008
    all_tokens: bool = False,
) -> Plan:
    """Find the checkpoint and check the numbers against its config, before any weights are read.

    `all_tokens`: where `keep` is left out, instead of one in nine.
    """
    source = find(model)
    with refusing(source):
        config = read_config(source)
        (patches, depth), tokens = size_of_config(tower_config(config, source)), tokens_of(config)
    kept = (tokens if all_tokens else max(1, round(tokens / SHARE))) if keep is None else keep
    try:
        tower_config(config, source, method)
        walk_of(patches, depth, kept, method, feature_layer(config), shuffle_of(config))
    except (ValueError, TypeError) as error:
        raise BadUsage(str(error)) from error
    why = f" (1/{SHARE}, as --keep is not given)" if keep is None and not all_tokens else ""
    name = "the embedded model" if model is None else Path(model).name
    return Plan(source, name, tokens, kept, method, config, f"{kept} of {tokens} visual tokens{why}")


def find(model: str | None) -> str:
    """A folder, or a hub id that answers now; without `--model` the embedded model, and that is said."""
    if model is None:
        progress.note("no --model given: the embedded model, which knows coloured shapes in small pictures only")
        return str(vtc_tiny.PATH)
    try:
        if Path(model).is_dir():
            if not (Path(model) / "config.json").is_file():
                raise BadUsage(f"--model {model} is a folder without a config.json: not a checkpoint")
            return model
        if Path(model).exists():
            raise BadUsage(f"--model {model} is a file: a folder or a hub id is needed")
    except PermissionError as error:
        raise BadUsage(f"--model {model} {why_unreadable(error)}") from error
    return _on_hub(model)


def _on_hub(model: str) -> str:
    """Asked for once and briefly: `from_pretrained` retries for minutes where there is no network."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        with progress.waiting(f"looking for {model} on the hub"):
            HfApi().model_info(model, timeout=10)
        return model
    except HFValidationError:
        raise BadUsage(f"--model {model}: no such folder, and not the form of a hub id either") from None
    except Exception as error:  # whatever the HTTP client of the day raises
        try:
            return snapshot_download(model, local_files_only=True)  # a download of former days
        except Exception:
            raise BadUsage(
                f"--model {model} is neither a folder nor reachable on the Hugging Face hub ({reason(error)})"
            ) from error


@contextmanager
def loading(source: str) -> Iterator[None]:
    """A spinner while a folder is read; from the hub, its own bars show the download. Bad checkpoints: bad usage."""
    with refusing(source):
        if not Path(source).is_dir():
            yield
            return
        with progress.without_bars(), progress.waiting(f"loading {source}"):
            yield


@contextmanager
def refusing(source: str) -> Iterator[None]:
    """Whatever loaders raise about a checkpoint that is damaged, or is none, as bad usage, without their remarks."""
    try:
        with progress.without_chatter():
            yield
    except MemoryError:
        raise
    except Exception as error:  # OSError, ValueError, KeyError, SafetensorError, UnpicklingError, ...
        raise BadUsage(f"--model {source} cannot be loaded: {reason(error)}") from error


def budgeted(plan: Plan, keep: int | None, total: int | None, stages: Sequence[Stage] = ()) -> dict[str, Any]:
    """`keep` or `total`, `method` and `stages` of a LLaVA; `keep` is what was asked for, to refuse both."""
    from vtc_llava.families import family_of, settings_of

    given: dict[str, Any] = {"keep": plan.keep if total is None else keep, "total": total, "method": plan.method}
    given["stages"] = stages
    with refusing(plan.source):
        family_of(plan.config, plan.source)
    try:
        settings_of(plan.config, plan.source, given)
    except (ValueError, TypeError) as error:
        raise BadUsage(str(error)) from error
    return given


def load_llava(
    plan: Plan,
    keep: int | None,
    total: int | None,
    question: str,
    device: torch.device,
    dtype: str,
    stages: Sequence[Stage] = (),
) -> tuple[Any, Any, str]:
    """The (model, processor) of a plan, patched with its `keep`, or with `total` where that is given, on the device.

    Before its weights are read the processor has to write the prompt, which is returned as well. `keep` is what was
    asked for, to refuse both.
    """
    from vtc_llava import patch, reading
    from vtc_llava.families import family_of

    from . import prompts
    from .generation import check_endings

    given = budgeted(plan, keep, total, stages)
    with loading(plan.source):
        family = family_of(plan.config, plan.source)
        reading.check_weights(family, plan.source, plan.config)
        processor = reading.read_processor(family, plan.source, plan.config)
        check_endings(plan.source, plan.config.text_config.vocab_size)
        (prompt,) = prompts.written(processor, plan.config, plan.source, [question])
        model = read(family.model, plan.source, "the model", dtype=dtype)
        patch(model, processor, **given)
    return model.to(device), processor, prompt


def pick_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise BadUsage("--device cuda: this torch finds no CUDA device")
    return torch.device(device)
