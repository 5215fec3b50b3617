"""How much of what float32 keeps does an int8 file keep? Of random, scaled and trained weights. A minute.

    python benchmarks/int8.py

Random weights add little to the embeddings, so that hardly anything depends on them: linear layers times 8 are the
other extreme; the embedded model is trained.
"""

import tempfile
from pathlib import Path

import torch
from results import write_section
from torch import nn

import vtc_onnx
import vtc_tiny
from vtc_bench import costs, onnx_encoder, torch_encoder
from vtc_core.methods import VtcCls
from vtc_torch import PrunedEncoder

GEOMETRY, SCALE = "vit-b-224", 8


def random_tower(scale: float) -> PrunedEncoder:
    g = costs.GEOMETRIES[GEOMETRY]
    tower = torch_encoder.tower(g, "eager")
    with torch.no_grad():
        for module in tower.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(scale)
    return torch_encoder.pruned(tower, round(g.tokens / 9), VtcCls())


def main() -> None:
    sources = {
        f"{GEOMETRY}, random": random_tower(1),
        f"{GEOMETRY}, random, linear layers times {SCALE}": random_tower(SCALE),
        "the embedded model, trained": PrunedEncoder.from_pretrained(str(vtc_tiny.PATH), keep=16),
    }
    rows = ["| weights | kept as in float32 | cosine of features at the same tokens |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources.items():
            report = vtc_onnx.export(source, Path(folder, "int8.onnx"), quantize="int8", overwrite=True)
            rows.append(f"| {name} | {report.overlap:.1%} | {report.cosine:.4f} |")
    note = "One token in nine kept, K=3; weights in 8 bits by output channel, activations in 8 bits as they come."
    body = "\n".join([*rows, "", note])
    print(body)
    write_section("What int8 keeps", "python benchmarks/int8.py", body, onnx_encoder.PACKAGES)


if __name__ == "__main__":
    main()
