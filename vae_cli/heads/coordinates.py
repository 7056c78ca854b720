"""The shape of features that give each coordinate several numbers."""

from torch import Size


def per_coordinate(number: int, shape: Size) -> Size:
    """That many values for every coordinate, along the first axis, where convolutions have their channels."""
    return Size((number * shape[0], *shape[1:]))
