"""Annealed importance sampling: ln p(x) without the encoder (Neal 2001; for decoders: Wu et al. 2017).

Chains start at draws of p(z | c) and move to p(z | x, c) through p(z | c) p(x | z, c)^beta while beta rises from 0 to
1; each step is one of Hamiltonian Monte Carlo. The log of the mean weight is below ln p(x) in expectation. Step sizes
are adapted along the chains, as in Wu et al., and not fixed beforehand, as the proof asks.

Shape legend: C chains, B batch, Z event of a latent variable.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Size, Tensor

from vae_cli.errors import ConfigError
from vae_cli.inference.memory import draws_within
from vae_cli.noise import by_example, digests
from vae_cli.progress import Progress, silent
from vae_cli.types import Batch, Model, Passes, Values

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
    error: Tensor  # its standard error, from how far the chains differ; nan where there is one
    acceptance: Tensor  # of the steps of Hamiltonian Monte Carlo, between 0 and 1

    @staticmethod
    def joined(found: "Sequence[Annealed]") -> "Annealed":
        """The examples of several, one after another."""
        columns = ([getattr(one, field.name) for one in found] for field in fields(Annealed))
        return Annealed(*map(torch.cat, columns))


def annealed(
    model: Model, batch: Batch, how: Annealing, *, seed: int, memory: int, progress: Progress = silent
) -> Annealed:
    """Of a model whose latent variables are all continuous.

    Args:
        model: in evaluation mode, its parameters without gradients.
        seed: with the example, all that its chains follow from.
        memory: bytes that one pass may take, about.
        progress: of the loop over all steps.

    """
    at_once = max(1, draws_within(memory // 2, model, batch) // how.chains)  # // 2: with gradients
    parts = batch.split(at_once)
    steps = progress(range(how.steps * len(parts)), "annealed importance sampling", how.steps * len(parts))
    found = [_annealed(model, part, how, seed, steps) for part in parts]
    next(steps, None)  # the loop ends
    return Annealed.joined(found)


def _betas(steps: int) -> list[float]:
    """From 0 to 1, slowly at both ends."""
    rising = torch.linspace(-_STEEPNESS, _STEEPNESS, steps + 1).double().sigmoid()
    return ((rising - rising[0]) / (rising[-1] - rising[0])).tolist()


def _annealed(model: Model, batch: Batch, how: Annealing, seed: int, steps: Iterator[int]) -> Annealed:
    noise = by_example(digests(batch), seed, "annealed")
    with torch.no_grad():
        start = _draws_of_the_prior(model, batch, how.chains, seed)
        draw = model.passes(batch, model.read(batch))
    at = partial(_point, draw, {name: value.shape[2:] for name, value in start.items()})
    z = torch.cat([value.flatten(2) for value in start.values()], -1)  # [C, B, all Z]
    point, log_w = at(z), torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
    acceptance, step_size = torch.zeros_like(log_w[0]), torch.full_like(point.log_prior[0], _FIRST_STEP)
    for before, beta in pairwise(_betas(how.steps)):
        next(steps)
        log_w += (beta - before) * point.log_likelihood
        with noise:
            momentum, threshold = torch.empty_like(z).normal_(), torch.empty_like(point.log_prior).uniform_()
        point, accepted = _transition(at, point, beta, step_size, how.leapfrog, momentum, threshold)
        acceptance += accepted / how.steps
        step_size = step_size * (_GAIN * (accepted - _TARGET)).exp()
    return Annealed(log_w.logsumexp(0) - math.log(how.chains), _jackknife(log_w), acceptance)


def _jackknife(log_w: Tensor) -> Tensor:
    """The standard error of ln mean_c w_c, [C, B] -> [B]: by how much leaving out each chain moves it (Tukey 1958)."""
    chains = len(log_w)
    itself = torch.eye(chains, dtype=torch.bool, device=log_w.device).unsqueeze(-1)
    others = log_w.expand(chains, *log_w.shape).masked_fill(itself, -math.inf)  # [chain left out, C, B]
    without = others.logsumexp(1)  # [C, B]; the constant ln (C - 1) moves nothing
    return ((chains - 1) * without.var(0, correction=0)).sqrt()


def _draws_of_the_prior(model: Model, batch: Batch, chains: int, seed: int) -> Values:
    """[C, B, *Z] of each latent variable."""
    examples, found = digests(batch), []
    for chain in range(chains):
        with by_example(examples, seed, "prior", first=chain):
            found.append(model.generate(len(batch.x), batch.c).values)
    return {name: torch.cat([values[name] for values in found]) for name in found[0]}


class _Point(NamedTuple):
    """A place of every chain, and what the target is made of there."""

    z: Tensor  # [C, B, all Z]
    log_prior: Tensor  # [C, B]
    log_likelihood: Tensor  # [C, B]
    prior_force: Tensor  # d log_prior / dz, [C, B, all Z]
    likelihood_force: Tensor  # likewise

    def log_target(self, beta: float) -> Tensor:
        return self.log_prior + beta * self.log_likelihood

    def force(self, beta: float) -> Tensor:
        return self.prior_force + beta * self.likelihood_force


def _point(draw: Passes, shapes: Mapping[str, Size], z: Tensor) -> _Point:
    sizes = [shape.numel() for shape in shapes.values()]
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        values = zip(shapes.items(), z.split(sizes, -1), strict=True)
        trace = draw(len(z), {name: value.unflatten(-1, shape) for (name, shape), value in values})
        log_prior = sum((site.p.log_prob(site.value) for site in trace.sites.values()), torch.zeros_like(trace.log_px))
        (prior_force,) = torch.autograd.grad(log_prior.sum(), z, retain_graph=True)
        (likelihood_force,) = torch.autograd.grad(trace.log_px.sum(), z)
    return _Point(z.detach(), log_prior.detach(), trace.log_px.detach(), prior_force, likelihood_force)


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
    """Values [C, B] or [B], shaped to broadcast against [C, B, all Z] or [C, B]."""
    return values.view(*values.shape, *[1] * (like.ndim - 2))
