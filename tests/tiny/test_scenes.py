"""Scenes and questions: deterministic, inside the picture, and every answer true."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

import vtc_tiny
from vtc_tiny.questions import KINDS
from vtc_tiny.scenes import CELLS, COLORS, SHAPES, labels, patch_labels

SCENES = [vtc_tiny.scene(seed) for seed in range(300)]


def test_a_scene_is_a_function_of_its_seed():
    again = vtc_tiny.scene(7)
    assert again.objects == SCENES[7].objects
    assert again.image.tobytes() == SCENES[7].image.tobytes()
    assert vtc_tiny.questions(again) == vtc_tiny.questions(SCENES[7])
    assert SCENES[7].image.tobytes() != SCENES[8].image.tobytes()


def test_pictures_are_rgb_of_96_pixels():
    assert {(s.image.mode, s.image.size) for s in SCENES} == {("RGB", (96, 96))}


def test_objects_differ_and_stay_inside_their_own_cells():
    assert {len(s.objects) for s in SCENES} == {1, 2, 3, 4}
    for scene in SCENES:
        for attribute in ("shape", "color", "cell"):
            assert len({getattr(o, attribute) for o in scene.objects}) == len(scene.objects)
        for o in scene.objects:
            row, column = divmod(o.cell, 3)
            assert 8 <= o.radius <= 14
            assert 32 * column <= o.x - o.radius < o.x + o.radius <= 32 * (column + 1)
            assert 32 * row <= o.y - o.radius < o.y + o.radius <= 32 * (row + 1)


def test_objects_have_their_color_in_the_picture():
    """An independent look at the pixels: near each centre (a ring has none) many are close to the color."""
    for scene in SCENES[:100]:
        pixels = np.asarray(scene.image) / 255
        for o in scene.objects:
            x, y, r = round(o.x), round(o.y), round(o.radius)
            near = pixels[max(0, y - r) : y + r, max(0, x - r) : x + r]
            assert (np.abs(near - COLORS[o.color]).max(-1) < 0.2).mean() > 0.15, o


def test_every_shape_color_and_cell_occurs():
    objects = [o for s in SCENES for o in s.objects]
    assert {o.shape for o in objects} == set(SHAPES)
    assert {o.color for o in objects} == set(COLORS)
    assert {o.place for o in objects} == set(CELLS)


def _answer(scene: vtc_tiny.Scene, text: str) -> str:
    """The answer, worked out from the words of the question alone."""
    words = text.removesuffix(" ?").split()
    matching = [o for o in scene.objects if all(w in (o.shape, o.color) for w in words if w in {*SHAPES, *COLORS})]
    if words[0] == "is":
        return "yes" if matching else "no"
    if words[:2] == ["how", "many"]:
        return str(len(scene.objects))
    (only,) = matching
    if words[0] == "where":
        vertical, horizontal = ("top", "", "bottom")[only.cell // 3], ("left", "", "right")[only.cell % 3]
        return f"{vertical} {horizontal}".strip() or "center"
    return {"color": only.color, "shape": only.shape}[words[1]]


def test_every_answer_is_true():
    for scene in SCENES:
        asked = vtc_tiny.questions(scene)
        assert len(asked) == len({q.text for q in asked}) == 8
        for question in asked:
            assert question.answer == _answer(scene, question.text), question


def test_every_kind_is_asked_and_yes_is_as_frequent_as_no():
    asked = [q for s in SCENES for q in vtc_tiny.questions(s)]
    assert {q.kind for q in asked} == set(KINDS)
    answers = Counter(q.answer for q in asked if q.kind == "exists")
    assert answers["yes"] / (answers["yes"] + answers["no"]) == pytest.approx(0.5, abs=0.05)


def test_near_misses_are_asked():
    """A right color on a wrong shape that the scene shows as well: only binding the two answers it."""
    swapped = 0
    for scene in SCENES:
        for q in vtc_tiny.questions(scene):
            words = q.text.removesuffix(" ?").split()[3:]
            shown = {o.shape for o in scene.objects} | {o.color for o in scene.objects}
            swapped += q.answer == "no" and len(words) == 2 and set(words) <= shown
    assert swapped > 30


def test_training_and_held_out_seeds_are_disjoint():
    assert set(vtc_tiny.HELD_OUT_SEEDS).isdisjoint(vtc_tiny.TRAIN_SEEDS[:10])
    assert vtc_tiny.HELD_OUT_SEEDS.stop <= vtc_tiny.TRAIN_SEEDS.start


def test_labels_state_each_object_three_times():
    for scene in SCENES[:50]:
        assert labels(scene).sum() == 3 * len(scene.objects)


def test_patch_labels_lie_on_the_objects():
    for scene in SCENES[:50]:
        shapes, colors, cells = patch_labels(scene, 8).reshape(3, 12, 12)
        assert ((shapes < 9) == (colors < 9)).all()
        for o in scene.objects:
            row, column = divmod(o.cell, 3)
            cell = np.s_[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert set(np.unique(shapes[cell])) - {9} == {list(SHAPES).index(o.shape)}
            assert set(np.unique(colors[cell])) - {9} == {list(COLORS).index(o.color)}
            assert set(np.unique(cells[cell])) - {9} == {o.cell}


def test_scenes_need_no_framework():
    code = "import sys, vtc_tiny as v; v.questions(v.scene(0)); assert not {'torch', 'transformers'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
