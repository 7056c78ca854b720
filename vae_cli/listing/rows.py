"""Runs as the rows of a table: one a run, or one for those that differ in the seed alone."""

from collections.abc import Iterable, Sequence
from typing import Any

from vae_cli.listing.differing import ALWAYS_SHOWN, groups
from vae_cli.listing.record import Record
from vae_cli.listing.where import matches, text
from vae_cli.sweeps.table import Table, cell, means, tally, with_deviations
from vae_cli.telling import clean

_SHOWN = ("test/iwae_*", "test/elbo", "test/reconstruction", "test/kl", "test/bits_per_dimension")


def default_tags(records: Sequence[Record]) -> list[str]:
    """The figures that a run ends with, as far as there are some."""
    return [tag for pattern in _SHOWN for tag in matching(pattern, tags_of(records))]


def tags_of(records: Iterable[Record]) -> list[str]:
    """Of every figure."""
    return list(dict.fromkeys(tag for record in records for tag in record.figures))


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The name itself, or all those of a pattern with `*`."""
    return [name for name in names if matches(pattern, name)]


def default_columns(records: Sequence[Record], keys: Sequence[str], tags: Sequence[str]) -> list[str]:
    """Of a table of runs."""
    reasons = ["reason"] if any(record.reason for record in records) else []
    return ["run", "status", *ALWAYS_SHOWN, *keys, *tags, *reasons]


def run_table(records: Sequence[Record], columns: Sequence[str]) -> Table:
    """A row a run."""
    return [{column: record.values.get(column) for column in columns} for record in records]


def group_table(records: Sequence[Record], over: Sequence[str], keys: Sequence[str], tags: Sequence[str]) -> Table:
    """A row for every setting, over the keys `over`: how many runs of which status, n with figures, mean and sd."""
    return [
        {
            **{key: group[0].values.get(key) for key in (*ALWAYS_SHOWN, *keys)},
            "status": tally([record.state for record in group]),
            "n": sum(1 for record in group if record.figures),
            **means([record.figures for record in group], tags),
        }
        for group in groups(records, over)
    ]


def readable(table: Table, tags: Sequence[str]) -> Table:
    """The cells in words: figures with three decimals and their deviation, all else as it is typed."""
    of_figures = {name for tag in tags for name in (tag, f"{tag} sd")}
    rows = [{key: value if key in of_figures else _typed(value) for key, value in row.items()} for row in table]
    return [{key: clean(cell(value)) for key, value in with_deviations(row).items()} for row in rows]


def _typed(value: Any) -> str | None:
    return None if value is None else text(value)
