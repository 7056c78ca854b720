"""Tables of runs: means over some of them, as CSV and as Markdown."""

import csv
import io
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vae_cli.telling import clean

Table = list[dict[str, Any]]  # rows of the same columns


def means(group: Sequence[Mapping[str, float]], tags: Sequence[str]) -> dict[str, float | None]:
    """The mean and the standard deviation (n - 1) of every figure, over those of the group that have it."""
    row: dict[str, float | None] = {}
    for tag in tags:
        values = [figures[tag] for figures in group if tag in figures]
        row[tag] = statistics.fmean(values) if values else None
        row[f"{tag} sd"] = _deviation(values)
    return row


def _deviation(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def tally(states: Sequence[str]) -> str:
    """How many are in which state."""
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def csv_lines(table: Table) -> list[str]:
    """With a header; none where there is no row.

    Words that a spreadsheet would compute (`=cmd|...`) begin with an apostrophe, which it does not show.
    """
    if not table:
        return []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(map(_inert, row) for row in [list(table[0]), *(row.values() for row in table)])
    return text.getvalue().splitlines()


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    words = clean(cell)
    return f"'{words}" if words.startswith(_FORMULAS) and not _is_number(words) else words


_FORMULAS = ("=", "+", "-", "@")


def _is_number(words: str) -> bool:
    try:
        float(words)
    except ValueError:
        return False
    return True


def with_deviations(row: Mapping[str, Any]) -> dict[str, Any]:
    """A mean and its deviation in one cell."""
    cells = {}
    for key, value in row.items():
        deviation = row.get(f"{key} sd")
        if not key.endswith(" sd"):
            cells[key] = cell(value) if deviation is None else f"{cell(value)} ± {cell(deviation)}"
    return cells


def markdown_rows(table: Table) -> Iterator[str]:
    """The lines of a table."""
    if not table:
        return
    yield f"| {' | '.join(map(_escaped, table[0]))} |"
    yield f"|{' --- |' * len(table[0])}"
    for row in table:
        yield f"| {' | '.join(_escaped(cell(value)) for value in row.values())} |"


def _escaped(text: str) -> str:
    """As Markdown shows it: no more columns, no HTML, no links."""
    return clean(text).replace("|", "\\|").replace("<", "&lt;").replace("](", "]\\(")


def cell(value: Any) -> str:
    """To be read: a figure with three decimals, words on one line."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else str(value)
    return " ".join(str(value).split())
