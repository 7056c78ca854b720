"""What a run says of itself: the forms of status.json, of metrics.json, and of the record in config.yaml.

What a run may not yet have said is optional; what it says is of its form, or the file is damaged.
"""

from datetime import datetime
from typing import Any

from vae_cli.forms import anything, count, fits, items, one_of, or_none, real, record, size, table, word

STATES = ("running", "finished", "interrupted", "failed")


def _moment(value: Any, key: str) -> None:
    """A time as we write it, in ISO 8601."""
    word(value, key)
    try:
        datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        fits(value, key, right=False, wanted="a time")


def _figure(value: Any, key: str) -> None:
    """A number; one without a point is a whole number of ours."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    fits(value, key, whole or isinstance(value, float), "a number")


STATUS = record(
    {"state": one_of(*STATES)},
    optional={
        "reason": or_none(word),
        "step": count,
        "started": or_none(_moment),
        "updated": or_none(_moment),
        "pid": size,
    },
)
METRICS = record(
    {},
    optional={
        "unit": word,
        "weights": word,
        "steps": count,
        "epochs": count,
        "waited": count,
        "test": table(_figure),
        "begun": anything,  # of `vae-eval`, parts of groups that it was interrupted in, likewise
        "evaluation": anything,  # of `vae-eval`, group by group: whoever shows it takes what is of its form
    },
)
_SUPPORT = one_of("Binary", "UnitInterval", "Real", "Levels", "Tokens")
_STORED = record({"support": _SUPPORT, "levels": or_none(size), "low": real, "high": real})
DATA = record(
    {
        "shape": items(size),
        "support": _SUPPORT,
        "levels": or_none(size),
        "classes": or_none(size),
        "factors": table(size),
        "condition": or_none(items(size)),
        "size": size,
    },
    optional={"class_names": items(word), "stored": or_none(_STORED)},
)
RECORDED = record({"format": size, "version": word, "choices": table(word), "overrides": items(word)}, {"data": DATA})
