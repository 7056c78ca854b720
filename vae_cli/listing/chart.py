"""What a plot of runs shows: points a run, and the mean and deviation of those that differ in the seed alone."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vae_cli.errors import ConfigError
from vae_cli.listing.differing import ALWAYS_SHOWN, differing, grouped, telling
from vae_cli.listing.record import Record, Value
from vae_cli.listing.rows import tags_of
from vae_cli.listing.where import number, ordered, text
from vae_cli.sweeps.results import ranking

_IN_NATS = ("elbo", "reconstruction", "kl", "bound", "loss")
_SPLITS = ("train/", "val/", "test/")
_MOST_LABELS = 20  # that a legend can name
_WIDE = 20  # times as large as the smallest: a logarithmic axis


@dataclass(frozen=True)
class Cluster:
    """Runs of one setting: a point each, and what its colour says."""

    label: str
    x: list[float]
    y: list[float]

    @property
    def centre(self) -> tuple[float, float]:
        """The means."""
        return statistics.fmean(self.x), statistics.fmean(self.y)

    @property
    def deviations(self) -> tuple[float, float]:
        """The standard deviations (n - 1); 0 of a single run."""
        return _deviation(self.x), _deviation(self.y)


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Chart:
    """A plot: lines through clusters of runs."""

    title: str
    x: str  # titles of the axes, with units
    y: str
    legend: str  # what the labels are values of; "" where there is one label alone
    lines: list[list[Cluster]]
    words: Mapping[int, str]  # what stands at places of x that are no numbers
    logarithmic: bool  # x

    @property
    def labels(self) -> list[str]:
        """Of the colours."""
        return list(dict.fromkeys(cluster.label for line in self.lines for cluster in line))

    @property
    def runs(self) -> int:
        """How many have a point."""
        return sum(len(cluster.x) for line in self.lines for cluster in line)


@dataclass(frozen=True)
class Axes:
    """What is asked for: a key on x, a figure on y, and the keys that colours tell."""

    x: str
    y: str
    by: list[str]


def chosen_axes(
    records: Sequence[Record], over: Sequence[str], x: str | None, y: str | None, by: list[str] | None
) -> Axes:
    """What was typed, and what suits the runs where nothing was: reconstruction against KL where beta differs.

    Raises:
        ConfigError: where it takes a word to choose, naming what there is.

    """
    tags = tags_of(records)
    keys = [key for key in [*ALWAYS_SHOWN, *differing(records)] if key not in over]
    told = telling(keys, [], records)
    if x is None and y is None and "beta" in told and {"test/kl", "test/reconstruction"} <= set(tags):
        x, y = "test/kl", "test/reconstruction"
    if x is None:
        x = "beta" if "beta" in told else _only(told)
    if y is None:
        y = "test/reconstruction" if x == "test/kl" else ranking(dict.fromkeys(tags, 0.0))
    if y is None:
        raise ConfigError("plot=: none of these runs has figures of a test yet")
    if y not in tags:
        raise ConfigError(f"y={y}: a figure is needed; these runs have {', '.join(tags) or 'none'}")
    return Axes(x, y, telling(keys, [] if x in tags else [x], records) if by is None else by)


def _only(keys: list[str]) -> str:
    if len(keys) != 1:
        raise ConfigError(f"plot= needs x=<key>: {', '.join(keys) or 'no hyper-parameter'} differ between these runs")
    return keys[0]


def chart(records: Sequence[Record], axes: Axes, over: Sequence[str], title: str) -> Chart:
    """The plot of the runs that have both.

    Raises:
        ConfigError: where none has, or there are more settings than colours to tell apart.

    """
    having = [record for record in records if _is_drawn(record.values.get(axes.x)) and axes.y in record.figures]
    having = [record for record in having if math.isfinite(record.figures[axes.y])]
    if not having:
        raise ConfigError(f"plot=: none of these runs has both {axes.x} and {axes.y}")
    having = ordered(having, [*axes.by, axes.x], lambda record: record.values)
    is_figure = axes.x in tags_of(having)
    words = _words([record.values[axes.x] for record in having])
    lines = _lines(_points(having, axes, words), is_figure)
    labels = {cluster.label for line in lines for cluster in line}
    check_labels(len(labels), axes.by)
    return Chart(
        title=f"{title}{_bars(lines, over)}",
        x=titled(axes.x, having),
        y=titled(axes.y, having),
        legend=", ".join(axes.by) if len(labels) > 1 else "",
        lines=lines,
        words=dict(enumerate(words)),
        logarithmic=not is_figure and not words and _is_wide([x for line in lines for one in line for x in one.x]),
    )


def check_labels(labels: int, by: Sequence[str]) -> None:
    """ConfigError where there are more than a legend can name."""
    if labels > _MOST_LABELS:
        raise ConfigError(f"plot=: {labels} settings of {', '.join(by)}; choose with by=<key>, or where=")


def _is_drawn(value: Value) -> bool:
    """Whether it has a place on an axis: a word has, a number that is not finite has none."""
    found = number(value)
    return value is not None and (found is None or math.isfinite(found))


def _words(values: Sequence[Value]) -> list[str]:
    """Every value, where one of them is no number: they then stand side by side."""
    return [] if all(number(value) is not None for value in values) else list(dict.fromkeys(map(text, values)))


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) >= _WIDE * min(values)


@dataclass(frozen=True)
class _Point:
    """One run."""

    label: str
    x: float
    y: float


def _points(records: Sequence[Record], axes: Axes, words: Sequence[str]) -> list[_Point]:
    found = []
    for record in records:
        label, x = ", ".join(text(record.values.get(key)) for key in axes.by), record.values[axes.x]
        place = number(x)
        where = float(words.index(text(x))) if words or place is None else place
        found.append(_Point(label, where, record.figures[axes.y]))
    return found


def _lines(points: Sequence[_Point], is_figure: bool) -> list[list[Cluster]]:
    """Of a figure on x, one line through the colours in their order; else one for each colour, through the values."""
    coloured = grouped(points, lambda point: point.label)
    if is_figure:
        return [[_cluster(group) for group in coloured.values()]]
    return [[_cluster(group) for group in grouped(line, lambda point: point.x).values()] for line in coloured.values()]


def _cluster(points: Sequence[_Point]) -> Cluster:
    return Cluster(points[0].label, [point.x for point in points], [point.y for point in points])


def _bars(lines: Sequence[Sequence[Cluster]], over: Sequence[str]) -> str:
    """What the bars are, where there are some."""
    several = any(len(cluster.x) > 1 for line in lines for cluster in line)
    return f"\na point a run; bars: mean ± standard deviation over {', '.join(over)}" if several else ""


def titled(key: str, records: Sequence[Record]) -> str:
    """With the unit, where it is known."""
    stem = key.partition("/")[2] if key.startswith(_SPLITS) else key
    if key != stem and (stem in _IN_NATS or stem.startswith(("iwae_", "kl/"))):
        return f"{key} (nats)"
    units = [record.units[key] for record in records if key in record.units]
    return f"{key} ({units[0]})" if units else key
