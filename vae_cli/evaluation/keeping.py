"""What evaluations found, in metrics.json: `evaluation` has whole groups, `begun` the parts of those that are not.

Each says by which protocol and settings it was found; what was found by others stands until it is replaced.
"""

from collections.abc import Mapping
from typing import Any

from vae_cli.evaluation.report import Report, report_of
from vae_cli.runs import RunDirectory


class Keeping:
    """Of one group.

    Args:
        how: plain data that figures depend on; what was kept under another is not found.

    """

    def __init__(self, directory: RunDirectory, name: str, how: Mapping[str, Any]) -> None:
        self._directory, self._name, self._how = directory, name, how

    def found(self) -> Report | None:
        """The whole group."""
        return self._same(_node(self._directory.metrics(), "evaluation", self._name))

    def part(self, title: str) -> Report | None:
        """A part of it."""
        return self._same(_node(self._directory.metrics(), "begun", self._name, title))

    def keep(self, report: Report) -> None:
        """The whole; its parts are then no longer needed."""
        metrics = self._directory.metrics()
        begun = {name: parts for name, parts in _node(metrics, "begun").items() if name != self._name}
        groups = {**_node(metrics, "evaluation"), self._name: {**report.plain(), **self._how}}
        rest = {key: value for key, value in metrics.items() if key != "begun"}
        self._directory.write_metrics({**rest, "evaluation": groups, **({"begun": begun} if begun else {})})

    def keep_part(self, title: str, report: Report) -> None:
        """Beside the other parts of it."""
        metrics = self._directory.metrics()
        parts = {**_node(metrics, "begun", self._name), title: {**report.plain(), **self._how}}
        self._directory.write_metrics({**metrics, "begun": {**_node(metrics, "begun"), self._name: parts}})

    def _same(self, kept: Mapping[str, Any]) -> Report | None:
        if any(kept.get(key) != value for key, value in self._how.items()):
            return None
        try:
            return report_of(kept)
        except (KeyError, TypeError, ValueError):  # somebody changed it
            return None


def _node(content: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """What lies there; {} where nothing does, or something else."""
    node: Any = content
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}
