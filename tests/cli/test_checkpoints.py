"""Checkpoints that do not hold together: one line, 2, before weights are read."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .running import Vtc
from .spoiling import (
    CONFIG,
    GENERATION,
    PICTURES,
    TOKENIZER,
    TOWER,
    Change,
    assert_refused,
    both,
    commands,
    key,
    pictures,
    template,
    text,
    vision,
)

BROKEN: list[tuple[str, Change, str]] = [
    (TOWER, vision("num_attention_heads", -4), "vision_config.num_attention_heads must be an integer of at least 1, g"),
    (TOWER, vision("num_attention_heads", 0), "vision_config.num_attention_heads must be an integer of at least 1, go"),
    (TOWER, vision("num_attention_heads", 5), "The hidden size (32) is not a multiple of the number of attention head"),
    (TOWER, vision("image_size", -24), "vision_config.image_size must be an integer of at least 1, got -24"),
    (TOWER, vision("image_size", 0), "vision_config.image_size must be an integer of at least 1, got 0"),
    (TOWER, vision("image_size", 3), "vision_config.image_size must be at least vision_config.patch_size, 4, got 3"),
    (TOWER, both(vision("image_size", 10**6), pictures("crop_size", {"height": 10**6, "width": 10**6})),
     "vision_config.image_size is 1000000, 62500000000 patches of 4 pixels' side, and the weights have 36 positions"),
    (TOWER, vision("image_size", 48), "vision_config.image_size is 48, 144 patches of 4 pixels' side, and the weig"),
    (TOWER, vision("patch_size", 0), "vision_config.patch_size must be an integer of at least 1, got 0"),
    (TOWER, vision("patch_size", 8), "vision_config.patch_size is 8, and the weights have 4"),
    (TOWER, vision("hidden_size", 64), "vision_config.hidden_size is 64, and the weights have 32"),
    (TOWER, vision("intermediate_size", 10**9), "vision_config.intermediate_size is 1000000000, and the weights have "),
    (TOWER, vision("num_hidden_layers", "ten"), "Field 'num_hidden_layers' expected int, got str (value: 'ten')"),
    (TOWER, vision("num_hidden_layers", 10**9), "num_hidden_layers must be an integer in [1, 10000], got 1000000000"),
    (TOWER, vision("num_hidden_layers", 9000), "vision_config.num_hidden_layers is 9000, and the weights have 5 layer"),
    (TOWER, text("num_hidden_layers", 10**9), "text_config.num_hidden_layers must be an integer in [1, 10000], got 10"),
    ("ask", text("num_hidden_layers", 9000), "text_config.num_hidden_layers is 9000, and the weights have 2 layers"),
    ("ask", text("num_attention_heads", -4), "text_config.num_attention_heads must be an integer of at least 1, got -"),
    ("ask", text("head_dim", 10**9), "describes 1024000061312 numbers, and its weights are 69504"),
    ("ask", text("vocab_size", 10**12), "describes 64000000068352 numbers, and its weights are 69504"),
    ("ask", text("vocab_size", 9), "a token of the tokenizer of F must be an id in [0, 8] (text_config.vocab_size is "),
    ("ask", key(CONFIG, "image_token_index", value=99), "image_token_id of the config of F must be an id in [0, 17] ("),
    ("ask", key(CONFIG, "image_token_index", value=-1), "(text_config.vocab_size is 18), got -1"),
    ("ask", key(CONFIG, "image_token_index", value=7), "image_token_id of F is 7 in its config, and its processor wri"),
    ("ask", template("{% for %}"), "the chat template of F fails (TemplateSyntaxError: Expected"),
    ("ask", template("{{ raise_exception('no\nsuch') }}"), "the chat template of F fails (TemplateError: no such)"),
    ("ask", template("{{ 'a' * 10**10 }}"), "the chat template of F fails (MemoryError"),
    ("ask", template("<image>{{ 'a' * 10**7 }}"), "the chat template of F makes more than 1048576 bytes of text"),
    ("ask", template("USER: what ?"), "the chat template of F must write <image> once for one picture, it does so 0 t"),
    ("ask", template("<image><image>"), "the chat template of F must write <image> once for one picture, it does so 2"),
    ("ask", lambda folder: (folder / TOKENIZER).unlink(), "the tokenizer of F has no pad_token: is its tokenizer_conf"),
    (PICTURES, pictures("crop_size", {"height": 20, "width": 20}), "makes 20 x 20 pixels, and vision_config.image_siz"),
    (PICTURES, pictures("crop_size", {"height": 10**6, "width": 24}), "crop_size.height of the image processor of F m"),
    (PICTURES, pictures("size", {"shortest_edge": 10**6}), "image_size, 24, 8192 at most), got 1000000"),
    (PICTURES, pictures("size", {"shortest_edge": -1}), "must be an integer in [1, 192] (8 times vision_config.image_"),
    (PICTURES, pictures("size", {"min_pixels": 10**12, "max_pixels": 10**12}), "min_pixels"),
    (PICTURES, pictures("pad_size", {"height": 10**6, "width": 24}), "pad_size.height of the image processor of F mus"),
    (PICTURES, pictures("image_mean", [0.5, 0.5]), "the image processor of F fails (ValueError: mean must have 3 elem"),
    (PICTURES, pictures("image_std", [0, 0, 0]), "that are not finite, with image_mean (0.48145466, 0.4578275, 0.4082"),
    ("ask", key(GENERATION, "eos_token_id", value="x"), "eos_token_id of the generation config of F must be an id in"),
    ("ask", key(GENERATION, "pad_token_id", value=99), "(text_config.vocab_size is 18), got 99"),
    (TOWER, key(CONFIG, "_attn_implementation", value="some/kernel"), "is code on a hub, which is never fetched nor r"),
]  # fmt: skip


@pytest.mark.usefixtures("photo", "no_weights")
@pytest.mark.parametrize(("names", "change", "message"), BROKEN, ids=[message[:60] for _, _, message in BROKEN])
def test_what_does_not_hold_together(vtc: Vtc, spoilt: Callable[..., Path], names: str, change: Change, message: str):
    spoilt(change)
    for words in commands(Path("F"), names).values():
        assert_refused(vtc(*words), message)
    assert {path.name for path in Path.cwd().iterdir()} == {"F", "photo.jpg"}  # nothing was begun


@pytest.mark.usefixtures("photo", "no_weights")
def test_a_template_that_does_not_end(vtc: Vtc, spoilt: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vtc_cli.limited.SECONDS", 0.5)
    spoilt(template("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}<image>"))
    assert_refused(vtc(*commands(Path("F"), "ask")["ask"]), "the chat template of F takes more than 0.5 seconds")


@pytest.mark.usefixtures("photo")
def test_a_template_is_looked_at_before_questions_are_many(vtc: Vtc, spoilt: Callable[..., Path]):
    spoilt(template("{{ 1/0 }}"))
    assert_refused(vtc(*commands(Path("F"), "tune")["tune"]), "the chat template of F fails (ZeroDivisionError: ")


@pytest.mark.usefixtures("photo")
def test_a_template_that_holds_is_that_of_the_checkpoint(vtc: Vtc, spoilt: Callable[..., Path]):
    spoilt(template("USER: <image> {% for part in messages[0].content %}{{ part.text }}{% endfor %} ASSISTANT:"))
    assert vtc(*commands(Path("F"), "ask")["ask"]).exit_code == 0


@pytest.mark.usefixtures("photo")
def test_answers_are_greedy_whatever_a_checkpoint_says(vtc: Vtc, spoilt: Callable[..., Path]):
    """A beam for each of ten million would be."""
    odd = {"num_beams": 10**7, "num_return_sequences": 9, "output_hidden_states": True, "return_dict_in_generate": True}
    spoilt(*(key(GENERATION, name, value=value) for name, value in odd.items()))
    words = commands(Path("F"), "ask")["ask"]
    assert vtc(*words).stdout.splitlines()[0] == vtc(*words[:-1], spoilt_not(Path("F"))).stdout.splitlines()[0]


def spoilt_not(folder: Path) -> Path:
    """The same with a generation config that says nothing."""
    whole = shutil.copytree(folder, folder.parent / "G")
    (whole / GENERATION).write_text('{"pad_token_id": 0, "eos_token_id": 2}')
    return whole


@pytest.mark.usefixtures("photo", "no_weights")
def test_a_folder_that_may_not_be_read(vtc: Vtc, spoilt: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    spoilt()
    opened = open

    def refuse(file: Any, *rest: Any, **named: Any) -> Any:
        if str(file).endswith(CONFIG):
            raise PermissionError(13, "Permission denied", str(file))
        return opened(file, *rest, **named)

    monkeypatch.setattr("builtins.open", refuse)
    for words in commands(Path("F"), f"{TOWER} tune").values():
        assert_refused(vtc(*words), "Permission denied")


@pytest.mark.usefixtures("photo")
@pytest.mark.parametrize("look", ["is_dir", "is_file"])
def test_a_folder_that_may_not_be_looked_into(
    vtc: Vtc, spoilt: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, look: str
):
    spoilt()
    looked = getattr(Path, look)

    def refuse(path: Path, **more: Any) -> Any:
        if path.name in ("F", CONFIG):
            raise PermissionError(13, "Permission denied", str(path))
        return looked(path, **more)

    monkeypatch.setattr(Path, look, refuse)
    for name, words in commands(Path("F"), "ask show encode export").items():
        option = "MODEL" if name == "export" else "--model"
        assert_refused(vtc(*words), f"vtc: {option} F cannot be read: permission denied\n")


@pytest.mark.usefixtures("photo", "no_weights")
def test_sizes_without_weights_to_hold_them_to(vtc: Vtc, spoilt: Callable[..., Path]):
    huge = pictures("crop_size", {"height": 10**5, "width": 10**5})
    spoilt(vision("image_size", 10**5), huge, lambda folder: (folder / "model.safetensors").unlink())
    for words in commands(Path("F"), PICTURES).values():
        assert_refused(
            vtc(*words), "must be an integer in [1, 8192] (8 times vision_config.image_size, 100000, 8192 at mo"
        )
