"""Which runs are wanted, and in which order: `beta>1 and dataset=mnist`. Nothing that was typed is ever evaluated."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from vae_cli.errors import ConfigError
from vae_cli.listing.record import Record, Value

Row = TypeVar("Row")

_FORM = re.compile(r"\s*(?P<key>[^\s<>=!]+)\s*(?P<sign><=|>=|!=|==|=|<|>)\s*(?P<value>.*?)\s*")
_ORDERS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Condition:
    """A key, a sign and a value as typed; of `=` and `!=` several with commas between, `*` for any signs."""

    key: str
    sign: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}{self.sign}{self.value}"


def conditions(text: str) -> list[Condition]:
    """Those of `a=1 and b>2`, all of which are to hold.

    Raises:
        ConfigError: where one is of another form.

    """
    return [_condition(part, text) for part in re.split(r"\s+and\s+", text)]


def _condition(part: str, text: str) -> Condition:
    found = _FORM.fullmatch(part)
    if found is None or re.search(r"\sor\s", part):
        raise ConfigError(
            f"where={text}: key=value, or another of = != < <= > >=; several with ' and ' between; "
            "either of two values as in beta=1,4"
        )
    return Condition(found["key"], found["sign"], found["value"])


def holds(condition: Condition, record: Record) -> bool:
    """Whether it does for a run; one that lacks the key equals nothing, and is neither more nor less than anything.

    Raises:
        ConfigError: where a number is compared with something that is none.

    """
    value = record.values.get(condition.key)
    if condition.sign in _ORDERS:
        return value is not None and _is_ordered(value, condition)
    equal = condition.key in record.values and any(_equals(value, one) for one in condition.value.split(","))
    return equal is (condition.sign != "!=")


def _is_ordered(value: Value, condition: Condition) -> bool:
    """Numbers as numbers; two words by the alphabet, which puts dates in order."""
    mine, theirs = number(value), number(condition.value)
    order = _ORDERS[condition.sign]
    if mine is not None and theirs is not None:
        return order(mine, theirs)
    if mine is not None:
        raise ConfigError(f"where={condition}: {condition.key} is a number, and {condition.value!r} is none")
    return order(text(value), condition.value)


def _equals(value: Value, typed: str) -> bool:
    mine, theirs = number(value), number(typed)
    if mine is not None and mine == theirs:
        return True
    return matches(typed.strip(), text(value))


def matches(pattern: str, words: str) -> bool:
    """Whether they are the pattern's, in which `*` stands for any signs; in time that grows with their length alone."""
    first, *others = pattern.split("*")
    if not others:
        return words == pattern
    *inner, last = others
    if len(words) < len(first) + len(last) or not (words.startswith(first) and words.endswith(last)):
        return False
    place, end = len(first), len(words) - len(last)
    for part in inner:  # each as far to the left as it may be, which leaves the most to the next
        place = words.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True


def ordered(rows: Sequence[Row], keys: Sequence[str], values: Callable[[Row], Mapping[str, Value]]) -> list[Row]:
    """By the first key, then the next; `-key` from the largest down. What lacks a key comes last."""
    found = list(rows)
    for key in reversed(keys):
        name = key.removeprefix("-")
        found.sort(key=lambda row, name=name: _rank(values(row).get(name)), reverse=key.startswith("-"))
        found.sort(key=lambda row, name=name: _is_missing(values(row).get(name)))
    return found


def by_age(records: Sequence[Record]) -> list[Record]:
    """The newest last."""
    return sorted(records, key=_began)


def _began(record: Record) -> float:
    """In seconds; by the folder's own time where the run does not say."""
    try:
        return datetime.fromisoformat(str(record.about.get("started"))).timestamp()
    except (ValueError, OverflowError):
        return record.place.path.lstat().st_mtime


def _rank(value: Value) -> tuple[bool, float, str]:
    """Numbers, then words."""
    if _is_missing(value):
        return False, 0.0, ""
    mine = number(value)
    return (True, 0.0, text(value)) if mine is None else (False, mine, "")


def _is_missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def number(value: Value) -> float | None:
    """The value as a number; None where it is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def text(value: Value) -> str:
    """As it is typed: `true`, `null`, `4`, `0.001`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
