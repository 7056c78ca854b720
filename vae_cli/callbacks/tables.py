"""Pictures of examples that are rows of numbers: pairs of columns, true beside drawn, and errors by column.

Shape legend: N examples, D columns.
"""

from itertools import combinations

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from vae_cli.canvas import own_style, panels, pixels

_MOST_PAIRS = 4
_MOST_COMPARED = 100  # columns, of largest variance
_PANEL, _BARS = (2.9, 2.3), (6.4, 3.0)  # inches
_MOST_NAMED = 50  # columns; of more the bars alone
_BLUE, _ORANGE = (0.12, 0.47, 0.71, 1.0), (1.0, 0.5, 0.05, 1.0)


def pairs_of_columns(true: Tensor, drawn: Tensor) -> Tensor:
    """The pairs of columns that depend most on each other, of examples and of draws [N, D] -> picture [3, H, W]."""
    x, made = true.double().cpu().numpy(), drawn.double().cpu().numpy()
    chosen = most_correlated(x)
    title = f"left, blue: {len(x)} examples; right, orange: {len(made)} draws from the model"
    with own_style():
        across = min(2, len(chosen))
        figure, axes = panels(-(-len(chosen) // across), 2 * across, _PANEL, title)
        for number, pair in enumerate(chosen):
            beside = axes[2 * number : 2 * number + 2]
            for one, values, colour in zip(beside, (x, made), (_BLUE, _ORANGE), strict=True):
                _draw(one, values[:, pair], pair, colour)
            _share_limits(beside)
        for one in axes[2 * len(chosen) :]:
            one.set_visible(False)
        return _picture(pixels(figure))


def errors_by_column(true: Tensor, made: Tensor) -> Tensor:
    """How far reconstructions [N, D] lie from the examples, column by column -> picture [3, H, W], uint8."""
    x, found = true.double().cpu().numpy(), made.double().cpu().numpy()
    errors = relative_errors(x, found)
    with own_style():
        title = (
            f"root mean square errors of the reconstructions of {len(x)} examples, over the standard deviation of each "
            "column: 0 is perfect, 1 no better than its mean"
        )
        figure, (axes,) = panels(1, 1, _BARS, title)
        axes.bar(np.arange(len(errors)), errors, width=0.8, color=_BLUE)
        axes.axhline(1, color="0.45", linestyle="--", linewidth=1)
        axes.set_xlabel("column")
        axes.set_ylabel("error / standard deviation")
        if len(errors) <= _MOST_NAMED:
            axes.set_xticks(np.arange(len(errors)))
            axes.tick_params("x", labelsize=6 if len(errors) > _MOST_NAMED // 2 else 8)
        return _picture(pixels(figure))


def most_correlated(x: np.ndarray) -> list[list[int]]:
    """Pairs of columns of [N, D], the largest |correlation| first, no column twice; a single column alone."""
    if x.shape[1] == 1:
        return [[0]]
    varying = np.argsort(-x.var(0), kind="stable")[:_MOST_COMPARED]
    scale = x[:, varying].std(0)
    scaled = (x[:, varying] - x[:, varying].mean(0)) / np.where(scale > 0, scale, 1)
    strength = abs(scaled.T @ scaled)
    pairs = sorted(combinations(range(len(varying)), 2), key=lambda pair: -strength[pair])
    chosen: list[list[int]] = []
    for i, j in pairs:
        columns = sorted([int(varying[i]), int(varying[j])])
        if not any(column in pair for pair in chosen for column in columns):
            chosen.append(columns)
    return chosen[:_MOST_PAIRS]


def relative_errors(x: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Root mean square of made - x over the standard deviation of x, [D]; of a constant column the former itself."""
    deviation = x.std(0)
    return np.sqrt(((made - x) ** 2).mean(0)) / np.where(deviation > 0, deviation, 1)


def _draw(axes: Axes, values: np.ndarray, columns: list[int], colour: tuple[float, float, float, float]) -> None:
    """A cloud of two columns, or a histogram of one."""
    axes.set_xlabel(f"column {columns[0]}")
    if len(columns) == 1:
        axes.hist(values[:, 0], bins=40, color=colour)
        return
    axes.set_ylabel(f"column {columns[1]}")
    size = float(np.clip(3000 / len(values), 3, 20))
    axes.scatter(*values.T, s=size, color=colour, alpha=0.6, linewidths=0)


def _share_limits(beside: list[Axes]) -> None:
    """Both on the same scale, wide enough for both."""
    across, up = ([one.get_xlim() for one in beside], [one.get_ylim() for one in beside])
    for one in beside:
        one.set_xlim(min(low for low, _ in across), max(high for _, high in across))
        one.set_ylim(min(low for low, _ in up), max(high for _, high in up))


def _picture(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).permute(2, 0, 1)
