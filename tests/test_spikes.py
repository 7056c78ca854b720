"""The types against what they will have to carry: parts that do not exist yet, written here in a few lines each."""

import itertools
from functools import partial

import pytest
import torch
from torch import Size, nn
from torch.distributions import Categorical, Distribution
from torch.nn import functional as F

from vae_cli.errors import ConfigError
from vae_cli.experiment import Experiment
from vae_cli.heads.bernoulli import BernoulliHead
from vae_cli.heads.gaussian import FixedGaussian
from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.networks.mlp import MLP
from vae_cli.noise import record, replay
from vae_cli.objectives.bounds import ELBO, elbo_terms
from vae_cli.priors.standard import Standard
from vae_cli.schedules import constant
from vae_cli.structures.single import Single
from vae_cli.types import Batch, Binary, Head, Model, Parts, Real, Site, Spec, Tokens, Trace


def mlp(in_shape, out_shape, condition):
    return MLP(in_shape, out_shape, condition, width=16, depth=1, activation="relu")


def parts(**changes):
    standard = {
        "latent_dim": 3,
        "encoder": mlp,
        "decoder": mlp,
        "likelihood": partial(BernoulliHead, from_mean=False),
        "posterior": Diagonal,
        "prior": Standard,
        "inner": mlp,
    }
    return Parts(**{**standard, **changes})


def elbo(spec, model, num_samples):
    return ELBO(spec, model, beta=1.0, warmup_steps=0, cycles=1, free_bits=0.0, num_samples=num_samples)


def assert_every_parameter_learns(model, batch):
    elbo_terms(model(batch, num_samples=2))["elbo"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


# ---- a mask on x ---------------------------------------------------------------------------------------------------


def test_a_mask_takes_coordinates_out_of_the_reconstruction_alone():
    model = Single(Spec(Size((6,)), Binary()), parts())
    x, mask = torch.rand(5, 6).round(), torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 1.0]).expand(5, 6)
    torch.manual_seed(1)
    masked = model(Batch(x, mask=mask), num_samples=3)
    torch.manual_seed(1)
    whole = model(Batch(x), num_samples=3)
    per_coordinate = whole.px.base_dist.log_prob(x)
    torch.testing.assert_close(masked.px.log_prob(x), (per_coordinate * mask).sum(-1))
    torch.testing.assert_close(elbo_terms(masked)["kl"], elbo_terms(whole)["kl"])


# ---- tokens through an autoregressive head --------------------------------------------------------------------------


class Autoregressive(Distribution):
    """prod_t p(x_t | x_<t, context)."""

    arg_constraints = {}

    def __init__(self, head, context):
        self.head, self.context = head, context
        super().__init__(context.shape[:-1], Size((head.length,)), validate_args=False)

    def log_prob(self, value):
        batch = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        value, context = value.expand(*batch, -1), self.context.expand(*batch, -1)
        return Categorical(logits=self.head.logits(value, context)).log_prob(value).sum(-1)

    def sample(self, sample_shape=Size()):  # noqa: B008
        x = torch.zeros(*sample_shape, *self.batch_shape, self.head.length, dtype=torch.long)
        context = self.context.expand(*sample_shape, *self.context.shape)
        for t in range(self.head.length):
            logits = self.head.logits(x, context)[..., t, :]
            x = torch.cat([x[..., :t], Categorical(logits=logits).sample()[..., None], x[..., t + 1 :]], -1)
        return x


class TokenHead(Head):
    """The decoder emits a context; the head owns the network that runs over shifted tokens."""

    models = (Tokens,)

    def __init__(self, spec):
        super().__init__()
        assert isinstance(spec.support, Tokens)
        self.length, count, width = spec.shape[0], spec.support.count, 8
        self.embedding = nn.Embedding(count + 1, width)  # the last: before the first token
        self.cell = nn.GRU(2 * width, width, batch_first=True)
        self.last = nn.Linear(width, count)
        self.start = count
        self.param_shape = Size((width,))
        self.embed_shape = Size((self.length, width))

    def forward(self, h):
        return Autoregressive(self, h)

    def embed(self, draw):
        return self.embedding(draw)

    def logits(self, x, context):
        shifted = F.pad(x[..., :-1], (1, 0), value=self.start)
        inputs = torch.cat([self.embedding(shifted), context.unsqueeze(-2).expand(*x.shape, -1)], -1)
        outputs, _ = self.cell(inputs.flatten(0, -3))
        return self.last(outputs).reshape(*x.shape, -1)


def test_tokens_through_an_autoregressive_head():
    """Found: `embed` changes the shape that the encoder reads, so a head also says its `embed_shape`."""
    spec = Spec(Size((3,)), Tokens(4))
    model = Single(spec, parts(likelihood=TokenHead))
    x = torch.randint(0, 4, (5, 3))
    assert_every_parameter_learns(model, Batch(x))
    everything = torch.tensor(list(itertools.product(range(4), repeat=3)))
    with torch.no_grad():
        px = model.likelihood(torch.randn(1, 8))
        torch.testing.assert_close(px.log_prob(everything.unsqueeze(1)).exp().sum(), torch.tensor(1.0))
        draws = px.sample(Size((20_000,)))[:, 0]
        frequencies = torch.tensor([(draws == one).all(1).float().mean() for one in everything])
        assert (frequencies - px.log_prob(everything.unsqueeze(1)).exp().flatten()).abs().max() < 0.015


def test_a_mask_on_a_density_that_does_not_factorise_fails_by_name():
    model = Single(Spec(Size((3,)), Tokens(4)), parts(likelihood=TokenHead))
    with pytest.raises(ConfigError, match="Autoregressive is not"):
        model(Batch(torch.randint(0, 4, (5, 3)), mask=torch.ones(5, 3)))


# ---- many models at once -------------------------------------------------------------------------------------------


def test_many_runs_at_once_under_vmap_with_noise_handed_in():
    """A whole ELBO and its gradient, for stacked weights and stacked beta: the same numbers as one at a time."""
    spec = Spec(Size((6,)), Binary())
    models = [Single(spec, parts()) for _ in range(3)]
    objective = elbo(spec, models[0], num_samples=2)
    batch, betas = Batch(torch.rand(5, 6).round()), torch.tensor([1.0, 2.0, 4.0])
    stacked, buffers = torch.func.stack_module_state(models)

    expected, draws = [], []
    for model, beta in zip(models, betas, strict=True):
        with record() as noise:
            loss = objective(model, batch, {"beta": beta})["loss"]
        loss.backward()
        draws.append(noise.draws)
        expected.append((loss.detach(), model.decoder._body.last.weight.grad))

    def loss_of(weights, buffers, beta, noise):
        with replay(noise):
            call = torch.func.functional_call(
                _Loss(objective, models[0]), (prefixed(weights), prefixed(buffers)), (batch, beta)
            )
        return call, call

    noise = [torch.stack(draw) for draw in zip(*draws, strict=True)]
    gradients, losses = torch.func.vmap(torch.func.grad(loss_of, has_aux=True))(stacked, buffers, betas, noise)
    torch.testing.assert_close(losses, torch.stack([loss for loss, _ in expected]))
    torch.testing.assert_close(gradients["decoder._body.last.weight"], torch.stack([grad for _, grad in expected]))


class _Loss(nn.Module):
    def __init__(self, objective, model):
        super().__init__()
        self.objective, self.model = objective, model

    def forward(self, batch, beta):
        return self.objective(self.model, batch, {"beta": beta})["loss"]


def prefixed(state):
    return {f"model.{name}": value for name, value in state.items()}


# ---- q for every data point ----------------------------------------------------------------------------------------


class TableModel(Model):
    """No amortisation: a row of posterior features per training example.

    Found: it needs `Batch.index` where `Infer` has only x and c, so it is a structure of its own rather than a network,
    and it has no posterior for held-out rows: validation must fit one.
    """

    def __init__(self, data, parts):
        super().__init__()
        latent = Spec(Size((parts.latent_dim,)), Real())
        self.likelihood, self.posterior = parts.likelihood(data), parts.posterior(latent)
        self.table = nn.Embedding(data.size, self.posterior.param_shape.numel())
        self.decoder = parts.decoder(self.posterior.embed_shape, self.likelihood.param_shape, None)
        self.prior = parts.prior(latent, data)

    def read(self, batch):
        return {"z": self.table(batch.index).unflatten(1, self.posterior.param_shape)}

    def passes(self, batch, features):
        q = self.posterior(features["z"])

        def trace(num_samples, given=None):
            z = q.rsample(Size((num_samples,)))
            return Trace(batch, {"z": Site(z, q, self.prior(None, lambda x, c: q))}, self.decode({"z": z}))

        return trace

    def inference_parts(self):
        return self.posterior, self.table

    def decode(self, values, c=None):
        z = values["z"]
        return self.likelihood(self.decoder(z.flatten(0, 1)).unflatten(0, z.shape[:2]))

    def generate(self, num, c=None, temperature=1.0):
        raise AssertionError("not asked for here")


def test_a_table_over_example_indices_trains_with_the_same_experiment():
    spec = Spec(Size((4,)), Real(), size=20)
    x = torch.randn(20, 4)
    model = TableModel(spec, parts(likelihood=lambda data: FixedGaussian(data, sigma=0.3, squash=False)))
    objective = elbo(spec, model, num_samples=1)
    adam = lambda parameters: torch.optim.Adam(parameters, lr=0.02)
    experiment = Experiment(model, objective, adam, lr_factor=constant(1.0), monitors=[], seed=0)
    optimizer = experiment.configure_optimizers()
    losses = []
    for _ in range(200):
        rows = torch.randperm(20)[:10]
        terms = objective(model, Batch(x[rows], index=rows), experiment.schedule_values(0))
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    untouched = model.table.weight.grad[[row for row in range(20) if row not in rows.tolist()]]
    assert (untouched == 0).all()
