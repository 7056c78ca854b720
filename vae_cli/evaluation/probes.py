"""What simple classifiers make of the codes: how much of the classes they hold, and how few labels show it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from omegaconf import DictConfig

from vae_cli.evaluation.labelled import labelled
from vae_cli.evaluation.report import Finding, NotApplicable, Report, require
from vae_cli.evaluation.settings import at_least, settings_of
from vae_cli.evaluation.subject import Subject
from vae_cli.metrics.enough import FEWEST, Need
from vae_cli.metrics.probes import Labelled, evenly_labelled, linear_probe, neighbour_probe


@dataclass(frozen=True)
class Settings:
    """Of the group `probes`."""

    examples: int
    neighbours: int
    labels: Sequence[int]
    repeats: int

    def __post_init__(self) -> None:
        at_least(2, "probes", examples=self.examples, repeats=self.repeats)
        at_least(1, "probes", neighbours=self.neighbours, labels=min(self.labels, default=1))


def probes(subject: Subject, settings: DictConfig) -> Report:
    """Fitted on the codes of training examples, judged on those of the split."""
    chosen = settings_of(Settings, settings, "probes")
    if subject.spec.classes is None:
        raise NotApplicable("the data has no labels")
    train, judged = labelled(subject.training_codes(chosen.examples)), labelled(subject.codes)
    known = np.union1d(train.labels, judged.labels)
    require(
        Need(2, "classes among training examples", len(np.unique(train.labels))),
        Need(2, f"classes in the {subject.split} split", len(np.unique(judged.labels))),
        Need(len(known), f"training examples of {len(known)} classes", len(train.labels)),
        Need(FEWEST, f"examples in the {subject.split} split", len(judged.labels)),
    )
    note = f"{len(train.labels)} labels, means"
    findings = [_accuracy("linear_probe", linear_probe(train, judged), judged, note)]
    enough = Need(chosen.neighbours, "training examples", len(train.labels))
    if enough.met:
        nearest = neighbour_probe(train, judged, chosen.neighbours)
        findings.append(_accuracy("nearest_neighbours", nearest, judged, f"{note}, {chosen.neighbours} neighbours"))
    possible = [num for num in chosen.labels if len(np.unique(train.labels)) <= num < len(train.labels)]
    findings += [_few(train, judged, num, chosen.repeats, subject.seed) for num in possible]
    remarks = [] if enough.met else [f"nearest_neighbours: {enough}"]
    return Report(findings, [*remarks, *_skipped(set(chosen.labels) - set(possible), train)])


def _accuracy(name: str, value: float, judged: Labelled, note: str) -> Finding:
    """Its standard error is that of Agresti & Coull (1998): of ten examples told rightly, too, it is not 0."""
    trials = len(judged.labels) + 4
    share = (value * len(judged.labels) + 2) / trials
    return Finding(name, value, "", math.sqrt(share * (1 - share) / trials), note)


def _few(train: Labelled, judged: Labelled, num: int, repeats: int, seed: int) -> Finding:
    """The mean over several choices of the examples with labels; its error is of that choice."""
    rng = np.random.default_rng([seed, num])
    found = [linear_probe(evenly_labelled(train, num, rng), judged) for _ in range(repeats)]
    error = float(np.std(found, ddof=1)) / math.sqrt(repeats)
    note = f"evenly over the classes; mean of {repeats} choices"
    return Finding(f"linear_probe_{num}", float(np.mean(found)), "", error, note)


def _skipped(numbers: set[int], train: Labelled) -> Iterator[str]:
    if numbers:
        told = ", ".join(map(str, sorted(numbers)))
        classes = len(np.unique(train.labels))
        yield f"no probe with {told} labels: {classes} classes and {len(train.labels)} training examples are there"
