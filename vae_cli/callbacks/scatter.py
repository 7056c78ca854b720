"""Points of a latent space on a plane, coloured by label; or on a line, as a histogram."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from vae_cli.canvas import as_written, blank, own_style, pixels

Colour = tuple[float, float, float, float]

_INCHES = (4.8, 4.0)  # 720 x 600 pixels
_GREY: Colour = (0.6, 0.6, 0.6, 1.0)
_BLUE: Colour = (0.12, 0.47, 0.71, 1.0)
_MOST_NAMED, _FIT = 20, 12  # labels that a legend can name, and those that it can name in large letters
_LONGEST = 12  # letters of a name in a legend
_BINS = 40


@dataclass(frozen=True)
class Cloud:
    """Points [N, 1] or [N, 2], the titles of their axes, and their labels [N], -1 where one is hidden."""

    points: np.ndarray
    axes: list[str]
    labels: np.ndarray | None
    standard_prior: bool  # whether the prior of both coordinates is N(0, 1)
    class_names: Sequence[str] = ()  # by label; (): their numbers

    def named(self, label: int) -> str:
        """For a legend."""
        return self.class_names[label] if self.class_names else str(label)


def scatter(cloud: Cloud) -> Tensor:
    """The picture, [3, H, W], uint8."""
    with own_style():
        return _drawn(cloud)


def _drawn(cloud: Cloud) -> Tensor:
    title = f"means of q(z | x) for {len(cloud.points)} validation examples{_prior(cloud)}"
    figure, axes = blank(_INCHES, title)
    axes.set_xlabel(as_written(cloud.axes[0]))
    if len(cloud.axes) == 1:
        _line(axes, cloud)
    else:
        axes.set_ylabel(as_written(cloud.axes[1]))
        _plane(axes, cloud)
    _say_colours(figure, cloud)
    return torch.from_numpy(pixels(figure)).permute(2, 0, 1)


def _prior(cloud: Cloud) -> str:
    """What the dashes are."""
    if not cloud.standard_prior:
        return ""
    return "\ndashed: the prior" + (", 1 and 2 standard deviations" if len(cloud.axes) == 2 else "")


def _plane(axes: Axes, cloud: Cloud) -> None:
    """Both axes of one scale; rings at one and two standard deviations of a standard normal prior."""
    for radius in (1, 2) if cloud.standard_prior else ():
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor="0.7", linestyle="--"))
    size = float(np.clip(8000 / len(cloud.points), 8, 40))
    axes.scatter(*cloud.points.T, s=size, c=_colours(cloud.labels, len(cloud.points)), linewidths=0, alpha=0.85)
    axes.set_aspect("equal", adjustable="datalim")


def _line(axes: Axes, cloud: Cloud) -> None:
    """A histogram, one class upon another; the prior's where it is standard normal."""
    values = cloud.points[:, 0]
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, _BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    palette = {} if cloud.labels is None or len(_palette(cloud.labels)) > _MOST_NAMED else _palette(cloud.labels)
    groups = [values[cloud.labels == label] for label in palette] or [values]
    axes.hist(groups, edges.tolist(), stacked=True, color=list(palette.values()) or [_BLUE])
    axes.set_ylabel("examples a bin")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if cloud.standard_prior:
        z = np.linspace(-3, 3, 200)
        density = len(values) * (edges[1] - edges[0]) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        axes.plot(z, density, color="0.45", linestyle="--")


def _palette(labels: np.ndarray) -> dict[int, Colour]:
    """A colour for every label, grey where it is hidden: of many labels, some share one."""
    found = [int(label) for label in np.unique(labels) if label >= 0]
    colours = matplotlib.colormaps["tab10" if max(found, default=0) < 10 else "tab20"]
    hidden = {-1: _GREY} if (labels < 0).any() else {}
    return {**{label: colours(label % colours.N) for label in found}, **hidden}


def _colours(labels: np.ndarray | None, points: int) -> np.ndarray:
    """Of every point, [N, 4]."""
    if labels is None:
        return np.tile(_BLUE, (points, 1))
    palette = _palette(labels)
    return np.array([palette[max(int(label), -1)] for label in labels])


def _say_colours(figure: Figure, cloud: Cloud) -> None:
    """A legend of the labels, in columns that the picture has room for; of too many, how many there are."""
    if cloud.labels is None:
        return
    palette = _palette(cloud.labels)
    many = len(palette) > _MOST_NAMED
    marks = [Line2D([], [], color=colour, marker="o", linestyle="") for colour in palette.values()]
    names = ["none" if label < 0 else _short(cloud.named(label)) for label in palette]
    title = f"{len(palette)} labels,\nnot in order;\n20 colours" if many else "label"
    figure.legend(
        [] if many else marks,
        [] if many else names,
        title=title,
        loc="outside right upper",
        frameon=False,
        handletextpad=0.1,
        labelspacing=0.25,
        fontsize="medium" if len(names) <= _FIT else "small",
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
