"""How probable the model finds the examples; how far its bounds are from that, and why."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.distributions import MixtureSameFamily

from vae_cli.errors import ConfigError
from vae_cli.evaluation.report import Finding, NotApplicable, Report
from vae_cli.evaluation.subject import Subject
from vae_cli.inference.annealed import Annealed, Annealing, annealed
from vae_cli.inference.fit_q import Fitting, fitted
from vae_cli.inference.likelihood import bounds, from_the_prior, joined
from vae_cli.inference.memory import draws_within
from vae_cli.making import check_types, target_of
from vae_cli.noise import by_example, digests
from vae_cli.objectives.bounds import Bounds
from vae_cli.progress import Progress
from vae_cli.types import Batch, Levels, UnitSphere

T = TypeVar("T")
Score = Callable[..., Bounds]  # batch, features=... -> its bounds

_AT_ONCE = 100  # examples between two moves of the progress bar
_BUSY = 64  # draws of one example in chains or fits, about: tells how many examples keep a processor busy
_MOST = 1_000_000  # draws; more are a slip of the finger
_CERTAIN = 0.1  # nats; an estimate of ln p(x) whose error is larger says so
_FAR = 0.5  # nats between two estimates of ln p(x) that are worth a remark


def likelihood(subject: Subject, settings: DictConfig) -> Report:
    """The ELBO and its parts, the importance-weighted bound; of some examples annealed importance sampling and gaps.

    Where there is a condition, also the estimate of ln p(x | c) from draws of the prior; without latent variables,
    ln p(x | c) itself and nothing else.

    Raises:
        NotApplicable: for autoencoders.
        ConfigError: for a setting out of range.

    """
    if not subject.bounds:
        raise NotApplicable("an autoencoder has no prior, so no bound on ln p(x)")
    annealing = _made(Annealing, settings.ais, "likelihood.ais")
    fitting = _made(Fitting, settings.gaps, "likelihood.gaps")
    num_samples = _num_samples(settings.samples, subject.device)
    _check_whole("subset", settings.subset, 0, "0 for none, or more")
    if not subject.model.latents:
        return _exact(subject)
    score = partial(bounds, subject.model, num_samples=num_samples, seed=subject.seed, memory=subject.memory)
    report = subject.part("bounds", lambda: _of_all(subject, score, num_samples))
    if settings.subset == 0:
        return report
    return _together([report, *_closer(subject, subject.some(settings.subset), score, annealing, fitting, num_samples)])


def _of_all(subject: Subject, score: Score, num_samples: int) -> Report:
    """What is quick, of all examples."""
    count = math.ceil(subject.num_examples / _AT_ONCE)
    found = joined(map(score, subject.progress(subject.batches(_AT_ONCE), f"iwae_{num_samples}", count)))
    return Report([*_of_bounds(subject, found, f"iwae_{num_samples}"), *_of_the_prior(subject, num_samples, count)])


def _of_bounds(subject: Subject, found: Bounds, name: str) -> list[Finding]:
    findings = [
        mean("elbo", found.elbo),
        mean("reconstruction", found.reconstruction),
        mean("kl", found.kl),
        mean(name, found.importance_weighted),
    ]
    return [*findings, *_bits(subject, found.importance_weighted, name)]


def _of_the_prior(subject: Subject, num_samples: int, count: int) -> list[Finding]:
    """Of a conditional model alone: without a condition, draws of the prior seldom come near any x."""
    if subject.spec.condition is None:
        return []
    name = f"monte_carlo_{num_samples}"
    score = partial(from_the_prior, subject.model, num_samples=num_samples, seed=subject.seed, memory=subject.memory)
    found = torch.cat(list(map(score, subject.progress(subject.batches(_AT_ONCE), name, count))))
    return [mean(name, found, "z from the prior")]


def _exact(subject: Subject) -> Report:
    score = partial(bounds, subject.model, num_samples=1, seed=subject.seed, memory=subject.memory)
    found = joined(map(score, subject.batches(_AT_ONCE))).importance_weighted
    findings = [mean("log_likelihood", found, "exact"), *_bits(subject, found, "log_likelihood")]
    return Report(findings, ["no bounds and no gaps: without latent variables, ln p(x | c) is known"])


def _bits(subject: Subject, log_px: Tensor, name: str) -> list[Finding]:
    """For likelihoods that give probabilities of levels; of the numbers of x that count, alike in every example."""
    if target_of(subject.run.config.likelihood).models != (Levels,):
        return []
    bits = -log_px / (subject.some(1).dimensions * math.log(2))
    return [mean("bits_per_dimension", bits, f"of {name}", unit="bits per dimension")]


def mean(name: str, values: Tensor, note: str = "", *, unit: str = "nats") -> Finding:
    """Over the examples, with its standard error; values [N]."""
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return Finding(name, float(values.mean()), unit, error, note)


# ---- what takes long, of some examples -------------------------------------------------------------------------------


def _closer(
    subject: Subject, batch: Batch, score: Score, annealing: Annealing, fitting: Fitting, num_samples: int
) -> Iterator[Report]:
    """One report of annealed importance sampling, one of gaps; the latter takes the larger estimate of ln p(x)."""
    size = max(1, draws_within(subject.memory, subject.model, batch) // _BUSY)
    pieces, own = batch.split(size), score(batch)
    evidence, source = own.importance_weighted, f"iwae_{num_samples}"
    if annealing.chains and not _can_be_annealed(subject, batch):
        yield Report(
            [], ["ais: skipped: it needs latent variables that are continuous, on no sphere, and a prior of Gaussians"]
        )
    elif annealing.chains:
        report = subject.part("annealed", lambda: _anneal(subject, pieces, annealing, own, source))
        yield report
        estimate = torch.tensor(report.details["ais"], dtype=torch.float64, device=evidence.device)
        if estimate.mean() > evidence.mean():
            evidence, source = estimate, "ais"
    if fitting.steps and len(subject.model.latents) > 1:
        yield Report([], ["gaps: skipped: they need a single latent variable"])
    elif fitting.steps:
        note = f"{len(batch.x)} examples, ln p(x) by {source}"
        yield subject.part("gaps", lambda: _gaps(subject, pieces, fitting, own, score, evidence, note))


def _can_be_annealed(subject: Subject, batch: Batch) -> bool:
    one = batch.part(slice(1))
    with torch.no_grad(), by_example(digests(one), "sites"):
        sites = subject.model(one).sites.values()
    possible = all(site.q.has_rsample and not isinstance(site.p, MixtureSameFamily) for site in sites)
    return possible and UnitSphere not in target_of(subject.run.config.posterior).models


def _anneal(subject: Subject, pieces: list[Batch], how: Annealing, own: Bounds, bound: str) -> Report:
    """Its details have the estimates of ln p(x) of every example."""
    progress = _share(subject.progress, len(pieces))
    found = Annealed.joined(
        [
            annealed(subject.model, piece, how, seed=subject.seed, memory=subject.memory, progress=progress)
            for piece in pieces
        ]
    )
    note = f"{len(found.log_evidence)} examples"
    findings = [
        mean("ais", found.log_evidence, f"{note}, {how.chains} chains, {how.steps} steps"),
        *_of_the_chains(found, how),
        mean(f"{bound}_subset", own.importance_weighted, f"the same {note}"),
    ]
    remarks = [*_uncertain(found, how), *_verdict(found.log_evidence, own.importance_weighted, bound)]
    details = {"ais_acceptance": float(found.acceptance.mean()), "ais": found.log_evidence.tolist()}
    return Report(findings, remarks, details)


def _share(progress: Progress, pieces: int) -> Progress:
    """Of a loop that is one of so many: its length is told as that of all."""
    return lambda things, title, total: progress(things, title, total * pieces)


def _of_the_chains(found: Annealed, how: Annealing) -> list[Finding]:
    """How much of what is found is chance: other chains would give another number."""
    if how.chains == 1:
        return []
    return [Finding("ais_error", _error(found), "nats", note="standard error for one example, from its chains")]


def _error(found: Annealed) -> float:
    return float(found.error.square().mean().sqrt())


def _uncertain(found: Annealed, how: Annealing) -> list[str]:
    """Chains that differ also lie below the truth on average, by about half the square of their error."""
    if how.chains == 1:
        return ["ais: one chain says nothing of its error: likelihood.ais.chains=4 or more does"]
    error = _error(found)
    if error <= _CERTAIN:
        return []
    wanted = math.ceil(how.chains * (error / _CERTAIN) ** 2)
    return [f"ais is uncertain by {error:.2f} nats an example: likelihood.ais.chains={wanted} would make it {_CERTAIN}"]


def _verdict(estimate: Tensor, bound: Tensor, name: str) -> list[str]:
    """Both are lower bounds in expectation: the larger is the better one."""
    above = float((estimate - bound).mean())
    if above > _FAR:
        return [f"ais lies {above:.2f} nats above {name}: the posterior misses; likelihood.samples= would tighten it"]
    if above < -_FAR:
        return [f"ais lies {-above:.2f} nats below {name}: its chains are too short; try likelihood.ais.steps="]
    return []


def _gaps(
    subject: Subject, pieces: list[Batch], how: Fitting, own: Bounds, score: Score, evidence: Tensor, note: str
) -> Report:
    """What the ELBO lacks: by the family of q, and by one encoder for all (Cremer et al. 2018, section 3).

    Both ELBOs are by the same draws, other than those that q was fitted to.
    """
    progress = _share(subject.progress, len(pieces))
    features = (
        fitted(subject.model, piece, how, seed=subject.seed, memory=subject.memory, progress=progress)
        for piece in pieces
    )
    best = joined(score(piece, features=one) for piece, one in zip(pieces, features, strict=True)).elbo
    return Report(
        [
            mean("approximation_gap", evidence - best, note),
            mean("amortisation_gap", best - own.elbo, note),
        ]
    )


# ---- settings --------------------------------------------------------------------------------------------------------


def _num_samples(setting: Any, device: torch.device) -> int:
    if setting == "auto":
        return 5000 if device.type == "cuda" else 500
    _check_whole("samples", setting, 1, f"auto, or 1 to {_MOST}")
    return setting


def _check_whole(name: str, value: Any, least: int, wanted: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not (least <= value <= _MOST):
        raise ConfigError(f"likelihood.{name}={value}: {wanted}")


def _made(kind: Callable[..., T], node: DictConfig, name: str) -> T:
    if not isinstance(node, DictConfig):
        raise ConfigError(f"{name}={node}: this is no single value; set those below it, {name}.<key>=...")
    check_types(kind, node, name)
    return kind(**{str(key): node[key] for key in node})


def _together(reports: list[Report]) -> Report:
    findings = [finding for report in reports for finding in report.findings]
    remarks = [remark for report in reports for remark in report.remarks]
    return Report(findings, remarks, {key: value for report in reports for key, value in report.details.items()})
