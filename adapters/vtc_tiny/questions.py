"""Questions about a scene and their answers, eight to a picture."""

from dataclasses import dataclass

import numpy as np

from .scenes import COLORS, SHAPES, Object, Scene

KINDS = ("color", "shape", "count", "exists", "where")
PER_SCENE = 8


@dataclass(frozen=True)
class Question:
    text: str
    answer: str
    kind: str  # one of KINDS


def questions(scene: Scene) -> list[Question]:
    """The eight questions of a scene, always the same and no two alike: one count, three of existence (yes and no are
    equally frequent over many scenes), four about its objects."""
    rng = np.random.default_rng((scene.seed, 1))
    asked = [Question("how many objects ?", str(len(scene.objects)), "count")]
    asked += _exists(scene.objects, rng)
    about = [question for thing in scene.objects for question in _about(thing)]
    asked += [about[i] for i in rng.permutation(len(about))[:4]]
    return [asked[i] for i in rng.permutation(PER_SCENE)]


def _about(thing: Object) -> list[Question]:
    """A shape, or a color, names one object: both are distinct within a scene.

    The naming word stands right before the question mark, where a language model of three layers learns to look.
    """
    return [
        Question(f"what color is the {thing.shape} ?", thing.color, "color"),
        Question(f"what shape is {thing.color} ?", thing.shape, "shape"),
        Question(f"where is the {thing.shape} ?", thing.place, "where"),
        Question(f"where is the {thing.color} {thing.shape} ?", thing.place, "where"),
    ]


def _exists(objects: tuple[Object, ...], rng: np.random.Generator) -> list[Question]:
    present = [(o.shape, o.color) for o in objects]
    yes = [noun for o in objects for noun in (f"a {o.color} {o.shape}", f"a {o.shape}", f"anything {o.color}")]
    no = _absent(present, rng)
    many_yes = int(rng.integers(1, 3))  # one or two of three, so half of all answers are yes
    picked = [(yes, "yes", many_yes), (no, "no", 3 - many_yes)]
    return [
        Question(f"is there {nouns[i]} ?", answer, "exists")
        for nouns, answer, many in picked
        for i in rng.permutation(len(nouns))[:many]
    ]


def _absent(present: list[tuple[str, str]], rng: np.random.Generator) -> list[str]:
    """Nouns that the scene does not show, the near misses among them: right color, wrong shape, and the reverse."""
    shape, color = present[rng.integers(len(present))]
    other_shape = str(rng.choice([s for s in SHAPES if s not in {s for s, _ in present}]))
    other_color = str(rng.choice([c for c in COLORS if c not in {c for _, c in present}]))
    nouns = [f"a {color} {other_shape}", f"a {other_color} {shape}", f"a {other_shape}", f"anything {other_color}"]
    swapped = [c for s, c in present if s != shape]  # the color of another object of the scene
    return nouns + [f"a {c} {shape}" for c in swapped]
