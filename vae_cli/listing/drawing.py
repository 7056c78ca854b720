"""Charts and learning curves of runs, drawn."""

import textwrap
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from vae_cli.canvas import as_written, blank, own_style
from vae_cli.files import replacing
from vae_cli.listing.chart import Chart, Cluster
from vae_cli.listing.curves import Curves
from vae_cli.listing.where import number, text

_INCHES = (6.0, 4.2)  # 900 x 630 pixels, without what a legend takes
_LETTERS = 12  # of a legend to an inch
_LINE = 32  # letters of a legend on one line
_MOST_HUES = 10  # that have no order; more labels take a scale
_LIGHTEST = 0.9  # of that scale, which ends in a yellow that is hard to see on white
_MOST_TICKS = 10  # one at every value of x

Colour = tuple[float, float, float, float]


def save_figure(shown: Chart | Curves, path: Path) -> None:
    """As PNG."""
    with own_style(), replacing(path) as file:
        figure = figure_of(shown) if isinstance(shown, Chart) else figure_of_curves(shown)
        figure.savefig(file, format="png")


def figure_of_curves(shown: Curves) -> Figure:
    """A line a run."""
    colours = _palette(shown.labels)
    figure, axes = _page(shown.title, shown.legend, colours)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel(as_written(shown.y))
    for curve in shown.curves:
        lone = "." if len(curve.steps) == 1 else None
        axes.plot(curve.steps, curve.values, color=colours[curve.label], linewidth=1.2, alpha=0.85, marker=lone)
    axes.set_ylim(*shown.limits)
    return figure


def _page(title: str, legend: str, colours: dict[str, Colour]) -> tuple[Figure, Axes]:
    """As wide as the axes and a legend beside them need; every word of the title and the legend is there."""
    names = [_wrapped(name) for name in colours] if legend else []
    heading = _wrapped(legend)
    longest = max((len(line) for words in (heading, *names) for line in words.splitlines()), default=0)
    room = 0.5 + longest / _LETTERS if names else 0.0
    figure, axes = blank((_INCHES[0] + room, _INCHES[1]), title)
    if names:
        marks = [Line2D([], [], color=colour, marker="o", linestyle="") for colour in colours.values()]
        figure.legend(marks, names, title=heading, loc="outside right upper", frameon=False)
    return figure, axes


def _wrapped(words: str) -> str:
    return as_written("\n".join(textwrap.wrap(words, _LINE)))


def figure_of(chart: Chart) -> Figure:
    """The figure: a point a run, means with bars, lines through the means."""
    colours = _palette(chart.labels)
    figure, axes = _page(chart.title, chart.legend, colours)
    axes.set_xlabel(as_written(chart.x))
    axes.set_ylabel(as_written(chart.y))
    for line in chart.lines:
        if not chart.words:  # which have no order
            _connect(axes, line, colours)
        for cluster in line:
            _draw_cluster(axes, cluster, colours[cluster.label])
    _mark_x(axes, chart)
    return figure


def _connect(axes: Axes, line: list[Cluster], colours: dict[str, Colour]) -> None:
    """A thin line through the means, grey where it leads from colour to colour."""
    shades = {colours[cluster.label] for cluster in line}
    colour = shades.pop() if len(shades) == 1 else "0.75"
    axes.plot(*zip(*(cluster.centre for cluster in line), strict=True), color=colour, linewidth=1, zorder=1)


def _draw_cluster(axes: Axes, cluster: Cluster, colour: Colour) -> None:
    """A point a run; of several, their mean with bars."""
    axes.scatter(cluster.x, cluster.y, s=22, color=colour, alpha=0.55, linewidths=0)
    if len(cluster.x) > 1:
        (x, y), (over_x, over_y) = cluster.centre, cluster.deviations
        axes.errorbar(x, y, over_y, over_x or None, color=colour, capsize=3, linewidth=1.4, marker="_")


def _palette(labels: list[str]) -> dict[str, Colour]:
    """A colour for every label: numbers from dark to light, names far apart where they are few."""
    if any(number(label) is None for label in labels) and len(labels) <= _MOST_HUES:
        return dict(zip(labels, map(matplotlib.colormaps["tab10"], range(_MOST_HUES)), strict=False))
    scale, last = matplotlib.colormaps["viridis"], max(1, len(labels) - 1)
    return {label: scale(_LIGHTEST * i / last) for i, label in enumerate(labels)}


def _mark_x(axes: Axes, chart: Chart) -> None:
    """Words, or the values themselves where they are few, of a hyper-parameter."""
    if chart.words:
        axes.set_xticks(list(chart.words), list(map(as_written, chart.words.values())))
    if chart.logarithmic:
        axes.set_xscale("log")
        values = sorted({x for line in chart.lines for cluster in line for x in cluster.x})
        if len(values) <= _MOST_TICKS:
            axes.xaxis.set_major_locator(FixedLocator(values))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda value, _: text(value))
