"""Which hyper-parameters tell runs apart, and which runs are the same but for the seed."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from vae_cli.listing.record import Record, Value
from vae_cli.sweeps.identity import counts

Thing = TypeVar("Thing")

ALWAYS_SHOWN = ("model", "dataset")
_BUDGET = ("trainer.max_epochs", "trainer.max_steps")
_LAST = "seed"


def differing(records: Sequence[Record]) -> list[str]:
    """Keys whose values differ, the choices first and the seed last; `model` and `dataset` are left out.

    Paths, the place, names and logging make no other run. A part that was chosen instead of another brings keys and
    defaults of its own, so its keys are compared between runs of the same choice. A key that follows another
    (`objective.beta` is `beta`) is left out.
    """
    whole = [record for record in records if record.config]
    axes = [axis for axis in _keys(record.choices for record in whole) if axis not in ALWAYS_SHOWN]
    chosen = [axis for axis in axes if len({record.choices.get(axis) for record in whole}) > 1]
    keys = [key for key in _keys(record.config for record in whole) if _makes_a_run(key) and _differs(key, whole)]
    leading = [key for key in keys if not any(_follows(key, other, whole) for other in keys)]
    return chosen + sorted(leading, key=lambda key: (key == _LAST, key.count(".")))


def groups(records: Sequence[Record], over: Sequence[str]) -> list[list[Record]]:
    """Runs that are equal in all but the keys `over`, and what follows them; damaged ones are in none."""
    whole = [record for record in records if record.config]
    keys = [key for key in _keys(record.config for record in whole) if _makes_a_run(key)]
    kept = [key for key in keys if not any(key == one or _follows(key, one, whole) for one in over)]
    axes = [axis for axis in _keys(record.choices for record in whole) if axis not in over]

    def setting(record: Record) -> tuple[Value, ...]:
        return (*(record.choices.get(axis) for axis in axes), *(record.config.get(key) for key in kept))

    return list(grouped(whole, setting).values())


def grouped(things: Iterable[Thing], setting: Callable[[Thing], Hashable]) -> dict[Hashable, list[Thing]]:
    """Those of one setting together, in order of their first."""
    found: dict[Hashable, list[Thing]] = {}
    for thing in things:
        found.setdefault(setting(thing), []).append(thing)
    return found


def telling(keys: Sequence[str], known: Sequence[str], records: Sequence[Record]) -> list[str]:
    """Those of the keys that tell runs apart which `known`, and the keys before them, do not."""
    kept: list[str] = []
    for key in keys:
        before = {tuple(record.values.get(one) for one in (*known, *kept)) for record in records}
        after = {tuple(record.values.get(one) for one in (*known, *kept, key)) for record in records}
        if len(after) > len(before):
            kept.append(key)
    return kept


def _keys(nodes: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(key for node in nodes for key in node))


def _makes_a_run(key: str) -> bool:
    return key in _BUDGET or counts(key)


def _differs(key: str, records: Sequence[Record]) -> bool:
    """Whether two runs with the same choice of the part that has the key disagree."""
    part = key.partition(".")[0]
    pairs = {(record.choices.get(part), record.config[key]) for record in records if key in record.config}
    return len(pairs) > len({choice for choice, _ in pairs})


def _follows(key: str, other: str, records: Sequence[Record]) -> bool:
    """Whether it lies deeper under the same last name, and has the other's value wherever it is."""
    if key.count(".") <= other.count(".") or key.rpartition(".")[2] != other.rpartition(".")[2]:
        return False
    having = [record.config for record in records if key in record.config]
    return all(config[key] == config.get(other) for config in having)
