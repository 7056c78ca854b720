"""A finished run in Python: what it gives agrees with the model that was trained, and it needs no data."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from conftest import composed, trained
from torch.distributions import kl_divergence

import vae_cli
from vae_cli.build import build_data, build_experiment
from vae_cli.callbacks.checkpoints import load_checkpoint
from vae_cli.data.described import describe, described
from vae_cli.errors import ConfigError
from vae_cli.types import Binary, Factor, Levels, Real, Spec, Tokens, UnitInterval


@pytest.fixture
def run(small, tmp_path):
    trained([*small, "likelihood=gaussian"], tmp_path / "run")
    return vae_cli.load_run(tmp_path / "run")


@pytest.fixture
def x(run):
    return build_data(run.config).test.peek(torch.arange(11)).x


def test_it_is_the_model_that_was_tested(run, small):
    config = composed([*small, "likelihood=gaussian"])
    data = build_data(config)
    experiment = build_experiment(config, data)
    experiment.load_state_dict(load_checkpoint(run.directory.checkpoints / "best.ckpt")["state_dict"])
    batch = data.test.peek(torch.arange(11))
    expected = experiment.eval().model(batch).sites["z"]
    found = run.encode(batch.x.numpy())["z"]
    assert torch.equal(found.mean, expected.q.mean)
    kl = kl_divergence(found, expected.p).mean()
    assert float(kl) == pytest.approx(run.directory.metrics()["test"]["test/kl"], rel=1e-5)
    assert run.weights.title == run.directory.metrics()["weights"]


def test_the_last_weights_on_request(run):
    last = vae_cli.load_run(run.directory.path, checkpoint="last")
    state = load_checkpoint(run.directory.checkpoints / "last.ckpt")["state_dict"]
    assert all(torch.equal(value, state[f"model.{name}"]) for name, value in last.model.state_dict().items())
    with pytest.raises(ConfigError, match="checkpoint=first: best or last"):
        vae_cli.load_run(run.directory.path, checkpoint="first")


def test_decoding_is_the_likelihood(run, x):
    z = run.encode(x)["z"].mean.unsqueeze(0)
    assert torch.equal(run.decode(z.numpy()).mean, run.model.decode({"z": z}).mean)
    assert run.decode(z).mean.shape == (1, *x.shape)


def test_samples_are_means_and_noise_from_the_seed_alone(run):
    means, samples = run.generate(200, seed=3).px.mean[0], run.sample(200, seed=3)
    noise = (samples - means).std()
    assert float(noise) == pytest.approx(run.config.likelihood.sigma, rel=0.02)
    before = torch.get_rng_state()
    assert torch.equal(run.sample(200, seed=3), samples)
    assert not torch.equal(run.sample(200, seed=4), samples)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_needs_neither_the_data_nor_its_old_place(small, small_npz, tmp_path):
    data = shutil.copy(small_npz, tmp_path / "data.npz")
    trained([*small, f"dataset.path={data}"], tmp_path / "run")
    before = vae_cli.load_run(tmp_path / "run").sample(3)
    (tmp_path / "data.npz").unlink()
    (tmp_path / "run").rename(tmp_path / "moved")
    assert torch.equal(vae_cli.load_run(tmp_path / "moved").sample(3), before)


def test_a_condition_is_made_of_labels(small, tmp_path):
    trained([*small, "model=cvae"], tmp_path / "run")
    run = vae_cli.load_run(tmp_path / "run")
    z = torch.zeros(1, 3, 3)
    means = run.decode(z, y=[0, 1, 2]).mean[0]
    assert not torch.allclose(means[0], means[1])
    assert torch.equal(run.decode(z, y=np.array([0, 0, 0])).mean[0, 2], means[0])
    with pytest.raises(ConfigError, match="trained with a condition: y is needed"):
        run.sample(3)
    with pytest.raises(ConfigError, match="3 examples have 2 rows of y"):
        run.sample(3, y=[0, 1])


def test_the_probability_of_every_example(run, x):
    found = run.log_prob(x.numpy(), samples=150)
    assert found.shape == (11,)
    assert not found.requires_grad
    torch.testing.assert_close(run.log_prob(x[[4, 2]], samples=150), found[[4, 2]], rtol=1e-5, atol=1e-3)
    assert torch.equal(run.log_prob(x, samples=150), found)
    assert not torch.equal(run.log_prob(x, samples=150, seed=1), found)
    with torch.no_grad():
        trace = run.model(run.batch(x), 5000)
        expected = (trace.log_px - trace.sites["z"].log_ratio()).double().logsumexp(0) - np.log(5000)
    assert float((run.log_prob(x, samples=5000) - expected).mean()) == pytest.approx(0, abs=0.3)
    with pytest.raises(ConfigError, match="samples=0: 1 or more"):
        run.log_prob(x, samples=0)
    with pytest.raises(ConfigError, match="x holds no examples"):
        run.log_prob(x[:0])


def test_the_probability_of_an_example_given_its_label(small, tmp_path):
    trained([*small, "model=cvae"], tmp_path / "run")
    run = vae_cli.load_run(tmp_path / "run")
    x = build_data(run.config).test.peek(torch.arange(3)).x
    assert not torch.allclose(run.log_prob(x, y=[0, 0, 0]), run.log_prob(x, y=[1, 1, 1]))
    with pytest.raises(ConfigError, match="y is needed"):
        run.log_prob(x)


def test_an_autoencoder_has_nothing_to_draw_from(small, tmp_path):
    trained([*small, "model=ae"], tmp_path / "run")
    run = vae_cli.load_run(tmp_path / "run")
    assert run.encode(np.zeros((2, 1, 16, 16)))["z"].mean.shape == (2, 3)
    with pytest.raises(ConfigError, match="an autoencoder has no prior"):
        run.sample(2)
    with pytest.raises(ConfigError, match="no bound on ln p"):
        run.log_prob(np.zeros((2, 1, 16, 16)))


def test_x_of_another_shape_is_named(run):
    with pytest.raises(ConfigError, match=r"x has shape \[2, 16, 16\]: this model takes \[examples, 1, 16, 16\]"):
        run.encode(np.zeros((2, 16, 16)))


def edit(path, change):
    content = yaml.safe_load((path / "config.yaml").read_text())
    change(content)
    (path / "config.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(latent_dim=4), "its weights do not fit its config"),
        (lambda content: content.update(latent_dim="four"), "config.yaml is damaged"),
        (lambda content: content.pop("prior"), "config.yaml is damaged: it describes no prior"),
        (lambda content: content["recorded"].pop("data"), "config.yaml is damaged: it does not describe the data"),
        (lambda content: content["recorded"]["data"].update(shape=[-1]), r"recorded.data.shape\[0\] is -1"),
        (lambda content: content["recorded"]["data"].update(shape=[10**9, 10**9]), "it does not describe the data"),
        (
            lambda content: content["recorded"]["data"].update(support="os.system"),
            "support is 'os.system'",
        ),
        (lambda content: content["prior"].update(_target_="os.system"), "names os.system, which is none of ours"),
    ],
)
def test_what_was_changed_is_refused(run, change, message):
    edit(run.directory.path, change)
    with pytest.raises(ConfigError, match=message):
        vae_cli.load_run(run.directory.path)


def test_a_folder_without_weights_is_named(run):
    for name in ("best", "last"):
        (run.directory.checkpoints / f"{name}.ckpt").unlink()
    with pytest.raises(ConfigError, match="no checkpoint there"):
        vae_cli.load_run(run.directory.path)


@pytest.mark.parametrize("support", [Binary(), UnitInterval(), Levels(17), Tokens(5), Real()])
def test_a_description_gives_the_data_back(support):
    data = Spec(torch.Size((2, 3)), support, 4, (Factor("size", 3),), torch.Size((4,)), 7, torch.zeros(2, 3))
    back = described(json.loads(json.dumps(describe(data))))
    assert torch.equal(back.mean, data.mean)
    assert describe(back) == describe(data)
