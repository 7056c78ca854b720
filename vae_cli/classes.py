"""Classes by name: their order, which label of a file is which class, how they are told, and how they are typed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_cli.errors import ConfigError


@dataclass(frozen=True)
class Classes:
    """The classes 0, 1, ... of a model, and after them labels of its data that no training example has.

    Args:
        labels: as the files have them, by class.
        names: of these, each different.
        trained: how many of them training examples have.

    """

    labels: tuple[int, ...]
    names: tuple[str, ...]
    trained: int

    @property
    def strangers(self) -> tuple[str, ...]:
        """Those that no training example has."""
        return self.names[self.trained :]

    def numbered(self, y: Tensor) -> Tensor:
        """Labels as the files have them [N] -> classes [N]; hidden ones (below 0) stay hidden."""
        labels = torch.tensor(self.labels)
        order = labels.argsort()
        place = torch.searchsorted(labels[order], y.clamp(min=min(self.labels)))
        return torch.where(y < 0, y, order[place])


def trained_classes(training: Iterable[int], others: Iterable[int], names: Mapping[int, str]) -> Classes:
    """The labels that occur in training, then those of other examples alone, each in the order of `names`."""
    trained, beside = set(training), set(others)
    known = [label for label in names if label in trained]
    strange = [label for label in names if label in beside - trained]
    return Classes((*known, *strange), tuple(names[label] for label in (*known, *strange)), len(known))


def recognised_classes(found: Iterable[int], names: Mapping[int, str], known: Sequence[str]) -> Classes:
    """The classes `known` to a model by their names, then those labels that are `found` and that it does not know."""
    there = set(found)
    label_of = {name: label for label, name in names.items()}
    absent = iter(range(-2, -2 - len(known), -1))  # labels that no file has
    labels = [label_of.get(name, next(absent)) for name in known]
    strange = [label for label in names if label in there and names[label] not in set(known)]
    return Classes((*labels, *strange), (*known, *(names[label] for label in strange)), len(known))


def natural(name: str) -> tuple[str | int, ...]:
    """To sort by: obj2 comes before obj10."""
    return (*(int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", name))), name)


_MOST_TOLD, _FIRST, _LAST = 6, 3, 2


def told(names: Sequence[str]) -> str:
    """All of them, or the first and the last of many: `0 to 9`, `cat, dog`, `0, 1, 2, ..., 101, 255`."""
    if len(names) > 2 and list(names) == [str(number) for number in range(len(names))]:
        return f"{names[0]} to {names[-1]}"
    if len(names) <= _MOST_TOLD:
        return ", ".join(names)
    return f"{', '.join(names[:_FIRST])}, ..., {', '.join(names[-_LAST:])}"


def typed(words: Sequence[object], names: Sequence[str], key: str) -> list[int]:
    """The classes that a user types by their names, or by their numbers 0, 1, ... where no name is a number.

    Raises:
        ConfigError: for a word that is neither; `key` is where it was typed.

    """
    numbers = {} if any(name.isdecimal() for name in names) else {str(number): number for number in range(len(names))}
    known = {**numbers, **{name: number for number, name in enumerate(names)}}
    for word in words:
        if str(word) not in known:
            raise ConfigError(f"{key}=[{','.join(map(str, words))}]: no class {word}; the classes are {told(names)}")
    return [known[str(word)] for word in words]
