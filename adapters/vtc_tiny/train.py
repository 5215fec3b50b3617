"""python -m vtc_tiny.train --out FOLDER: rebuild the shipped checkpoint on a CPU.

Two stages; the first leaves FOLDER.tower.pt beside the folder, and a later run with the same --out starts from there.
"""

import argparse
from pathlib import Path

import torch

from .checkpoint import build, save
from .train_answers import train_answers
from .train_tower import Captioner, train_tower


def train(out: Path, tower_steps: int, answer_steps: int, batch: int) -> None:
    """Draw, train both stages, and write the checkpoint folder `out`."""
    tower = out.with_name(out.name + ".tower.pt")
    tower.parent.mkdir(parents=True, exist_ok=True)
    if not tower.exists():
        train_tower(tower, tower_steps, batch)
    captioner = Captioner()
    captioner.load_state_dict(torch.load(tower))
    torch.manual_seed(2)
    model = build()
    model.model.vision_tower.load_state_dict(captioner.tower.state_dict())
    train_answers(model, answer_steps, batch)
    save(model, out)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m vtc_tiny.train", description="Rebuild the shipped checkpoint on a CPU."
    )
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint folder to write")
    parser.add_argument("--tower-steps", type=int, default=5000, help="batches of stage 1 (default: %(default)s)")
    parser.add_argument("--answer-steps", type=int, default=5000, help="batches of stage 2 (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="pictures per step (default: %(default)s)")
    options = parser.parse_args()
    train(options.out, options.tower_steps, options.answer_steps, options.batch)


if __name__ == "__main__":
    main()
