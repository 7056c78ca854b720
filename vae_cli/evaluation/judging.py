"""Judge one run: every group that it can have, printed, kept in metrics.json, and sent to TensorBoard."""

import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch.utils.tensorboard import SummaryWriter

from vae_cli import __version__
from vae_cli.evaluation.report import Finding, NotApplicable, Report
from vae_cli.evaluation.subject import Subject
from vae_cli.progress import Progress
from vae_cli.reuse import reopened
from vae_cli.runs import RunDirectory, place_data

Group = Callable[[Subject, DictConfig], Report]


def judge(directory: RunDirectory, config: DictConfig, progress: Progress) -> Iterator[str]:
    """Lines for the user, as figures are found. What is found is kept at once, group by group.

    Args:
        config: of `vae-eval`.

    Raises:
        ConfigError: where it is no run, or its data cannot be had.

    """
    run = reopened(directory, config)
    place_data(run.config, {key: value for key, value in config.dataset.items() if value is not None})
    subject = Subject(run, config.split, config.examples, config.seed, config.memory * 10**6, progress)
    with directory.locked():
        yield f"{config.split} split, {subject.num_examples} examples; weights: {run.weights.title}"
        for name in config.metrics:
            yield from _group(name, subject, config[name], config.precision)


def _group(name: str, subject: Subject, settings: DictConfig, precision: str) -> Iterator[str]:
    found: Group = getattr(import_module(f"vae_cli.evaluation.{name}"), name)
    try:
        report = found(subject, settings)
    except NotApplicable as why:
        yield f"{name}: skipped: {why}"
        return
    _keep(name, report, subject, settings, precision)
    yield name
    yield from map(_line, report.findings)
    yield from (f"  {remark}" for remark in report.remarks)


def _line(finding: Finding) -> str:
    error = "" if finding.error is None else f" ± {finding.error:.3f}"
    note = f"({finding.note})" if finding.note else ""
    digits = 0 if finding.unit == "dimensions" else 3
    figure = f"{finding.value:10.{digits}f}{error}"
    return f"  {finding.name:<28} {figure:<20} {finding.unit} {note}".rstrip()


def _keep(name: str, report: Report, subject: Subject, settings: DictConfig, precision: str) -> None:
    """In metrics.json, beside what other groups found, and for TensorBoard."""
    directory, metrics = subject.run.directory, subject.run.directory.metrics()
    before = metrics.get("evaluation")
    found = {
        **report.plain(),
        "protocol": {**_protocol(subject), "precision": precision},
        "settings": OmegaConf.to_container(settings),
    }
    groups = {**(before if isinstance(before, dict) else {}), name: found}
    directory.write_metrics({**metrics, "evaluation": groups})
    _show(directory, name, report, subject.run.weights.step)


def _protocol(subject: Subject) -> Mapping[str, Any]:
    """All that figures depend on besides the settings of their group."""
    return {
        "split": subject.split,
        "examples": subject.num_examples,
        "weights": subject.run.weights.title,
        "seed": subject.seed,
        "device": subject.device.type,
        "version": __version__,
    }


def _show(directory: RunDirectory, name: str, report: Report, step: int) -> None:
    """As scalars at the step of the weights, in a file of their own that takes the place of an earlier one."""
    suffix = f".eval_{name}"
    for earlier in directory.path.glob(f"events.out.tfevents.*{suffix}"):
        earlier.unlink()
    with SummaryWriter(str(directory.path), filename_suffix=suffix) as writer:
        for finding in report.findings:
            if math.isfinite(finding.value):
                writer.add_scalar(f"eval/{name}/{finding.name}", finding.value, step)
