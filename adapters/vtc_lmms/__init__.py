"""A model for stock lmms-eval: `--model vtc_llava_hf` evaluates LLaVA with a part of its visual tokens. See `model`."""

from .plugin import manifest as manifest
