"""A picture of what is kept, in one call; `Handle.show` is the same of a patched model."""

from typing import Any


def show(
    source: str,
    image: Any,
    keep: int | None = None,
    *,
    total: int | None = None,
    method: Any = None,
    title: str | None = None,
    **model_kwargs: Any,
) -> Any:
    """A matplotlib figure of a picture, its kept and merged patches, and their scores; no language model is read.

    Args:
        source: a folder or hub id of a CLIP, SigLIP or LLaVA checkpoint.
        image: a picture, or where its file is.
        keep, total, method: as in `patch`.
        model_kwargs: of transformers' `from_pretrained`: `dtype`, `device_map`, `revision`, ...

    Raises:
        OSError: no checkpoint there.
        ValueError, TypeError: as `vtc_torch.PrunedEncoder` and `patch`.
    """
    from .showing import shown_by_tower  # matplotlib takes its time, and serving does without

    shown = shown_by_tower(source, image, keep, total, method, **model_kwargs)
    return shown.figure(title or f"{shown.fed} of {shown.tokens} visual tokens")
