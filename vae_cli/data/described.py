"""What data says of itself as plain values, so that a finished run can be used where its data is not; and in words."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Size

from vae_cli.types import Binary, Factor, Levels, Real, Spec, Stored, Support, Tokens, UnitInterval, UnitSphere

_COUNTED: dict[str, type[Levels | Tokens]] = {kind.__name__: kind for kind in (Levels, Tokens)}
_OTHERS: dict[str, type[Binary | UnitInterval | Real]] = {kind.__name__: kind for kind in (Binary, UnitInterval, Real)}

VALUES: dict[type, str] = {
    Binary: "0 and 1",
    UnitInterval: "values in [0, 1]",
    Levels: "grey levels",
    Tokens: "tokens",
    Real: "real numbers",
    UnitSphere: "points on the unit sphere",
}  # of each support, in words

_MOST = 2**28  # numbers of an example; no model of more could be trained


def in_words(support: Support) -> str:
    """Which values x has."""
    count = f"{support.count} " if isinstance(support, Levels | Tokens) else ""
    return f"{count}{VALUES[type(support)]}"


def describe(data: Spec) -> dict[str, Any]:
    """All but the mean, whose traces in a model are part of its weights."""
    return {
        "shape": list(data.shape),
        "support": type(data.support).__name__,
        "levels": data.support.count if isinstance(data.support, Levels | Tokens) else None,
        "classes": data.classes,
        "factors": {factor.name: factor.count for factor in data.factors},
        "condition": None if data.condition is None else list(data.condition),
        "size": data.size,
        "class_names": list(data.class_names),
        "stored": None if data.stored is None else _describe_stored(data.stored),
    }


def _describe_stored(stored: Stored) -> dict[str, Any]:
    count = stored.support.count if isinstance(stored.support, Levels | Tokens) else None
    return {"support": type(stored.support).__name__, "levels": count, "low": stored.low, "high": stored.high}


def described(record: Mapping[str, Any]) -> Spec:
    """The data that `describe` described, its mean 0.

    Raises:
        ValueError, KeyError, TypeError: for what `describe` does not write.

    """
    shape, condition = record["shape"], record["condition"]
    for sizes in (shape, condition or []):
        if not all(isinstance(size, int) and size > 0 for size in sizes) or math.prod(sizes) > _MOST:
            raise ValueError(f"{sizes} is the shape of no example")
    return Spec(
        Size(shape),
        _support(record["support"], record["levels"]),
        classes=None if record["classes"] is None else int(record["classes"]),
        factors=tuple(Factor(str(name), int(count)) for name, count in record["factors"].items()),
        condition=None if condition is None else Size(condition),
        size=int(record["size"]),
        mean=torch.zeros(shape),
        class_names=tuple(map(str, record.get("class_names", ()))),  # of older runs neither these nor what was stored
        stored=None if (stored := record.get("stored")) is None else _described_stored(stored),
    )


def _described_stored(record: Mapping[str, Any]) -> Stored:
    return Stored(_support(record["support"], record["levels"]), float(record["low"]), float(record["high"]))


def _support(name: str, levels: Any) -> Support:
    return _COUNTED[name](int(levels)) if name in _COUNTED else _OTHERS[name]()
