"""A table of runs in words: on a terminal of its width, elsewhere plain and whole."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from vae_cli.consoles import console
from vae_cli.telling import say

_NEVER_LEFT_OUT = ("run", "status", "reason")
_FOLDED = ("run", "reason")  # at this width, where there is no room for them
_FOLD = 32
_GAP = 2  # between columns
_COLOURS = {"finished": "green", "running": "cyan", "interrupted": "yellow"}
_BAD = ("failed", "damaged", "killed")


def print_table(rows: Sequence[Mapping[str, str]], numbers: Sequence[str], kept: Sequence[str]) -> None:
    """On standard output.

    Args:
        rows: cells in words, all of the same columns.
        numbers: the columns whose cells stand to the right.
        kept: columns that a narrow terminal shows before others.

    """
    if not rows:
        return
    terminal, columns = console(sys.stdout), list(rows[0])
    if not terminal.is_terminal:
        say(*_plain(rows, columns, numbers))
        return
    folder, rows = _below(rows)
    shown = fitting(rows, terminal.width, kept)
    terminal.print(_table(rows, shown, numbers))
    if folder:
        terminal.print(Text(f"below {folder}", "dim"), soft_wrap=True)
    if left_out := [column for column in columns if column not in shown]:
        terminal.print(Text(f"no room for {', '.join(left_out)}: choose with columns=, or format=csv", "dim"))


def fitting(rows: Sequence[Mapping[str, str]], width: int, kept: Sequence[str]) -> list[str]:
    """The columns that a terminal has room for: those that are the same in every row go first, then from the right."""
    columns = list(rows[0])
    same = [column for column in columns if len({row[column] for row in rows}) == 1]
    for column in reversed([*(column for column in columns if column not in same), *same]):
        if sum(_needed(rows, column) + _GAP for column in columns) <= width + _GAP:
            break
        if column not in (*_NEVER_LEFT_OUT, *kept):
            columns.remove(column)
    return columns


def _below(rows: Sequence[Mapping[str, str]]) -> tuple[str, Sequence[Mapping[str, str]]]:
    """The folder that all runs lie in, and the rows with names from there on."""
    if "run" not in rows[0]:
        return "", rows
    folder = os.path.commonpath([os.path.dirname(row["run"]) for row in rows])
    return folder, [{**row, "run": os.path.relpath(row["run"], folder or ".")} for row in rows]


def _needed(rows: Sequence[Mapping[str, str]], column: str) -> int:
    width = max(len(column), *(len(row[column]) for row in rows))
    return min(width, _FOLD) if column in _FOLDED else width


def _plain(rows: Sequence[Mapping[str, str]], columns: Sequence[str], numbers: Sequence[str]) -> Iterator[str]:
    """The lines of the whole table, under its header."""
    gap, filled = " " * _GAP, []
    for column in columns:
        cells = [column, *(row[column] for row in rows)]
        widths = [len(cell) if cell.isascii() else cell_len(cell) for cell in cells]
        pads = [" " * (max(widths) - width) for width in widths]
        right = column in numbers
        filled.append([pad + cell if right else cell + pad for cell, pad in zip(cells, pads, strict=True)])
    yield from (gap.join(cells).rstrip() for cells in zip(*filled, strict=True))


def _table(rows: Sequence[Mapping[str, str]], columns: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0)
    )  # lines take a place between columns too
    for column in columns:
        right = "right" if column in numbers else "left"
        table.add_column(Text(column), justify=right, no_wrap=column not in _FOLDED, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[column], style=_style(column, row[column])) for column in columns))
    return table


def _style(column: str, cell: str) -> str:
    if column != "status":
        return ""
    return "red" if cell.split(":")[0] in _BAD else _COLOURS.get(cell, "")
