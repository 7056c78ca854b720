"""What latent variables carry: active units, mutual information, and how far their aggregate is from p(z)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from omegaconf import DictConfig
from torch import Tensor

from vae_cli.advice import verdict
from vae_cli.data.base import evenly_spaced
from vae_cli.distributions.marginals import normal_marginals
from vae_cli.evaluation.codes import Latent
from vae_cli.evaluation.report import Finding, NotApplicable, Report, require
from vae_cli.evaluation.settings import at_least, settings_of
from vae_cli.evaluation.subject import Subject
from vae_cli.metrics.active import active_units
from vae_cli.metrics.aggregate import aggregate
from vae_cli.metrics.enough import FEWEST, Need

_CEILING = 0.95  # of ln N, from which on mutual information says little


@dataclass(frozen=True)
class Settings:
    """Of the group `latents`."""

    draws: int  # examples with a draw each, judged by the mixture of all posteriors

    def __post_init__(self) -> None:
        at_least(2, "latents", draws=self.draws)


def latents(subject: Subject, settings: DictConfig) -> Report:
    """Of every latent variable by itself."""
    chosen = settings_of(Settings, settings, "latents")
    if not subject.bounds:
        raise NotApplicable("an autoencoder has no prior that its codes could be compared with")
    require(Need(FEWEST, "examples", subject.num_examples))
    parts = {name: _of_one(name, latent, subject, chosen) for name, latent in subject.codes.latents.items()}
    return Report(
        [
            replace(finding, name=f"{finding.name}/{name}") if len(parts) > 1 else finding
            for name, part in parts.items()
            for finding in part.findings
        ],
        [remark for part in parts.values() for remark in part.remarks],
        {name: part.details for name, part in parts.items()},
    )


def _of_one(name: str, latent: Latent, subject: Subject, settings: Settings) -> Report:
    variances = latent.means.var(0, correction=0)
    active = active_units(latent.means)
    units, dimensions = int(active.sum()), len(active)
    note = f"of {dimensions}; variance of the means above 0.01"
    mixture = _mixture(name, latent, subject, settings)
    return Report(
        [Finding("active_units", units, "dimensions", note=note), *mixture.findings],
        [verdict(name, units, dimensions), *mixture.remarks],
        {
            "variance_of_means": variances.tolist(),
            "kl_per_dimension": None if latent.kl is None else latent.kl.tolist(),
        },
    )


def _mixture(name: str, latent: Latent, subject: Subject, settings: Settings) -> Report:
    """Mutual information and the rest, from the mixture of all posteriors."""
    if latent.q is None:
        return Report([], [f"{name}: no mutual information, as q is a flow, or depends on more than x"])
    if latent.p is None:
        return Report([], [f"{name}: no mutual information, as p depends on the condition or on another latent"])
    examples = len(latent.means)
    own = evenly_spaced(examples, settings.draws).to(subject.device)
    marginals = normal_marginals(latent.q)
    found = aggregate(latent.q, marginals, latent.p, latent.draws[own], own, subject.memory, subject.progress)
    ceiling = math.log(examples)
    note = f"{len(own)} draws, mixture of {examples}"
    figures = [
        _figure("kl", found.kl, f"{len(own)} draws; the sum of the next two"),
        _figure("mutual_information", found.mutual_information, f"{note}; at most {ceiling:.2f}"),
        _figure("aggregate_kl", found.kl_to_prior, note),
        _figure("total_correlation", found.total_correlation, note),
        _figure("dimension_wise_kl", found.dimension_wise_kl, note),
    ]
    return Report([one for one in figures if one is not None], list(_near(name, found.mutual_information, ceiling)))


def _figure(name: str, draws: Tensor | None, note: str) -> Finding | None:
    if draws is None:
        return None
    error = float(draws.std()) / math.sqrt(len(draws)) if len(draws) > 1 else None
    return Finding(name, float(draws.mean()), "nats", error, note)


def _near(name: str, information: Tensor, ceiling: float) -> Iterator[str]:
    if information.mean() > _CEILING * ceiling:
        yield (
            f"mutual information of {name} is near its ceiling, ln of the number of examples: {name} tells them all "
            "apart, and more examples would give more"
        )
