"""Judge one run: every group that it can have, printed, kept in metrics.json, and sent to TensorBoard."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from vae_cli import __version__
from vae_cli.callbacks.tags import of_finding
from vae_cli.callbacks.tensorboard import writer_in
from vae_cli.evaluation.keeping import Keeping
from vae_cli.evaluation.report import Finding, NotApplicable, Report
from vae_cli.evaluation.subject import Subject
from vae_cli.progress import Progress
from vae_cli.reuse import reopened
from vae_cli.runs import RunDirectory, place_data

Group = Callable[[Subject, DictConfig], Report]


@dataclass(frozen=True)
class Voice:
    """How the user is told."""

    say: Callable[[str], None]  # what was found
    remark: Callable[[str], None]  # what is going on


def judge(directory: RunDirectory, config: DictConfig, progress: Progress, voice: Voice) -> None:
    """Tells figures as they are found. What is found is kept at once, part by part; what was found before stands.

    Args:
        config: of `vae-eval`.

    Raises:
        ConfigError: where it is no run, or its data cannot be had.

    """
    run = reopened(directory, config)
    place_data(run.config, {key: value for key, value in config.dataset.items() if value is not None})
    subject = Subject(run, config.split, config.examples, config.seed, config.memory * 10**6, progress)
    protocol = {**_protocol(subject), "precision": config.precision}
    with directory.locked():
        voice.say(f"{config.split} split, {subject.num_examples} examples; weights: {run.weights.title}")
        missing = list(config.metrics)
        with _interruption_told(missing, voice):
            for name in config.metrics:
                _group(name, subject, config, protocol, voice)
                missing.remove(name)


@contextmanager
def _interruption_told(missing: list[str], voice: Voice) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        voice.remark(
            f"interrupted: what was printed is kept; missing: {', '.join(missing)}. The same command again finds that"
        )
        raise


def _group(name: str, subject: Subject, config: DictConfig, protocol: Mapping[str, Any], voice: Voice) -> None:
    settings = OmegaConf.to_container(config[name])
    keeping = Keeping(subject.run.directory, name, {"protocol": dict(protocol), "settings": settings})
    telling = _Telling(name, voice.say)
    if not config.again and (kept := keeping.found()) is not None:
        telling.tell(kept, " (found before; again=true finds it anew)")
        return

    def part(title: str, make: Callable[[], Report]) -> Report:
        if not config.again and (kept := keeping.part(title)) is not None:
            telling.tell(kept, " (begun before; again=true finds it anew)")
            return kept
        report = make()
        keeping.keep_part(title, report)
        telling.tell(report)
        return report

    group: Group = getattr(import_module(f"vae_cli.evaluation.{name}"), name)
    try:
        report = group(replace(subject, part=part), config[name])
    except NotApplicable as why:
        voice.say(f"{name}: skipped: {why}")
        return
    keeping.keep(report)
    _show(subject.run.directory, name, report, subject.run.weights.step)
    telling.tell(report)


class _Telling:
    """A group's name, then what is found, each once."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._said: list[str] = []

    def tell(self, report: Report, note: str = "") -> None:
        """What was not told yet."""
        if not self._said:
            self._say(f"{self._name}{note}")
        for line in [*map(_line, report.findings), *(f"  {remark}" for remark in report.remarks)]:
            if line not in self._said:
                self._say(line)
                self._said.append(line)


def _line(finding: Finding) -> str:
    error = "" if finding.error is None else f" ± {finding.error:.3f}"
    note = f"({finding.note})" if finding.note else ""
    digits = 0 if finding.unit == "dimensions" else 3
    figure = f"{finding.value:10.{digits}f}{error}"
    return f"  {finding.name:<28} {figure:<20} {finding.unit} {note}".rstrip()


def _protocol(subject: Subject) -> Mapping[str, Any]:
    """All that figures depend on besides the settings of their group."""
    return {
        "split": subject.split,
        "examples": subject.num_examples,
        "weights": subject.run.weights.title,
        "checksum": _checksum(subject),
        "seed": subject.seed,
        "device": subject.device.type,
        "version": __version__,
    }


def _checksum(subject: Subject) -> str:
    """Of the weights and the data: 16 hexadecimal digits."""
    found = hashlib.sha256(subject.run.weights.data.encode())
    for name, value in sorted(subject.model.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()[:16]


def _show(directory: RunDirectory, name: str, report: Report, step: int) -> None:
    """As scalars at the step of the weights, in a file of their own that takes the place of an earlier one."""
    suffix = f".eval_{name}"
    for earlier in directory.path.glob(f"events.out.tfevents.*{suffix}"):
        earlier.unlink()
    with writer_in(directory.path, suffix=suffix) as writer:
        for finding in report.findings:
            if math.isfinite(finding.value):
                writer.add_scalar(of_finding(name, finding.name), finding.value, step)
