"""Annealed importance sampling: ln p(x) without the encoder (Neal 2001; for decoders: Wu et al. 2017).

Chains start at draws of p(z | c) and move to p(z | x, c) through p(z | c) p(x | z, c)^beta while beta rises from 0 to
1; each step is one of Hamiltonian Monte Carlo. The log of the mean weight is below ln p(x) in expectation. Step sizes
are adapted along the chains, as in Wu et al., and not fixed beforehand, as the proof asks.

Shape legend: C chains, B batch, Z latent event.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Size, Tensor

from vae_cli.distributions.masked import Masked
from vae_cli.errors import ConfigError
from vae_cli.inference.memory import draws_within
from vae_cli.noise import by_example, digests
from vae_cli.types import Batch, Model, Site

_TARGET = 0.65  # acceptance: the best for many dimensions (Beskos et al. 2013)
_GAIN = 0.1  # of ln step size, for each unit that acceptance is off
_FIRST_STEP = 0.3  # in units of z, which priors spread over about 1
_RANGES = {"chains": (0, 10_000), "steps": (1, 1_000_000), "leapfrog": (1, 1000)}
_STEEPNESS = 4.0  # of the sigmoid that betas follow (Wu et al. 2017)


@dataclass(frozen=True)
class Annealing:
    """How it is done.

    Args:
        chains: of each example; 0: none.
        steps: in which beta rises.
        leapfrog: steps of each trajectory.

    Raises:
        ConfigError: for a number out of range.

    """

    chains: int
    steps: int
    leapfrog: int

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            if not (least <= getattr(self, name) <= most):
                raise ConfigError(f"likelihood.ais.{name}={getattr(self, name)}: {least} to {most}")


@dataclass(frozen=True)
class Annealed:
    """Of every example, [B]."""

    log_evidence: Tensor  # nats, float64
    acceptance: Tensor  # of the steps of Hamiltonian Monte Carlo, between 0 and 1


def annealed(model: Model, batch: Batch, how: Annealing, *, seed: int, memory: int) -> Annealed:
    """Of a model with one latent variable that is continuous, and whose prior is drawn from by `rsample`.

    Args:
        model: in evaluation mode, its parameters without gradients.
        seed: with the example, all that its chains follow from.
        memory: bytes that one pass may take, about.

    """
    at_once = max(1, draws_within(memory // 2, model, batch) // how.chains)  # // 2: with gradients
    found = [_annealed(model, part, how, seed) for part in batch.split(at_once)]
    return Annealed(torch.cat([one.log_evidence for one in found]), torch.cat([one.acceptance for one in found]))


def _betas(steps: int) -> list[float]:
    """From 0 to 1, slowly at both ends."""
    rising = torch.linspace(-_STEEPNESS, _STEEPNESS, steps + 1).double().sigmoid()
    return ((rising - rising[0]) / (rising[-1] - rising[0])).tolist()


def _annealed(model: Model, batch: Batch, how: Annealing, seed: int) -> Annealed:
    noise = by_example(digests(batch), seed, "annealed")
    with torch.no_grad():
        site = _only_site(model, batch, seed)
        with noise:
            z = site.p.expand(Size((len(batch.x),))).rsample(Size((how.chains,)))  # [C, B, *Z]
    at = partial(_point, model, batch, site)
    point, log_w = at(z), torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
    acceptance, step_size = torch.zeros_like(log_w[0]), torch.full_like(point.log_prior[0], _FIRST_STEP)
    for before, beta in pairwise(_betas(how.steps)):
        log_w += (beta - before) * point.log_likelihood
        with noise:
            momentum, threshold = torch.empty_like(z).normal_(), torch.empty_like(point.log_prior).uniform_()
        point, accepted = _transition(at, point, beta, step_size, how.leapfrog, momentum, threshold)
        acceptance += accepted / how.steps
        step_size = step_size * (_GAIN * (accepted - _TARGET)).exp()
    return Annealed(log_w.logsumexp(0) - math.log(how.chains), acceptance)


def _only_site(model: Model, batch: Batch, seed: int) -> Site:
    with by_example(digests(batch), seed, "site"):
        (site,) = model(batch).sites.values()
    return site


class _Point(NamedTuple):
    """A place of every chain, and what the target is made of there."""

    z: Tensor  # [C, B, *Z]
    log_prior: Tensor  # [C, B]
    log_likelihood: Tensor  # [C, B]
    prior_force: Tensor  # d log_prior / dz, [C, B, *Z]
    likelihood_force: Tensor  # likewise

    def log_target(self, beta: float) -> Tensor:
        return self.log_prior + beta * self.log_likelihood

    def force(self, beta: float) -> Tensor:
        return self.prior_force + beta * self.likelihood_force


def _point(model: Model, batch: Batch, site: Site, z: Tensor) -> _Point:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        px = model.decode(z, batch.c)
        log_likelihood = (px if batch.mask is None else Masked(px, batch.mask)).log_prob(batch.x)
        log_prior = site.p.log_prob(z)
        (prior_force,) = torch.autograd.grad(log_prior.sum(), z)
        (likelihood_force,) = torch.autograd.grad(log_likelihood.sum(), z)
    return _Point(z.detach(), log_prior.detach(), log_likelihood.detach(), prior_force, likelihood_force)


def _transition(
    at: Callable[[Tensor], _Point],
    start: _Point,
    beta: float,
    step_size: Tensor,
    leapfrog: int,
    momentum: Tensor,
    threshold: Tensor,
) -> tuple[_Point, Tensor]:
    """One step of Hamiltonian Monte Carlo (Neal 2011, section 2); also the mean probability of its acceptance, [B]."""
    length = _over(step_size, start.z)
    end, velocity = start, momentum
    for _ in range(leapfrog):
        velocity = velocity + 0.5 * length * end.force(beta)
        end = at(end.z + length * velocity)
        velocity = velocity + 0.5 * length * end.force(beta)
    gain = end.log_target(beta) - start.log_target(beta) - _kinetic(velocity) + _kinetic(momentum)
    probability = gain.clamp(max=0).exp().nan_to_num(0)  # [C, B]; a trajectory that has left all numbers is refused
    taken = threshold < probability
    chosen = _Point(*(torch.where(_over(taken, old), new, old) for new, old in zip(end, start, strict=True)))
    return chosen, probability.mean(0)


def _kinetic(velocity: Tensor) -> Tensor:
    return 0.5 * velocity.square().flatten(2).sum(-1)


def _over(values: Tensor, like: Tensor) -> Tensor:
    """Values [C, B] or [B], shaped to broadcast against [C, B, *Z] or [C, B]."""
    return values.view(*values.shape, *[1] * (like.ndim - 2))
