"""Learning curves of runs: a logged figure against the optimiser step, read from their TensorBoard event files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vae_cli.errors import ConfigError
from vae_cli.listing.chart import check_labels, titled
from vae_cli.listing.differing import ALWAYS_SHOWN, differing, telling
from vae_cli.listing.record import Record
from vae_cli.listing.where import ordered, text

_USUAL = ("val/elbo", "val/loss")  # the first that some run has
_BEGINNING = 0.05  # of the steps: where curves begin far away, the scale is that of the rest


@dataclass(frozen=True)
class Curve:
    """Of one run."""

    label: str
    steps: list[int]
    values: list[float]


@dataclass(frozen=True)
class Curves:
    """A plot of them."""

    title: str
    y: str  # title of the axis, with the unit
    legend: str  # what the labels are values of; "" where there is one label alone
    curves: list[Curve]

    @property
    def labels(self) -> list[str]:
        """Of the colours."""
        return list(dict.fromkeys(curve.label for curve in self.curves))

    @property
    def limits(self) -> tuple[float, float]:
        """Of y, with room around the values that follow the beginning."""
        last = max(step for curve in self.curves for step in curve.steps)
        pairs = [pair for curve in self.curves for pair in zip(curve.steps, curve.values, strict=True)]
        late = [value for step, value in pairs if step >= _BEGINNING * last]
        low, high = min(late), max(late)
        room = 0.05 * (high - low) or 0.5
        return low - room, high + room


def curves(
    records: Sequence[Record], y: str | None, over: Sequence[str], by: list[str] | None, title: str
) -> tuple[str, Curves]:
    """The figure, and the curves of the runs that have logged it.

    Args:
        y: a tag; None: the ELBO of validation, else its loss.
        over: keys that no colour tells.
        by: keys that colours tell; None: those that differ.

    Raises:
        ConfigError: where none has logged it, or there are more settings than colours to tell apart.

    """
    logged = [logged_scalars(record.place.path) for record in records]
    tags = sorted({tag for found in logged for tag in found})
    y = y or next((tag for tag in _USUAL if tag in tags), None)
    if y is None or y not in tags:
        asked = "plot= x=step" if y is None else f"y={y}"
        raise ConfigError(f"{asked}: none of these runs has logged it; they have {', '.join(tags) or 'nothing yet'}")
    keys = [key for key in [*ALWAYS_SHOWN, *differing(records)] if key not in over]
    by = telling(keys, [], records) if by is None else by
    having = [(record, found[y]) for record, found in zip(records, logged, strict=True) if found.get(y)]
    rows = ordered(having, by, lambda row: row[0].values)
    found = [Curve(_label(record, by), list(points), list(points.values())) for record, points in rows]
    labels = len({curve.label for curve in found})
    check_labels(labels, by)
    return y, Curves(title, titled(y, [record for record, _ in rows]), ", ".join(by) if labels > 1 else "", found)


def logged_scalars(run: Path) -> Mapping[str, Mapping[int, float]]:
    """By tag, step by step, each once: what a run that was continued took back does not count."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 1, "histograms": 1}).Reload()
    return {
        tag: {event.step: event.value for event in events.Scalars(tag) if math.isfinite(event.value)}
        for tag in events.Tags()["scalars"]
    }


def _label(record: Record, by: Sequence[str]) -> str:
    return ", ".join(text(record.values.get(key)) for key in by)
