"""Matplotlib as we draw with it: on a canvas of its own, without display, window or settings of the user's."""

from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vae_cli.telling import clean

DOTS = 150  # an inch: words are read in a small card too


@contextmanager
def own_style() -> Iterator[None]:
    """Matplotlib's own style while something is drawn."""
    with style.context("default"):
        yield


def as_written(words: str) -> str:
    """Lines of words that Matplotlib takes for no formula, whatever is in them."""
    return "\n".join(map(clean, words.split("\n"))).replace("$", r"\$")


def blank(inches: tuple[float, float], title: str) -> tuple[Figure, Axes]:
    """Axes on a light grid under a small title."""
    figure = Figure(inches, dpi=DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(as_written(title), fontsize=9)
    axes.set_axisbelow(True)
    axes.grid(color="0.93")
    return figure, axes
