"""What stored values must look like. Whoever reads a file says so in one form; the first difference is named.

A file of a run may be damaged, or made by somebody else: nothing in it is used before it was compared.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

Form = Callable[[Any, str], None]  # of a value under a key; ValueError where it is of another form

_LONGEST = 40  # characters of a value that an error shows
_TOO_LARGE = 2**63


def shown(value: Any) -> str:
    """A stored value in a few words, whatever it is."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _TOO_LARGE:
        return "a number of more than 63 bits"  # Python refuses to print one of some thousand digits
    if value is None or isinstance(value, bool | int | float | str):
        return "null" if value is None else repr(value[:_LONGEST] if isinstance(value, str) else value)
    return f"a {type(value).__name__}"


def fits(value: Any, key: str, right: bool, wanted: str) -> None:
    """ValueError where it is not right."""
    if not right:
        raise ValueError(f"{key or 'it'} is {shown(value)}, and {wanted} is needed")


def count(value: Any, key: str) -> None:
    """A whole number of 0 or more, of 63 bits at most."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits(value, key, whole and 0 <= value < _TOO_LARGE, "a whole number of 0 or more")


def size(value: Any, key: str) -> None:
    """A whole number of 1 or more."""
    count(value, key)
    fits(value, key, value > 0, "a whole number of 1 or more")


def real(value: Any, key: str) -> None:
    """A floating-point number, finite or not."""
    fits(value, key, isinstance(value, float), "a real number")


def number(value: Any, key: str) -> None:
    """A finite floating-point number."""
    fits(value, key, isinstance(value, float) and math.isfinite(value), "a finite real number")


def flag(value: Any, key: str) -> None:
    """True or false."""
    fits(value, key, isinstance(value, bool), "true or false")


def word(value: Any, key: str) -> None:
    """A text."""
    fits(value, key, isinstance(value, str), "a word")


def anything(value: Any, key: str) -> None:
    """What nobody computes with."""


def or_none(form: Form) -> Form:
    """None, or of that form."""

    def check(value: Any, key: str) -> None:
        if value is not None:
            form(value, key)

    return check


def one_of(*values: str) -> Form:
    """One of some words."""

    def check(value: Any, key: str) -> None:
        fits(value, key, isinstance(value, str) and value in values, f"one of {', '.join(values)}")

    return check


def record(forms: Mapping[str, Form], optional: Mapping[str, Form] | None = None) -> Form:
    """A mapping with exactly these keys, and perhaps the optional ones."""
    known = {**forms, **(optional or {})}

    def check(value: Any, key: str) -> None:
        fits(value, key, isinstance(value, dict), "a mapping")
        for name, content in value.items():
            if not isinstance(name, str) or name not in known:
                raise ValueError(f"{_below(key, name)} is nothing that is stored there")
            known[name](content, _below(key, name))
        for name in forms:
            if name not in value:
                raise ValueError(f"{_below(key, name)} is missing")

    return check


def table(form: Form) -> Form:
    """A mapping from words to values of one form."""

    def check(value: Any, key: str) -> None:
        fits(value, key, isinstance(value, dict), "a mapping")
        for name, content in value.items():
            fits(name, f"a key of {key or 'it'}", isinstance(name, str), "a word")
            form(content, _below(key, name))

    return check


def items(form: Form) -> Form:
    """A list of values of one form."""

    def check(value: Any, key: str) -> None:
        fits(value, key, isinstance(value, list), "a list")
        for number_, content in enumerate(value):
            form(content, f"{key}[{number_}]")

    return check


def single(form: Form) -> Form:
    """A list of one value."""

    def check(value: Any, key: str) -> None:
        items(form)(value, key)
        fits(value, key, len(value) == 1, "a list of one")

    return check


def nothing(value: Any, key: str) -> None:
    """An empty list or mapping."""
    fits(value, key, isinstance(value, list | dict) and not value, "an empty one")


def _below(key: str, name: Any) -> str:
    last = name[:_LONGEST] if isinstance(name, str) else shown(name)
    return f"{key}.{last}" if key else last
