"""Flows: the change of variables, the steps of the papers, and what a draw need not compute twice."""

import math

import pytest
import torch
from hydra.utils import instantiate
from parts import head, leaf
from torch import Size
from torch.nn import functional as F
from zuko.nn import MaskedMLP

from vae_cli.distributions.flow import Flow, antithetic_probes
from vae_cli.errors import ConfigError
from vae_cli.noise import by_example, record
from vae_cli.types import Real, Spec

FLOWS = ["iaf", "spline"]


def posterior(choice, size=3, *batch, strength=2.0):
    """A head whose steps bend more than those of a fresh one do, and its features."""
    part = head("posterior", choice, (size,)).double()
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.mul_(strength)
    return part, torch.randn(*batch, *part.param_shape, dtype=torch.float64)


@pytest.mark.parametrize("choice", FLOWS)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_density_is_that_of_the_noise_over_the_determinant(choice, size):
    """ln q(z) = ln N(eps; 0, I) - ln |det dz/deps|, by automatic differentiation of the map itself."""
    part, h = posterior(choice, size)
    q = part(h)
    with record() as noise:
        z = q.rsample()
    (eps,) = noise.draws
    jacobian = torch.autograd.functional.jacobian(part(h)._to_z, eps)
    expected = -0.5 * (eps**2).sum() - 0.5 * size * math.log(2 * math.pi) - jacobian.det().abs().log()
    torch.testing.assert_close(q.log_prob(z), expected)
    torch.testing.assert_close(q.log_prob(z.clone()), expected)


@pytest.mark.parametrize("choice", FLOWS)
def test_density_integrates_to_one_over_values_that_were_not_drawn(choice):
    part, h = posterior(choice, 2)
    q = part(h)
    draws = q.sample(Size((10_000,)))
    low, high = draws.min(0).values - 1, draws.max(0).values + 1
    axes = [torch.linspace(float(a), float(b), 401).double() for a, b in zip(low, high, strict=True)]
    with torch.no_grad():
        density = q.log_prob(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)).exp()
    assert float(torch.trapezoid(torch.trapezoid(density, axes[1]), axes[0])) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("choice", FLOWS)
def test_a_draw_is_scored_alike_whether_it_is_known_or_not(choice):
    """Values, and gradients by every feature and parameter, through the draw and past it."""
    part, h = posterior(choice, 3, 4)
    h.requires_grad_()
    inputs = [h, *part.parameters()]
    q = part(h)
    z = q.rsample(Size((2,)))
    known, traced = q.log_prob(z), q.log_prob(z.view_as(z))
    torch.testing.assert_close(known, traced)
    gradients = [torch.autograd.grad(one.sum(), inputs, retain_graph=True) for one in (known, traced)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("choice", "passes"), [("iaf", 5), ("spline", 2)])
def test_a_draw_with_its_density_takes_one_pass_of_each_network(choice, passes, monkeypatch):
    part, h = posterior(choice, 5, 4)
    calls, forward = [], MaskedMLP.forward
    monkeypatch.setattr(MaskedMLP, "forward", lambda self, x: (calls.append(self), forward(self, x))[1])
    q = part(h)
    z = q.rsample(Size((2,)))
    q.log_prob(z)
    assert len(calls) == len(part.steps)
    q.log_prob(z + 1)
    assert len(calls) == len(part.steps) * (1 + passes + 1)


@pytest.mark.parametrize("choice", FLOWS)
def test_a_draw_without_gradients_is_scored_with_them_where_they_are_asked_for(choice):
    part, h = posterior(choice, 3, 4)
    h.requires_grad_()
    q = part(h)
    z = q.sample()
    (gradient,) = torch.autograd.grad(q.log_prob(z).sum(), h)
    q = part(h)
    (expected,) = torch.autograd.grad(q.log_prob(z.clone()).sum(), h)
    torch.testing.assert_close(gradient, expected)
    assert (gradient != 0).all()


def test_an_earlier_draw_keeps_its_own_density():
    part, h = posterior("iaf", 3, 4)
    q = part(h)
    first, second = q.rsample(), q.rsample()
    again = part(h)
    torch.testing.assert_close(q.log_prob(first), again.log_prob(first))
    torch.testing.assert_close(q.log_prob(second), again.log_prob(second))


def test_iaf_is_algorithm_1():
    """z = sigma eps + mu; then z = gate z + (1 - gate) m, l += ln gate, in orders that turn round (Kingma et al.)."""
    part, h = posterior("iaf", 3, 4)
    q = part(h)
    with record() as noise:
        z = q.rsample()
    (eps,) = noise.draws
    mu, log_sigma, context = h[:, :3], 10 * torch.tanh(h[:, 3:6] / 10), h[:, 6:]
    value, log_det = mu + log_sigma.exp() * eps, log_sigma.sum(-1)
    for step in part.steps:
        m, s = step.hyper(torch.cat([value, context], -1)).unflatten(-1, (3, 2)).unbind(-1)
        log_gate = -(10 / 4) * torch.tanh(4 * F.softplus(-(s + 2)) / 10)
        value = log_gate.exp() * value + (1 - log_gate.exp()) * m
        log_det = log_det + log_gate.sum(-1)
    torch.testing.assert_close(z, value)
    log_q = (-0.5 * eps**2 - 0.5 * math.log(2 * math.pi)).sum(-1) - log_det
    torch.testing.assert_close(q.log_prob(z), log_q)


@pytest.mark.parametrize("choice", FLOWS)
def test_steps_are_triangular_in_orders_that_turn_round(choice):
    """Whatever each dimension is made of comes before it; for coupled splines, its half is made of the other."""
    part, h = posterior(choice, 4)
    context = h[8:]
    for number, step in enumerate(part.steps):
        jacobian = torch.autograd.functional.jacobian(step(context), torch.randn(4).double())
        below = jacobian if number % 2 == 0 else jacobian.flip((0, 1))
        assert (below.triu(1) == 0).all()
        reads = below.tril(-1) != 0
        expected = torch.ones(4, 4).tril(-1).bool()
        if choice == "spline":
            expected[:2], expected[:, 2:] = False, False
        assert (reads == expected).all()


def test_splines_act_between_minus_five_and_five_and_the_gaussian_comes_last():
    part, h = posterior("spline", 2)
    chain = part(h)._to_z
    mu, sigma = h[:2], torch.exp(10 * torch.tanh(h[2:4] / 10))
    far = torch.tensor([7.0, -9.0]).double()
    torch.testing.assert_close(chain(far), mu + sigma * far)
    near = torch.tensor([0.3, -1.0]).double()
    assert not torch.allclose(chain(near), mu + sigma * near, rtol=1e-2)


# ---- the mean ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", FLOWS)
def test_the_mean_is_near_the_mean_and_draws_nothing(choice):
    part, h = posterior(choice, 3, 10, strength=1.5)
    before = torch.get_rng_state()
    q = part(h)
    with record() as noise:
        mean = q.mean
    assert not noise.draws
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(mean, part(h).mean)
    draws = q.sample(Size((20_000,)))
    assert ((mean - draws.mean(0)).abs() / draws.std(0)).max() < 0.1


def test_probes_are_standard_normal_and_symmetric():
    probes = antithetic_probes(1024, 5).double()
    assert torch.equal(probes[:1024], -probes[1024:])
    torch.testing.assert_close(probes.mT @ probes / 2048, torch.eye(5).double(), rtol=0, atol=0.02)
    torch.testing.assert_close((probes**4).mean(0), torch.full((5,), 3.0).double(), rtol=0.03, atol=0)


def test_heads_of_any_seed_have_the_same_probes():
    first, second = head("posterior", "iaf", (3,)), head("posterior", "iaf", (3,))
    assert torch.equal(first._probes, second._probes)
    assert not torch.equal(first.steps[0].hyper[0].weight, second.steps[0].hyper[0].weight)


# ---- how it is used ------------------------------------------------------------------------------------------------


def test_noise_by_example_serves_it():
    part, h = posterior("iaf", 3, 2)
    with by_example(["a", "b"], 0):
        draws = part(h).rsample(Size((5,)))
    with by_example(["b", "a"], 0):
        torch.testing.assert_close(part(h.flip(0)).rsample(Size((5,))), draws.flip(1))


def test_a_flow_knows_its_shapes():
    part, h = posterior("spline", 3, 5, 4)
    q = part(h)
    assert isinstance(q, Flow)
    assert (q.batch_shape, q.event_shape, q.mean.shape) == ((5, 4), (3,), (5, 4, 3))
    assert q.rsample(Size((2,))).shape == (2, 5, 4, 3)
    assert q.log_prob(torch.zeros(7, 1, 1, 3).double()).shape == (7, 5, 4)


@pytest.mark.parametrize(
    ("choice", "setting", "message"),
    [
        ("iaf", {"transforms": 0}, "posterior.transforms=0: 1 to 1000"),
        ("iaf", {"width": 0}, "posterior.width=0: 1 to 100000"),
        ("iaf", {"depth": -1}, "posterior.depth=-1: 0 to 1000"),
        ("iaf", {"context": 0}, "posterior.context=0: 1 to 100000"),
        ("spline", {"bins": 1}, "posterior.bins=1: 2 to 1000"),
    ],
)
def test_a_number_out_of_range_is_named(choice, setting, message):
    with pytest.raises(ConfigError, match=message):
        instantiate(leaf("posterior", choice), **setting)(Spec(Size((3,)), Real()))
