"""What is known of one run, read from its files; of one that is damaged, why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vae_cli.errors import ConfigError
from vae_cli.listing.places import Place
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.folder import state_of
from vae_cli.telling import clean

Value = str | float | int | bool | None

DAMAGED = "damaged"
_STATES = ("running", "finished", "interrupted", "failed", "killed")


@dataclass(frozen=True)
class Record:
    """One run.

    Args:
        state: that of `sweeps.folder.state_of`, or `damaged`.
        reason: why it failed, or what is damaged.
        about: `started`, `updated`, `steps`, `epochs`, `weights`, `version`, `classes`, as far as they are known.
        choices: on every axis.
        config: every number, word and switch, by its key (`optimizer.lr`); {} where there is no config.
        figures: by tag, `test/elbo` or `eval/<group>/<name>`; those of the test when it is finished.
        units: of the figures that name one.
    """

    place: Place
    state: str
    reason: str | None = None
    about: Mapping[str, Value] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Value] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def values(self) -> Mapping[str, Value]:
        """Everything by its key; what is said of the run before what its config says."""
        said = {"run": clean(str(self.place.path)), "status": self.state, "reason": self.reason}
        return {**self.config, **self.choices, **self.figures, **self.about, **said}


def record(place: Place) -> Record:
    """Of a run in whatever state; never an error."""
    if place.problem is not None:
        return Record(place, DAMAGED, place.problem)
    try:
        return _read(place)
    except ConfigError as error:
        return Record(place, DAMAGED, clean(str(error).removeprefix(str(place.path)).lstrip("/ ")))
    except OSError as error:
        return Record(place, DAMAGED, error.strerror or str(error))


def _read(place: Place) -> Record:
    run = RunDirectory(place.path)
    state, status, metrics = state_of(run), run.status(), run.metrics()
    if state not in _STATES:
        raise ConfigError(run.problem("status.json"))
    told = status.get("reason")
    reason = None if told is None else clean(str(told))
    about = {key: _plain(status.get(key)) for key in ("started", "updated")} | {"steps": _whole(status.get("step"))}
    if state == "failed" and not (place.path / "config.yaml").exists():  # a job that was refused
        return Record(place, state, reason, about)
    content, recorded = run.read_plain_config()
    evaluated = list(_evaluated(metrics.get("evaluation")))
    figures, units = {tag: value for tag, value, _ in evaluated}, {tag: unit for tag, _, unit in evaluated if unit}
    if state == "finished":
        figures = _tested(run, metrics) | figures
        about |= {"steps": _whole(metrics.get("steps")), "epochs": _whole(metrics.get("epochs"))}
        about["weights"] = _plain(metrics.get("weights"))
    about["version"] = _plain(recorded["version"])
    about["classes"] = _classes(recorded.get("data"))
    choices = {clean(str(axis)): clean(str(choice)) for axis, choice in recorded["choices"].items()}
    return Record(place, state, reason, about, choices, dict(_flat(content, "")), figures, units)


def _classes(data: Any) -> str | None:
    """The names of the classes that a run was trained on."""
    names = data.get("class_names") if isinstance(data, dict) else None
    return ", ".join(clean(str(name)) for name in names) if isinstance(names, list) and names else None


def _tested(run: RunDirectory, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures of the test, by tag; ConfigError where they are not all there."""
    if "test" not in metrics:
        raise ConfigError(run.problem("metrics.json"))
    return {clean(tag): float(value) for tag, value in metrics["test"].items()}


def _evaluated(evaluation: Any) -> Iterator[tuple[str, float, str | None]]:
    """Tag, figure and unit of every finding of `vae-eval` that is of the form that it writes."""
    for group, content in evaluation.items() if isinstance(evaluation, dict) else ():
        findings = content.get("findings") if isinstance(content, dict) else None
        for finding in findings if isinstance(findings, list) else ():
            match finding:
                case {"name": str(name), "value": value} if _is_figure(value):
                    unit = finding.get("unit")
                    yield clean(f"eval/{group}/{name}"), float(value), clean(unit) if isinstance(unit, str) else None


def _is_figure(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return whole or isinstance(value, float)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _plain(value: Any) -> Value:
    return value if value is None or isinstance(value, bool | float | int) else clean(str(value))


def _flat(node: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Value]]:
    for key, value in node.items():
        if str(key).startswith("_"):  # the code of a part: its choice names it
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield clean(f"{prefix}{key}"), _plain(value)
