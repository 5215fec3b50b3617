"""`vtc show`: the file it writes, and that it reads no language model."""

from pathlib import Path

import numpy as np
import pytest
from llava.families import llava_next
from PIL import Image
from safetensors.torch import load_file, save_file
from small_models import make_processor, make_siglip, make_tower
from transformers.models.auto.image_processing_auto import AutoImageProcessor  # 5.16's other name needs torchvision

import vtc_tiny
from vtc_cli.pictures import open_picture
from vtc_llava.showing import as_seen

from .running import Vtc


def test_a_picture_is_written(vtc: Vtc, photo: Path, checkpoint: Path, tmp_path: Path):
    result = vtc("show", photo, "--model", checkpoint, "--keep", 9, "--out", tmp_path / "seen.png")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'seen.png'}: 9 of 36 visual tokens\n"
    with Image.open(tmp_path / "seen.png") as image:
        assert image.format == "PNG"
        assert image.width > 1500
        assert image.height > 500


def test_defaults(vtc: Vtc, photo: Path, checkpoint: Path, tmp_path: Path):
    result = vtc("show", photo, "--model", checkpoint)
    assert result.stdout == "kept.png: 4 of 36 visual tokens (1/9, as --keep is not given)\n"
    assert (tmp_path / "kept.png").is_file()


def test_kept_patches_are_bright_in_the_file(vtc: Vtc, checkpoint: Path, tmp_path: Path):
    """A white picture: what is white between the panels' edges was kept, the rest is dark."""
    Image.new("RGB", (24, 24), "white").save(tmp_path / "white.png")
    bright = {}
    for keep in (9, 36):
        assert vtc("show", "white.png", "--model", checkpoint, "--keep", keep, "--out", "o.png").exit_code == 0
        with Image.open(tmp_path / "o.png") as image:
            panel = np.asarray(image.convert("L"), float)[150:650, 590:1100]  # inside the middle panel
        bright[keep] = (panel > 250).mean()
    assert bright[36] == 1
    assert 0.15 < bright[9] < 0.35  # 9 of 36, and the outline


def test_only_the_tower_is_read(vtc: Vtc, photo: Path, checkpoint: Path, tmp_path: Path):
    folder = tmp_path / "tower-only"
    folder.mkdir()
    for file in checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    tower = {name: tensor for name, tensor in weights.items() if "vision_tower" in name}
    assert 0 < len(tower) < len(weights)
    save_file(tower, folder / "model.safetensors", metadata={"format": "pt"})
    assert vtc("show", photo, "--model", folder).exit_code == 0


def test_a_bare_clip_checkpoint(vtc: Vtc, photo: Path, tmp_path: Path):
    make_tower().save_pretrained(tmp_path / "clip")
    make_processor().image_processor.save_pretrained(tmp_path / "clip")
    result = vtc("show", photo, "--model", tmp_path / "clip", "--keep", 1)
    assert (result.exit_code, result.stdout) == (0, "kept.png: 1 of 36 visual tokens\n")


def test_a_method_for_a_tower_without_cls(vtc: Vtc, photo: Path, tmp_path: Path):
    make_siglip().save_pretrained(tmp_path / "siglip")
    make_processor().image_processor.save_pretrained(tmp_path / "siglip")
    words = ["show", photo, "--model", tmp_path / "siglip", "--keep", 2]
    result = vtc(*words, "--method", "received")
    assert (result.exit_code, result.stdout) == (0, "kept.png: 2 of 36 visual tokens\n")
    refused = vtc(*words)
    assert refused.exit_code == 2
    assert "has no CLS token" in refused.stderr


def test_as_seen_undoes_the_normalisation(checkpoint: Path, photo: Path):
    picture = open_picture(photo).resize((24, 24))  # the processor's own size: nothing is resized or cropped
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"][0].numpy()
    assert (as_seen(pixels, processor) == np.asarray(picture)).all()


def test_all_tiles_of_a_llava_next_without_its_language_model(vtc: Vtc, photo: Path, tmp_path: Path):
    model, processor = llava_next()
    model.save_pretrained(tmp_path / "next")
    processor.image_processor.save_pretrained(tmp_path / "next")
    weights = load_file(tmp_path / "next" / "model.safetensors")
    needed = {name: tensor for name, tensor in weights.items() if "vision_tower" in name or "projector" in name}
    assert 0 < len(needed) < len(weights)
    save_file(needed, tmp_path / "next" / "model.safetensors", metadata={"format": "pt"})
    said = {}
    for words in (["--keep", 5], ["--total", 17], ["--method", "divprune", "--keep", 5], ["--method", "pact"]):
        result = vtc("show", photo, "--model", tmp_path / "next", *words)
        assert result.exit_code == 0, result.output
        said[words[-2]] = result.stdout
    assert said == {
        "--keep": "kept.png: 25 of 166 visual tokens (5 of 36 a tile)\n",
        "--total": "kept.png: 17 of 166 visual tokens (total 17)\n",
        "--method": "kept.png: 20 of 166 visual tokens (4 of 36 a tile)\n",
    }
    refused = vtc("show", photo, "--model", tmp_path / "next", "--keep", 5, "--total", 17)
    assert refused.exit_code == 2
    assert "keep=5 and total=17" in refused.stderr


def test_total_is_refused_for_pictures_of_one_tile(vtc: Vtc, photo: Path, checkpoint: Path):
    result = vtc("show", photo, "--model", checkpoint, "--total", 9)
    assert result.exit_code == 2
    assert "a picture of 'llava' is one tile: pass keep=9" in result.stderr


@pytest.mark.parametrize("out", ["nowhere/kept.png", "kept.jpg"])
def test_a_bad_place_is_refused_before_the_work(vtc: Vtc, out: str):
    result = vtc("show", "no-such.png", "--model", "no-such-model", "--out", out)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"vtc: --out {out}")


def test_the_embedded_model_is_said(vtc: Vtc, tmp_path: Path):
    """Needs the embedded weights."""
    vtc_tiny.scene(0).image.save(tmp_path / "scene.png")
    result = vtc("show", "scene.png")
    assert result.stdout == "kept.png: 16 of 144 visual tokens (1/9, as --keep is not given)\n"
    assert result.stderr.startswith("no --model given: the embedded model")
