"""One shot: a coloured shape that moves over a ground, its pictures and its sentence."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

HEIGHT, WIDTH = 240, 320
"""Of a picture, in pixels: neither square nor the size that a network sees."""
RADIUS = (70, 90)
"""Half the size of a shape, in pixels."""
TRAVEL = 120
"""Pixels that a shape moves in one shot."""
JITTER = 20
"""Pixels by which the middle of a shape's way lies off the picture's."""
COLOUR_JITTER, GROUND_JITTER = 6, 6
"""Standard deviation of a colour's red, green and blue between two shots."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 30, 30),
    "yellow": (245, 225, 30),
    "blue": (30, 50, 230),
    "white": (250, 250, 250),
    "black": (5, 5, 5),
    "pink": (250, 110, 190),
}
GROUNDS: dict[str, tuple[int, int, int]] = {
    "grass": (60, 110, 40),
    "sand": (200, 170, 110),
    "bricks": (140, 60, 45),
    "water": (40, 110, 150),
}
MOTIONS: dict[str, str] = {
    "left": "rolls to the left",
    "right": "rolls to the right",
    "up": "rises",
    "down": "falls",
    "grow": "grows",
    "shrink": "shrinks",
    "spin": "turns around",
    "blink": "blinks",
}
"""Motion -> how a sentence says it."""

_ROWS, _COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)


class Shot(NamedTuple):
    """What is seen: a colour of `COLOURS`, a shape of `SHAPES`, a motion of `MOTIONS`, a ground of
    `GROUNDS`."""

    colour: str
    shape: str
    motion: str
    ground: str

    @property
    def sentence(self) -> str:
        """What moves, for instance `a red ball rolls to the left over the grass`."""
        return f"a {self.colour} {self.shape} {MOTIONS[self.motion]} over the {self.ground}"


def draw_shot(rng: np.random.Generator, colour: str, ground: str) -> Shot:
    """A shot of this colour and ground, its shape and its motion drawn."""
    shapes, motions = list(SHAPES), list(MOTIONS)
    shape = shapes[int(rng.integers(len(shapes)))]
    return Shot(colour, shape, motions[int(rng.integers(len(motions)))], ground)


def render(shot: Shot, seconds: float, rate: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The pictures of a shot, uint8 [HEIGHT, WIDTH, 3], RGB; the same generator, the same bytes.

    Args:
        shot: what is seen.
        seconds: its length.
        rate: pictures a second.
        rng: draws size, place, shades and texture.
    """
    ground = _draw_ground(shot.ground, rng)
    colour = np.array(COLOURS[shot.colour]) + rng.normal(0, COLOUR_JITTER, 3)
    radius = rng.uniform(*RADIUS)
    middle = np.array([WIDTH, HEIGHT]) / 2 + rng.uniform(-JITTER, JITTER, 2)
    phase = rng.uniform(0, 1)
    pictures = round(seconds * rate)
    for number in range(pictures):
        place = _place(shot.motion, number / pictures, number / rate, phase)
        picture = ground.copy()
        if place.visible:
            x, y = middle + TRAVEL * np.array([place.right, place.down])
            picture[_covered(shot.shape, x, y, radius * place.size, place.turns)] = colour
        yield picture.clip(0, 255).astype(np.uint8)


# ---- shapes and motions -----------------------------------------------------------------------


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (y < 0.7) & (y > 1.8 * np.abs(x) - 1)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return (np.minimum(x, y) < 0.35) & (np.maximum(x, y) < 1)


SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "ball": lambda x, y: x * x + y * y < 1,
    "box": lambda x, y: np.maximum(np.abs(x), np.abs(y)) < 0.85,
    "triangle": _triangle,
    "cross": _cross,
}
"""Shape -> which points it covers, in units of its radius from its middle, y downwards."""


def _covered(shape: str, x: float, y: float, radius: float, turns: float) -> np.ndarray:
    """The pixels of a shape, bool [HEIGHT, WIDTH]."""
    across, down = (_COLUMNS - x) / radius, (_ROWS - y) / radius
    cosine, sine = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    return SHAPES[shape](cosine * across + sine * down, cosine * down - sine * across)


class Place(NamedTuple):
    """Where a shape is, in units of its way, how large, how far turned, and whether it is seen."""

    right: float = 0.0
    down: float = 0.0
    size: float = 1.0
    turns: float = 0.0
    visible: bool = True


def _place(motion: str, share: float, seconds: float, phase: float) -> Place:
    """A shape's place after a share of its shot, 0 to 1, or after so many seconds."""
    way = share - 0.5
    if motion in ("left", "right"):
        way = way if motion == "right" else -way
        return Place(right=way, turns=way)
    if motion in ("up", "down"):
        return Place(down=way if motion == "down" else -way)
    if motion in ("grow", "shrink"):
        return Place(size=1 + (way if motion == "grow" else -way))
    if motion == "spin":
        return Place(turns=phase + seconds)
    return Place(visible=(4 * seconds + phase) % 1 < 0.5)


# ---- grounds ----------------------------------------------------------------------------------


def _draw_ground(name: str, rng: np.random.Generator) -> np.ndarray:
    """The ground without anything on it, float32 [HEIGHT, WIDTH, 3]."""
    colour = np.array(GROUNDS[name]) + rng.normal(0, GROUND_JITTER, 3)
    return (colour + TEXTURES[name](rng)[..., None]).astype(np.float32)


def _grain(rng: np.random.Generator, height: int, width: int, strength: float) -> np.ndarray:
    """Patches of so many pixels, each a little lighter or darker, [HEIGHT, WIDTH]."""
    patches = rng.normal(0, strength, (HEIGHT // height, WIDTH // width))
    return np.kron(patches, np.ones((height, width)))


def _bricks(rng: np.random.Generator) -> np.ndarray:
    shift = rng.uniform(0, 40)
    odd = (_ROWS // 20) % 2
    mortar = (_ROWS % 20 < 3) | ((_COLUMNS + 20 * odd + shift) % 40 < 3)
    return 70.0 * mortar


def _waves(rng: np.random.Generator) -> np.ndarray:
    shift = rng.uniform(0, 2 * np.pi)
    return 25 * np.sin(_ROWS / 5 + 2 * np.sin(_COLUMNS / 30 + shift) + shift)


TEXTURES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "grass": lambda rng: _grain(rng, 8, 2, 22),
    "sand": lambda rng: _grain(rng, 2, 2, 14),
    "bricks": _bricks,
    "water": _waves,
}
"""Ground -> what is added to its colour, [HEIGHT, WIDTH]."""
