"""Whether single dimensions of the codes stand for single factors of the data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from omegaconf import DictConfig

from vae_cli.errors import ConfigError
from vae_cli.evaluation.report import Finding, NotApplicable, Report, require
from vae_cli.evaluation.settings import at_least, settings_of
from vae_cli.evaluation.subject import Subject
from vae_cli.metrics.active import active_units
from vae_cli.metrics.beta_vae_score import beta_vae_score
from vae_cli.metrics.dci import dci
from vae_cli.metrics.enough import FEWEST_A_VALUE, Need
from vae_cli.metrics.factor_vae_score import factor_vae_score
from vae_cli.metrics.irs import interventional_robustness
from vae_cli.metrics.mig import mutual_information_gap
from vae_cli.metrics.modularity import modularity
from vae_cli.metrics.mutual_information import entropies, information
from vae_cli.metrics.points import Points
from vae_cli.metrics.sap import separated_predictability
from vae_cli.metrics.sharing import telling

_FEWEST = 2  # factors, below which there is nothing to tell apart


@dataclass(frozen=True)
class Settings:
    """Of the group `disentanglement`."""

    codes: str
    bins: int
    exclude: list[str]
    examples: int
    fitted_points: int
    judged_points: int
    point_size: int

    def __post_init__(self) -> None:
        if self.codes not in ("mean", "sample"):
            raise ConfigError(f"disentanglement.codes={self.codes}: mean or sample")
        if not isinstance(self.exclude, list):
            raise ConfigError(f"disentanglement.exclude={self.exclude}: a list of factors, [{self.exclude}]")
        at_least(2, "disentanglement", bins=self.bins, examples=self.examples, point_size=self.point_size)
        at_least(100, "disentanglement", fitted_points=self.fitted_points, judged_points=self.judged_points)


@dataclass(frozen=True)
class Judged:
    """What the scores are of."""

    codes: np.ndarray  # [N, Z], of dimensions that move
    factors: np.ndarray  # [N, F], of factors that can be judged
    dimensions: int  # of the codes, those that do not move counted too
    remarks: list[str]


def disentanglement(subject: Subject, settings: DictConfig) -> Report:
    """Scores of the codes of all latent variables side by side."""
    chosen = settings_of(Settings, settings, "disentanglement")
    names = [factor.name for factor in subject.spec.factors]
    if not names:
        raise NotApplicable("the data has no known factors")
    unknown = [str(name) for name in chosen.exclude if name not in names]
    if unknown:
        raise ConfigError(f"disentanglement.exclude=[{','.join(unknown)}]: the factors are {', '.join(names)}")
    judged = _judged(subject, names, chosen)
    not_enough = _not_enough(judged, chosen)
    found = [finding for finding in _scores(judged, chosen, subject.seed) if finding.name not in not_enough]
    return Report(found, [*judged.remarks, *(f"{name}: {need}" for name, need in not_enough.items())])


def _judged(subject: Subject, names: Sequence[str], settings: Settings) -> Judged:
    """NotApplicable where there is nothing to tell apart, or nothing that could."""
    codes = subject.codes
    assert codes.factors is not None
    rows = _some(len(codes.factors), settings.examples, subject.seed)
    factors = codes.factors[rows]
    counted = np.array([name not in settings.exclude for name in names])
    often, many = telling(factors), _examples_a_value(factors) >= FEWEST_A_VALUE
    judged = counted & often & many
    wanted = f"factors with {FEWEST_A_VALUE} examples a value, two of which occur twice"
    require(Need(_FEWEST, wanted, int(judged.sum())))
    moving = _moving(codes.means, subject.bounds)
    if not moving.any():
        raise NotApplicable("no dimension of the codes depends on x")
    values = codes.means if settings.codes == "mean" else codes.draws
    remarks = [
        _list("factors", names, judged),
        _list("excluded", names, ~counted),
        _list("left out, as fewer than two of their values occur twice", names, counted & ~often),
        _list(f"left out, as there are fewer than {FEWEST_A_VALUE} examples a value", names, counted & often & ~many),
        "" if moving.all() else f"{moving.sum()} of {len(moving)} dimensions depend on x; the others are not counted",
    ]
    return Judged(values[rows][:, moving], factors[:, judged], len(moving), [remark for remark in remarks if remark])


def _examples_a_value(factors: np.ndarray) -> np.ndarray:
    """On average, [F]."""
    return np.array([len(factor) / len(np.unique(factor)) for factor in factors.T])


def _not_enough(judged: Judged, settings: Settings) -> dict[str, Need]:
    """What some of the scores lack, by their names.

    What no dimension tells is estimated as (bins - 1) (values - 1) / 2 N nats: more than half of a factor's entropy is
    no information. And one dimension alone has no second that it could be told from.
    """
    entropy = entropies(judged.factors)
    values = np.array([len(np.unique(factor)) for factor in judged.factors.T])
    least = math.ceil(float(((settings.bins - 1) * (values - 1) / entropy).max()))
    examples = Need(least, f"examples for {settings.bins} bins", len(judged.codes))
    dimensions = Need(2, "dimensions", judged.dimensions)
    needs = {"mig": (dimensions, examples), "modularity": (examples,)}
    needs |= dict.fromkeys(("sap", "dci_completeness", "factor_vae_score"), (dimensions,))
    unmet = {name: [need for need in each if not need.met] for name, each in needs.items()}
    return {name: each[0] for name, each in unmet.items() if each}


def _some(examples: int, most: int, seed: int) -> np.ndarray:
    """Rows, drawn without replacement: evenly spaced ones of a grid of factors would miss values."""
    return np.sort(np.random.default_rng(seed).permutation(examples)[:most])


def _moving(means: np.ndarray, bounds: bool) -> np.ndarray:
    """Active units; of an autoencoder, whose codes have no scale, dimensions that are not constant."""
    return active_units(torch.from_numpy(means)).numpy() if bounds else np.ptp(means, 0) > 0


def _list(title: str, names: Sequence[str], which: np.ndarray) -> str:
    return f"{title}: {', '.join(np.array(names)[which])}" if which.any() else ""


def _scores(judged: Judged, settings: Settings, seed: int) -> list[Finding]:
    codes, factors = judged.codes, judged.factors
    points = Points(settings.fitted_points, settings.judged_points, settings.point_size)
    told = information(codes, factors, settings.bins)
    trees = dci(codes, factors, seed)
    kind = {"mean": "means", "sample": "samples"}[settings.codes]
    binned, forest = f"{kind}, {settings.bins} bins", f"{kind}, random forest"
    chance = 1 / factors.shape[1]
    limit = 1 - np.mean([1 / len(np.unique(factor)) for factor in factors.T])
    found = [
        ("mig", mutual_information_gap(told, entropies(factors)), binned),
        ("modularity", modularity(told), binned),
        ("dci_disentanglement", trees.disentanglement, forest),
        ("dci_completeness", trees.completeness, forest),
        ("dci_informativeness", trees.informativeness, f"{forest}, held-out third"),
        ("sap", separated_predictability(codes, factors, seed), f"{kind}, thresholds; at most {limit:.2f}"),
        ("irs", interventional_robustness(codes, factors), f"{kind}, 0.99 quantile"),
        ("beta_vae_score", beta_vae_score(codes, factors, points, seed), _of_points(kind, points, "pairs", chance)),
        ("factor_vae_score", factor_vae_score(codes, factors, points, seed), _of_points(kind, points, "", chance)),
    ]
    return [Finding(name, value, "", note=note) for name, value, note in found]


def _of_points(kind: str, points: Points, of: str, chance: float) -> str:
    return f"{kind}, points of {points.examples} {of}".rstrip() + f"; {chance:.2f} by chance"
