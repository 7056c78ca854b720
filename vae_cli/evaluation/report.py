"""What an evaluation found, with all that is needed to compare it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vae_cli.metrics.enough import Need


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


Parts = Callable[[str, Callable[[], Report]], Report]  # the name of a part of a group, what makes it -> it


def anew(_name: str, make: Callable[[], Report]) -> Report:
    """Made, whatever was found before."""
    return make()


def report_of(plain: Mapping[str, Any]) -> Report:
    """What `plain` gave, as metrics.json had it.

    Raises:
        KeyError, TypeError: where it is something else.

    """
    findings = [Finding(**finding) for finding in plain["findings"]]
    return Report(findings, [str(remark) for remark in plain["remarks"]], dict(plain["details"]))


class NotApplicable(Exception):  # noqa: N818 (no error: the others run)
    """What a model or data set cannot give; the message says why."""


def require(*needs: Need) -> None:
    """NotApplicable for the first that is not met."""
    for need in needs:
        if not need.met:
            raise NotApplicable(str(need))
