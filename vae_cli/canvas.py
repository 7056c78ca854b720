"""Matplotlib as we draw with it: on a canvas of its own, without display, window or settings of the user's."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vae_cli.telling import clean

DOTS = 150  # an inch: words are read in a small card too
_TITLE = 9  # points
_LETTERS = 14  # of a title to an inch, about


@contextmanager
def own_style() -> Iterator[None]:
    """Matplotlib's own style while something is drawn."""
    with style.context("default"):
        yield


def as_written(words: str) -> str:
    """Lines of words that Matplotlib takes for no formula, whatever is in them."""
    return "\n".join(map(clean, words.split("\n"))).replace("$", r"\$")


def blank(inches: tuple[float, float], title: str) -> tuple[Figure, Axes]:
    """Axes on a light grid under a small title, which is wrapped."""
    figure, (axes,) = panels(1, 1, inches, title)
    return figure, axes


def panels(rows: int, columns: int, inches: tuple[float, float], title: str) -> tuple[Figure, list[Axes]]:
    """Several on a page, row by row; inches: of each."""
    width = inches[0] * columns
    figure = Figure((width, inches[1] * rows), dpi=DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    wrapped = [line for part in title.splitlines() for line in textwrap.wrap(part, int(_LETTERS * width))]
    figure.suptitle(as_written("\n".join(wrapped)), fontsize=_TITLE)
    found = [figure.add_subplot(rows, columns, number + 1) for number in range(rows * columns)]
    for axes in found:
        axes.set_axisbelow(True)
        axes.grid(color="0.93")
    return figure, found


def pixels(figure: Figure) -> np.ndarray:
    """What it looks like, [H, W, 3], uint8."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
