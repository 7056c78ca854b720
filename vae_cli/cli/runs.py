"""vae-runs: runs and sweeps as a table, or as a plot of one figure or hyper-parameter against another."""

import logging
import os
import sys
from collections.abc import Sequence

from vae_cli.cli.errors import did_you_mean, run_command
from vae_cli.cli.runs_display import print_table
from vae_cli.cli.runs_request import OF_PLOT, STEP, Request, read_request
from vae_cli.cli.typed_paths import home
from vae_cli.errors import ConfigError
from vae_cli.listing.differing import ALWAYS_SHOWN, differing
from vae_cli.listing.places import places
from vae_cli.listing.record import Record, record
from vae_cli.listing.remembered import records
from vae_cli.listing.rows import (
    default_columns,
    default_tags,
    group_table,
    matching,
    readable,
    run_table,
    tags_of,
)
from vae_cli.listing.where import by_age, conditions, holds, number, ordered, text
from vae_cli.sweeps.table import Table, csv_lines, markdown_rows, tally
from vae_cli.telling import say, warn

_MOST_NAMED = 20  # figures that an error lists


def main() -> None:
    """Entry point of `vae-runs`."""
    run_command(_command, "train")


def _command() -> int:
    request = read_request(sys.argv[1:])
    everything = by_age(records(list(places(request.folders)), record))
    found = _chosen(everything, request)
    if not found:
        warn(_why_none(everything, request))
    elif "plot" in request.words:
        _plot(found, request)
    else:
        _show(found, request)
    return 0


def _why_none(everything: Sequence[Record], request: Request) -> str:
    if everything:
        return f"where= holds for none of {_told(everything)}"
    return f"no runs below {' '.join(map(str, request.folders))}"


def _chosen(records: Sequence[Record], request: Request) -> list[Record]:
    """Those for which every condition holds."""
    wanted = [condition for text in request.where for condition in conditions(text)]
    for condition in wanted:
        _known(condition.key, f"where={condition}", records)
    return [one for one in records if all(holds(condition, one) for condition in wanted)]


def _known(key: str, word: str, records: Sequence[Record]) -> str:
    """The key; ConfigError where no run has it."""
    known = _keys(records)
    if records and key not in known:
        raise ConfigError(f"{word}: no run has {key!r}{did_you_mean(key, known)}")
    return key


def _keys(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(key for one in records for key in one.values))


def _expanded(words: Sequence[str], key: str, known: Sequence[str]) -> list[str]:
    """Names, each `*` written out; ConfigError where one is of nothing."""
    for word in words:
        if not matching(word, known):
            raise ConfigError(f"{key}={word}: no run has it{did_you_mean(word, list(known))} {_there_are(known)}")
    return list(dict.fromkeys(name for word in words for name in matching(word, known)))


def _there_are(names: Sequence[str]) -> str:
    """As many as a line has room for."""
    return f"There are {', '.join(names)}" if len(names) <= _MOST_NAMED else ""


def _show(records: Sequence[Record], request: Request) -> None:
    """The table, in the form that was asked for."""
    known = tags_of(records)
    tags = _expanded(request.list_of("metrics"), "metrics", known) or default_tags(records)
    rows = _grouped(records, request, tags) if "over" in request.words else _single(records, request, tags)
    kind, words = request.words.get("format", "text"), readable(rows, known)
    if kind == "csv":
        say(*csv_lines(_plain(rows)))
    elif kind == "markdown":
        say(_summary(records), "", *markdown_rows(words))
    else:
        print_table(words, [column for row in rows[:1] for column in row if _is_of_numbers(rows, column)], tags[:1])
        say(_summary(records))


def _single(records: Sequence[Record], request: Request, tags: Sequence[str]) -> Table:
    """A row a run."""
    known = _keys(records)
    columns = _expanded(request.list_of("columns"), "columns", known)
    for key in request.list_of("sort"):
        _known(key.removeprefix("-"), f"sort={key}", records)
    found = ordered(records, request.list_of("sort"), lambda one: one.values)
    return run_table(found, columns or default_columns(found, differing(found), tags))


def _grouped(records: Sequence[Record], request: Request, tags: Sequence[str]) -> Table:
    """A row for those that are equal but for `over`; those that cannot be compared are named beside it."""
    over = [_known(key, f"over={key}", records) for key in request.list_of("over")]
    for one in records:
        if not one.config:
            warn(f"{one.place.path}: {one.state}: {one.reason}")
    keys = [key for key in differing(records) if key not in over]
    rows = group_table(records, over, keys, tags)
    columns = list(rows[0]) if rows else []
    for key in request.list_of("sort"):
        _expanded([key.removeprefix("-")], "sort", columns)
    wanted = _expanded(request.list_of("columns"), "columns", columns) or columns
    found = ordered(rows, request.list_of("sort"), lambda row: row)
    return [{column: row[column] for column in wanted} for row in found]


def _plain(rows: Table) -> Table:
    """As a program reads it back: `true` rather than Python's word for it."""
    return [{key: text(value) if isinstance(value, bool) else value for key, value in row.items()} for row in rows]


def _is_of_numbers(rows: Table, column: str) -> bool:
    values = [row[column] for row in rows if row[column] is not None]
    return bool(values) and all(number(value) is not None for value in values)


def _summary(records: Sequence[Record]) -> str:
    return f"{_told(records)}. Figures in nats per example unless their name says otherwise."


def _told(records: Sequence[Record]) -> str:
    return f"{len(records)} run{'s' if len(records) > 1 else ''}: {tally([one.state for one in records])}"


def _plot(records: Sequence[Record], request: Request) -> None:
    """Writes the picture, and says what it shows."""
    os.environ["MPLBACKEND"] = "agg"
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it speaks of its caches where it is first imported
    from vae_cli.listing.chart import chart, chosen_axes
    from vae_cli.listing.curves import curves
    from vae_cli.listing.drawing import save_figure

    of_curves = request.words.get("x") == STEP
    for key in ("by",) if of_curves else OF_PLOT:
        for name in request.list_of(key):
            _known(name, f"{key}={name}", records)
    over = [_known(key, f"over={key}", records) for key in request.list_of("over")] or ["seed"]
    by = request.list_of("by") if "by" in request.words else None
    if of_curves:
        y, found = curves(records, request.words.get("y"), over, by, _title(records, request))
        save_figure(found, home(request.words["plot"]))
        left_out = f"; {len(records) - len(found.curves)} have none" if len(found.curves) < len(records) else ""
        say(f"{request.words['plot']}: {y} against {STEP}, {len(found.curves)} runs{left_out}")
        return
    axes = chosen_axes(records, over, request.words.get("x"), request.words.get("y"), by)
    drawn = chart(records, axes, over, _title(records, request))
    save_figure(drawn, home(request.words["plot"]))
    left_out = f"; {len(records) - drawn.runs} have not both" if drawn.runs < len(records) else ""
    say(f"{request.words['plot']}: {axes.y} against {axes.x}, {drawn.runs} runs{left_out}")


def _title(records: Sequence[Record], request: Request) -> str:
    """The model and data set that all runs share, how many runs, and where they lie."""
    shared = [{one.choices[axis] for one in records if axis in one.choices} for axis in ALWAYS_SHOWN]
    names = ", ".join(found.pop() for found in shared if len(found) == 1)
    return f"{names}{': ' if names else ''}{len(records)} runs below {' '.join(map(str, request.folders))}"


if __name__ == "__main__":
    main()
