"""The `vtc` command: prune a LLaVA from the command line, and look at what was kept."""

from .app import main as main
