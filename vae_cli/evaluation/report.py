"""What an evaluation found, with all that is needed to compare it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One figure."""

    name: str
    value: float
    unit: str  # "nats", "bits per dimension", "dimensions" where they are counted; "" for scores
    error: float | None = None  # standard error over the examples
    note: str = ""  # the options in which published code differs


@dataclass(frozen=True)
class Report:
    """Of one group."""

    findings: list[Finding]
    remarks: list[str] = field(default_factory=list)  # sentences for the user
    details: Mapping[str, Any] = field(default_factory=dict)  # plain data for metrics.json alone

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class NotApplicable(Exception):  # noqa: N818 (no error: the others run)
    """What a model or data set cannot give; the message says why."""
