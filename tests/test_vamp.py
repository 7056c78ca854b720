"""The prior that is a mixture of posteriors at learned inputs, against its definition; its optimiser and pictures."""

import math

import numpy as np
import pytest
import torch
from conftest import composed, trained
from hydra.utils import instantiate
from parts import POSTERIORS, leaf
from torch import Size

from vae_cli.build import build_data, build_experiment
from vae_cli.data.base import Rows, Source
from vae_cli.data.binarize import binarize
from vae_cli.errors import ConfigError
from vae_cli.loading import load_run
from vae_cli.optimizers import AdamNormGrad
from vae_cli.types import Binary, Levels, Real, Spec, Tokens

K, Z = 5, 3


def built(small, *overrides):
    words = [word for word in small if not word.startswith("latent_dim")]
    config = composed([*words, f"latent_dim={Z}", "prior=vamp", f"prior.components={K}", *overrides])
    data = build_data(config)
    return build_experiment(config, data), next(iter(data.train))


def prior(data, **settings):
    return instantiate(leaf("prior", "vamp"), components=K, **settings)(Spec(Size((Z,)), Real()), data)


@pytest.mark.parametrize("posterior", [choice for choice in POSTERIORS if choice != "von_mises_fisher"])
def test_its_density_is_the_mean_of_the_posteriors_at_the_pseudo_inputs(small, posterior):
    """For a q of which torch could build no batch, one pseudo-input at a time."""
    experiment, _ = built(small, f"posterior={posterior}")
    model = experiment.model.double().eval()
    z = torch.randn(7, 1, Z, dtype=torch.float64)
    with torch.no_grad():
        found = model.prior(None, model.infer).log_prob(z)
        inputs = model.prior.inputs.clamp(0, 1)
        each = torch.stack([model.infer(one[None]).log_prob(z) for one in inputs])
    torch.testing.assert_close(found, each.logsumexp(0) - math.log(K), rtol=1e-5, atol=1e-5)
    assert model.generate(4).values["z"].shape == (1, 4, Z)


@pytest.mark.parametrize("posterior", ["diagonal", "cholesky"])
def test_draws_are_of_the_prior_and_not_of_a_standard_normal(small, posterior):
    """The mean log density of draws is minus the entropy, here almost ln K + that of one component."""
    experiment, _ = built(small, f"posterior={posterior}")
    model = experiment.model.eval()
    last = [module for module in model.encoder.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.copy_(40 * torch.randn_like(last.weight))  # components far apart ...
        last.weight[Z:] = 0
        last.bias[Z:] = 0  # ... and of one entropy
        model.prior.inputs.copy_(torch.rand_like(model.prior.inputs))
        z = model.generate(4000).values["z"][0]
        p = model.prior(None, model.infer)
        one = model.infer(model.prior.pseudo_inputs[:1]).entropy().item()
        found = -p.log_prob(z).mean().item()
    assert found == pytest.approx(math.log(K) + one, abs=0.1)
    assert z.std(0).max() > 3


@pytest.mark.parametrize("objective", ["elbo", "iwae", "piwae"])
def test_the_gradient_of_the_prior_reaches_pseudo_inputs_and_encoder(small, objective):
    experiment, batch = built(small, f"objective={objective}")
    experiment.objective(experiment.model, batch, experiment.schedule_values(10**6))["loss"].backward()
    assert experiment.model.prior.inputs.grad.abs().sum() > 0
    model = experiment.model
    model.zero_grad()
    model.prior(None, model.infer).log_prob(torch.zeros(Z)).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.encoder.parameters())
    assert all(parameter.grad is None for parameter in model.decoder.parameters())


def test_the_kl_is_that_of_the_draws(small):
    experiment, batch = built(small)
    site = experiment.model(batch, 6).sites["z"]
    torch.testing.assert_close(site.kl(), site.q.log_prob(site.value) - site.p.log_prob(site.value))


def test_the_encoder_passes_over_the_pseudo_inputs_once_however_many_draws_there_are(small):
    experiment, batch = built(small, "objective=iwae", "objective.num_samples=7")
    sizes = []
    experiment.model.encoder.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    experiment.objective(experiment.model, batch, {})
    assert sorted(sizes) == sorted([len(batch.x), K])


def test_it_starts_as_typed_and_stays_where_x_is():
    data = Spec(Size((1, 20, 20)), Binary())
    start = prior(data, mean=0.3, std=0.1).inputs.detach()
    assert start.mean().item() == pytest.approx(0.3, abs=0.01)
    assert start.std().item() == pytest.approx(0.1, abs=0.01)
    part = prior(data, mean=0.0, std=1.0)
    assert (part.inputs.min(), part.inputs.max()) == (0, 1)
    with torch.no_grad():
        part.inputs.add_(5)
    assert (part.pseudo_inputs == 1).all()
    real = prior(Spec(Size((20,)), Real()), mean=-7.0, std=0.0)
    assert (real.pseudo_inputs == -7).all()


def test_it_starts_as_training_examples_on_request():
    x = (torch.arange(40)[:, None] * torch.ones(1, 4)).to(torch.uint8)
    rows = [Rows(part, None) for part in (x[:30], x[30:35], x[35:])]
    data = binarize(Source(*rows, support=Levels(256)), "none").spec
    torch.testing.assert_close(prior(data, from_data=True, std=0.0).inputs.detach() * 255, x[:30:6].float())
    again = binarize(Source(*rows, support=Levels(256)), "dynamic").spec
    first, second = (prior(again, from_data=True, std=0.0).inputs.detach() for _ in range(2))
    assert torch.equal(first, second)
    assert set(first.unique().tolist()) <= {0.0, 1.0}
    with pytest.raises(ConfigError, match=r"there are 30 training examples for prior.components=31"):
        instantiate(leaf("prior", "vamp"), components=31, from_data=True)(Spec(Size((Z,)), Real()), data)


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (Spec(Size((4,)), Binary(), condition=Size((3,))), {}, "without a condition: choose condition=none"),
        (Spec(Size((4,)), Tokens(9)), {}, "numbers, and x holds tokens"),
        (Spec(Size((4,)), Binary()), {"std": -1.0}, "prior.std=-1.0"),
        (Spec(Size((4,)), Binary()), {"mean": math.inf}, "prior.mean=inf"),
    ],
)
def test_what_it_cannot_be_made_of_is_refused(data, settings, message):
    with pytest.raises(ConfigError, match=message):
        prior(data, **settings)


def test_a_run_shows_its_pseudo_inputs_and_is_loaded_without_its_data(small, tmp_path):
    words = ["prior=vamp", f"prior.components={K}", "prior.from_data=true", "logging.pictures_every_n_epochs=1"]
    trained([*small, *words, "trainer.max_steps=2"], tmp_path / "run")
    assert (tmp_path / "run" / "images" / "pseudo_inputs.png").is_file()
    run = load_run(tmp_path / "run")
    assert run.sample(3).shape[0] == 3
    x = np.zeros((2, *run.data.shape), np.float32)
    assert torch.equal(run.log_prob(x, samples=20, memory=10**5), run.log_prob(x, samples=20))


def test_adam_norm_grad_is_adam_on_gradients_of_length_one():
    ours, theirs = (torch.nn.Linear(3, 2).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    settings = {"lr": 0.1, "weight_decay": 0.01}
    optimizers = AdamNormGrad(ours.parameters(), **settings), torch.optim.Adam(theirs.parameters(), **settings)
    for step in range(5):
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step)).double()
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            (100 * model(x).square().mean()).backward()
        for parameter in theirs.parameters():
            parameter.grad /= parameter.grad.norm() + 1e-7
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()))
    assert all(parameter.grad.norm() == pytest.approx(1) for parameter in ours.parameters())
