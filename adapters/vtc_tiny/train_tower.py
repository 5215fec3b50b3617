"""Stage 1: the tower learns to see.

Its [CLS] token names what a caption of the scene would say, and each patch token of the feature layer names the object
it lies on. The second task is dense, so it is learned early, and spares the first a long plateau.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from tqdm import tqdm
from transformers import CLIPVisionModel

from .checkpoint import PATCH, VISION
from .scenes import HELD_OUT_SEEDS, TRAIN_SEEDS, Scene, labels, patch_labels, scene
from .stream import batches, pixel_values

POSITIVE = 8.0  # weight of a label that is true: they are few
GROUND = 0.2  # weight of a patch without an object: they are many


class Captioner(nn.Module):
    """A CLIP tower, a head on its pooled [CLS] token (one logit per fact that a caption may state) and one on its
    patch tokens (shape, color and cell of the object there, or none)."""

    def __init__(self):
        super().__init__()
        self.tower = CLIPVisionModel(VISION)
        self.caption = nn.Linear(VISION.hidden_size, len(labels(scene(0))))
        self.patches = nn.Linear(VISION.hidden_size, 3 * 10)

    def forward(
        self, pixels: Float[torch.Tensor, "batch 3 height width"]
    ) -> tuple[Float[torch.Tensor, "batch labels"], Float[torch.Tensor, "batch 10 3 tokens"]]:
        seen = self.tower(pixels, output_hidden_states=True)
        patches = self.patches(seen.hidden_states[-2][:, 1:])
        return self.caption(seen.pooler_output), patches.unflatten(-1, (3, 10)).permute(0, 3, 2, 1)


def _collate(scenes: list[Scene]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    facts = torch.from_numpy(np.stack([labels(s) for s in scenes])).float()
    return pixel_values(scenes), facts, torch.from_numpy(np.stack([patch_labels(s, PATCH) for s in scenes]))


@torch.no_grad()
def held_out(model: Captioner, pictures: int = 256) -> dict[str, float]:
    """Recall and precision of the facts at logit 0; how many patches on an object name its shape, color, cell."""
    pixels, true, named = _collate([scene(seed) for seed in HELD_OUT_SEEDS[-pictures:]])
    logits, patches = model(pixels)
    said, on_object = logits > 0, named[:, 0] < 9
    right = (said & (true > 0)).sum()
    shape, color, cell = (patches.argmax(1) == named).transpose(0, 1)[:, on_object].float().mean(1).tolist()
    recall, precision = (right / true.sum()).item(), (right / said.sum().clamp(min=1)).item()
    return {"recall": recall, "precision": precision, "patch shape": shape, "patch color": color, "patch cell": cell}


def train_tower(path: Path, steps: int, batch: int, rate: float = 1e-3) -> None:
    """Train for `steps` batches and write the state of a Captioner to `path`."""
    torch.manual_seed(0)
    model = Captioner()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    positive, classes = torch.tensor(POSITIVE), torch.tensor([1.0] * 9 + [GROUND])
    bar = tqdm(batches(TRAIN_SEEDS[: steps * batch], batch, _collate), "tower", steps, mininterval=10)
    for step, (pixels, true, named) in enumerate(bar, 1):
        facts, patches = model(pixels)
        loss = binary_cross_entropy_with_logits(facts, true, pos_weight=positive)
        loss = loss + 0.5 * cross_entropy(patches, named, weight=classes)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0 or step == steps:
            shares = ", ".join(f"{name} {share:.3f}" for name, share in held_out(model).items())
            bar.write(f"tower step {step}: loss {loss:.4f}, held-out {shares}")
            torch.save(model.state_dict(), path)
