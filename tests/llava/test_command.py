"""`vtc ask` with a checkpoint whose pictures have several tiles: what it says was spent."""

import pytest
from small_models import picture
from typer.testing import CliRunner

from vtc_cli.app import app

from .families import llava_next, vipllava


@pytest.mark.parametrize(
    ("make", "spent"),
    [(llava_next, "15 of 114 visual tokens (5 of 36 a tile)"), (vipllava, "5 of 36 visual tokens")],
)
def test_ask(make, spent, tmp_path):
    for part in make():
        part.save_pretrained(tmp_path)
    picture(0, 48, 24).save(tmp_path / "photo.png")
    words = ["ask", tmp_path / "photo.png", "what color ?", "--model", tmp_path, "--keep", "5", "--max-new-tokens", "2"]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1] == spent
