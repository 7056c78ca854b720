"""Sprites with known independent factors, drawn when asked for (after dSprites, Matthey et al. 2017)."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch

from vae_cli.data.base import Places, Rows, Source, fraction_split
from vae_cli.errors import ConfigError
from vae_cli.types import Binary, Factor

_SHAPES = ("square", "ellipse", "heart")
_SMALLEST = 0.5  # of the scales, whose largest is 1
_FINE = 5  # points a pixel, in each direction


def shapes(*, size: int, scales: int, orientations: int, positions: int, val: float, test: float) -> Source:
    """0 and 1, [1, size, size]: every combination of shape, scale, orientation, x and y once.

    A pixel is 1 where at least half of it is covered. Sprites move by whole pixels and never leave the picture.

    Args:
        size: pixels a side.
        scales: evenly from half the largest sprite (half the picture across) to all of it.
        orientations: evenly over a whole turn for every shape, as in dSprites, although a square repeats after a
            quarter and an ellipse after a half. Pictures that are equal, as they also are where few pixels do not tell
            two turns apart, stay together in one split.
        positions: in each direction, in even steps, to the right and downwards.
        val, test: fractions for validation and test, by one fixed permutation.

    Raises:
        ConfigError: where a count is not positive, or a picture has no room for so many positions.

    """
    counts = {"scales": scales, "orientations": orientations, "positions": positions}
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"dataset.{name}={count}: at least 1")
    radius = size // 4
    room = size - 2 * radius  # places for the middle of a sprite
    if radius < 4 or positions > room:
        raise ConfigError(
            f"dataset.positions={positions} dataset.size={size}: a picture has 16 pixels a side or more, and {size} "
            f"pixels have room for {max(room, 0)} positions at most"
        )
    step = (room - 1) // max(1, positions - 1)
    first = (room - 1 - step * (positions - 1)) // 2
    places = first + step * np.arange(positions)
    x = np.zeros(
        (len(_SHAPES) * scales * orientations, positions, positions, size, size), np.uint8
    )  # where too many, at once
    sprites = [_sprite(shape, scale, angle, radius) for shape, scale, angle in _kinds(scales, orientations)]
    for place, sprite in zip(x, sprites, strict=True):
        _draw_everywhere(sprite, places, place)
    found = zip(_NAMES, (len(_SHAPES), scales, orientations, positions, positions), strict=True)
    factors = tuple(Factor(name, count) for name, count in found)
    values = np.indices([factor.count for factor in factors]).reshape(len(factors), -1).T
    rows = Rows(torch.from_numpy(x.reshape(-1, 1, size, size)), factors=torch.from_numpy(values.copy()))
    alike = np.unique(np.stack(sprites), axis=0, return_inverse=True)[1]  # the number of each sprite's drawing
    pictures = alike.reshape(-1, 1) * positions**2 + np.arange(positions**2)  # ... and of each picture
    return Source.of(rows, _split(pictures.ravel(), val, test), support=Binary(), factors=factors)


def _split(pictures: np.ndarray, val: float, test: float) -> Places:
    """`fraction_split` of the distinct pictures, each with all rows that show it."""
    distinct = np.unique(pictures)
    train, second, third = (
        torch.from_numpy(np.flatnonzero(np.isin(pictures, distinct[part.numpy()])))
        for part in fraction_split(len(distinct), val, test)
    )
    return train, second, third


_NAMES = ("shape", "scale", "orientation", "x", "y")


def _kinds(scales: int, orientations: int) -> Iterator[tuple[str, float, float]]:
    """Every shape, scale and angle."""
    sizes = np.linspace(1, _SMALLEST, scales)[::-1]
    angles = np.arange(orientations) * 2 * np.pi / orientations
    return product(_SHAPES, sizes, angles)


def _draw_everywhere(sprite: np.ndarray, places: np.ndarray, pictures: np.ndarray) -> None:
    """A sprite [2 R + 1, 2 R + 1] into pictures [len(places) for x, len(places) for y, size, size]."""
    for column, row in product(range(len(places)), repeat=2):
        left, top = places[column], places[row]
        pictures[column, row, top : top + len(sprite), left : left + len(sprite)] = sprite


def _sprite(shape: str, scale: float, angle: float, radius: int) -> np.ndarray:
    """One sprite, its middle in the middle, [2 R + 1, 2 R + 1], uint8."""
    side = 2 * radius + 1
    points = (np.arange(side * _FINE) + 0.5) / _FINE - side / 2  # pixels from the middle
    v, u = np.meshgrid(-points / (radius * scale), points / (radius * scale), indexing="ij")  # v points upwards
    cos, sin = np.cos(angle), np.sin(angle)
    inside = _inside(shape, cos * u + sin * v, cos * v - sin * u)
    covered = inside.reshape(side, _FINE, side, _FINE).mean((1, 3))
    return (covered > 0.5).astype(np.uint8)


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points lie in an upright shape that fits into the unit circle."""
    if shape == "square":
        return np.maximum(abs(u), abs(v)) < np.sqrt(0.5)
    if shape == "ellipse":
        return u**2 + (2 * v) ** 2 < 1
    a, b = _HEART * u, _HEART * v + _HEART_MIDDLE
    return (a**2 + b**2 - 1) ** 3 - a**2 * b**3 < 0


_HEART_MIDDLE = 0.293  # height of the centre of mass of (a^2 + b^2 - 1)^3 < a^2 b^3
_HEART = 1.293  # its furthest point from there
