"""Scenes: 1 to 4 coloured shapes on cluttered ground, drawn by NumPy from a seed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image

SIDE = 96  # pixels, the whole picture
CELL = 32  # pixels, one cell of the 3 x 3 grid; every object stays inside its own
BLOCK = 16  # pixels, one block of the ground
NOISE = 0.06  # sigma of the pixel noise, in units of the full range

# A scene is a function of its seed. The small seeds, those people type, are held out; training draws from the others.
HELD_OUT_SEEDS = range(1_000_000)
TRAIN_SEEDS = range(1_000_000, 1_000_000_000)

COLORS = {
    "red": (0.90, 0.10, 0.10),
    "green": (0.10, 0.75, 0.15),
    "blue": (0.10, 0.20, 0.95),
    "yellow": (0.95, 0.90, 0.10),
    "purple": (0.60, 0.10, 0.75),
    "cyan": (0.10, 0.85, 0.90),
    "white": (0.97, 0.97, 0.97),
    "black": (0.03, 0.03, 0.03),
}
CELLS = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")

Plane = Float[np.ndarray, "height width"]


def _polygon(x: Plane, y: Plane, corners: int) -> Plane:
    """Regular polygon with circumradius 1, one corner up."""
    normals = np.pi / 2 + (2 * np.arange(corners) + 1) * np.pi / corners
    return np.cos(np.pi / corners) - np.max([np.cos(a) * x - np.sin(a) * y for a in normals], axis=0)


def _star(x: Plane, y: Plane, inner: float = 0.45) -> Plane:
    """Five points; fold the plane into one tenth, where the outline is the line from a tip to an inner corner."""
    fifth = 2 * np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + fifth / 2) % fifth - fifth / 2)
    u, v = np.hypot(x, y) * np.cos(angle), np.hypot(x, y) * np.sin(angle)
    du, dv = inner * np.cos(fifth / 2) - 1, inner * np.sin(fifth / 2)
    return (dv * (1 - u) + du * v) / np.hypot(du, dv)


def _heart(x: Plane, y: Plane) -> Plane:
    """Two discs and the wedge that touches both."""
    lobes = 0.5 - np.hypot(np.abs(x) - 0.45, y + 0.3)
    wedge = np.minimum(0.6346 - 0.7441 * np.abs(x) - 0.668 * y, y + 0.3)
    return np.maximum(lobes, wedge)


def _cross(x: Plane, y: Plane) -> Plane:
    long, short = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
    return np.minimum(0.95 - long, 0.3 - short)


# name -> roughly the signed distance to the outline of the shape with radius 1 (positive inside; y points down)
SHAPES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "circle": lambda x, y: 0.95 - np.hypot(x, y),
    "square": lambda x, y: 0.72 - np.maximum(np.abs(x), np.abs(y)),
    "triangle": lambda x, y: _polygon(x, y, 3),
    "diamond": lambda x, y: (0.6 - 0.6 * np.abs(y) - np.abs(x)) * 0.85,
    "star": _star,
    "cross": _cross,
    "ring": lambda x, y: 0.22 - np.abs(np.hypot(x, y) - 0.75),
    "heart": _heart,
}


@dataclass(frozen=True)
class Object:
    shape: str
    color: str
    cell: int  # 0 to 8, raster order on the 3 x 3 grid
    x: float  # centre, pixels from the left
    y: float  # centre, pixels from the top
    radius: float  # pixels
    turn: float  # radians, clockwise

    @property
    def place(self) -> str:
        return CELLS[self.cell]


@dataclass(frozen=True)
class Scene:
    image: Image.Image  # RGB, 96 x 96
    objects: tuple[Object, ...]  # in raster order of their cells
    seed: int


def scene(seed: int) -> Scene:
    """Draw the scene of this seed: the same picture and objects on every machine."""
    rng = np.random.default_rng(seed)
    objects = _place(rng)
    blocks = SIDE // BLOCK
    ground = rng.uniform(0.25, 0.65, (blocks, blocks, 1)) + rng.uniform(-0.12, 0.12, (blocks, blocks, 3))
    pixels = ground.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)  # (height, width, rgb)
    for thing in objects:
        row, column = divmod(thing.cell, 3)
        window = pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        window += _cover(thing)[..., None] * (np.array(COLORS[thing.color]) - window)
    pixels += rng.normal(0, NOISE, pixels.shape)
    return Scene(Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8)), objects, seed)


def _place(rng: np.random.Generator) -> tuple[Object, ...]:
    count = int(rng.integers(1, 5))
    cells = np.sort(rng.permutation(9)[:count])
    shapes = rng.permutation(list(SHAPES))[:count]
    colors = rng.permutation(list(COLORS))[:count]
    objects = []
    for cell, shape, color in zip(cells, shapes, colors, strict=True):
        radius = rng.uniform(8, 14)
        row, column = divmod(int(cell), 3)
        room = CELL / 2 - 1 - radius  # how far the centre may move before the object leaves its cell
        x, y = (np.array([column, row]) + 0.5) * CELL + rng.uniform(-room, room, 2)
        turn = rng.uniform(-0.25, 0.25)
        objects.append(Object(str(shape), str(color), int(cell), float(x), float(y), float(radius), float(turn)))
    return tuple(objects)


def _cover(thing: Object) -> Plane:
    """How much of each pixel of its cell an object covers, 0 to 1, with an edge one pixel soft."""
    row, column = divmod(thing.cell, 3)
    down, right = np.mgrid[0:CELL, 0:CELL] + 0.5
    x, y = (right + column * CELL - thing.x) / thing.radius, (down + row * CELL - thing.y) / thing.radius
    cos, sin = np.cos(thing.turn), np.sin(thing.turn)
    return np.clip(0.5 + thing.radius * SHAPES[thing.shape](cos * x + sin * y, cos * y - sin * x), 0, 1)


def labels(scene: Scene) -> Bool[np.ndarray, "labels"]:
    """What a caption of the scene would say: its (shape, color), (shape, cell) and (color, cell) pairs."""
    shape_color, shape_cell, color_cell = np.zeros((8, 8), bool), np.zeros((8, 9), bool), np.zeros((8, 9), bool)
    for thing in scene.objects:
        shape, color = list(SHAPES).index(thing.shape), list(COLORS).index(thing.color)
        shape_color[shape, color] = shape_cell[shape, thing.cell] = color_cell[color, thing.cell] = True
    return np.concatenate([shape_color.ravel(), shape_cell.ravel(), color_cell.ravel()])


def patch_labels(scene: Scene, patch: int) -> Int[np.ndarray, "3 tokens"]:
    """Shape, color and cell, by number, of the object that covers a fifth of a patch or more; 9 where there is none."""
    side, per_cell = SIDE // patch, CELL // patch
    found = np.full((3, side, side), 9)
    for thing in scene.objects:
        row, column = divmod(thing.cell, 3)
        share = _cover(thing).reshape(per_cell, patch, per_cell, patch).mean((1, 3))
        window = found[:, row * per_cell : (row + 1) * per_cell, column * per_cell : (column + 1) * per_cell]
        numbers = np.array([list(SHAPES).index(thing.shape), list(COLORS).index(thing.color), thing.cell])
        window[:, share > 0.2] = numbers[:, None]
    return found.reshape(3, side * side)
