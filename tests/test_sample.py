"""`vae-sample`: its arrays are what the model says, its pictures can be opened, and what it cannot give is one line."""

import shutil

import numpy as np
import pytest
import torch
from conftest import command, small_overrides, trained
from omegaconf import OmegaConf
from parts import often
from PIL import Image
from torch.distributions import Categorical, Independent, Laplace, MixtureSameFamily, MultivariateNormal, Normal

from vae_cli.build import build_data
from vae_cli.callbacks.sheet import Sheet
from vae_cli.callbacks.sheet import drawn as picture_of
from vae_cli.distributions.drawing import drawn, tempered
from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.distributions.mixture import GaussianMixture
from vae_cli.errors import ConfigError
from vae_cli.evaluation.subject import Subject
from vae_cli.inference.traverse import along, prior_quantiles
from vae_cli.loading import load_run
from vae_cli.sampling.interpolations import interpolations
from vae_cli.sampling.request import Request
from vae_cli.types import Batch

# ---- parts ---------------------------------------------------------------------------------------------------------


def test_a_temperature_multiplies_standard_deviations():
    gaussian = independent_gaussian(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 3.0]), 1)
    assert tempered(gaussian, 0.2).mean.tolist() == [1, 2]
    torch.testing.assert_close(tempered(gaussian, 0.2).stddev, 0.2 * gaussian.stddev)
    full = MultivariateNormal(torch.zeros(2), torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
    torch.testing.assert_close(tempered(full, 3.0).covariance_matrix, 9 * full.covariance_matrix)
    parts = independent_gaussian(torch.tensor([[-5.0], [5.0]]), torch.tensor([[1.0], [2.0]]), 1)
    mixture = MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), parts)
    torch.testing.assert_close(tempered(mixture, 0.1).mean, mixture.mean)
    torch.testing.assert_close(tempered(mixture, 0.0 + 1e-6).variance, torch.tensor([100 * 0.3 * 0.7]))
    own = GaussianMixture(mixture.mixture_distribution.logits, parts.mean, parts.stddev)
    x = torch.tensor([[-4.9], [5.3], [0.0]])
    torch.testing.assert_close(tempered(own, 0.1).log_prob(x), tempered(mixture, 0.1).log_prob(x))
    assert tempered(gaussian, 1.0) is gaussian
    with pytest.raises(ConfigError, match=r"temperature=2.0: Independent has no standard deviations"):
        tempered(Independent(Laplace(torch.zeros(2), torch.ones(2)), 1), 2.0)


def test_draws_by_the_noise_of_the_prior():
    mean = torch.tensor([1.0, -2.0], requires_grad=True)
    prior = independent_gaussian(mean, torch.tensor([0.5, 2.0]), 1)
    assert drawn(prior, 3, 1.0, samples=4).shape == (4, 3, 2)
    draws = drawn(prior, 20_000, 0.5)[0].detach()
    torch.testing.assert_close(draws.mean(0), mean.detach(), rtol=0, atol=0.05)
    torch.testing.assert_close(draws.std(0), torch.tensor([0.25, 1.0]), rtol=0.05, atol=0)


def test_a_walk_moves_one_dimension():
    z = along(torch.tensor([7.0, 8.0, 9.0]), torch.tensor([2, 0]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert z.tolist() == [[[7, 8, 1], [7, 8, 2]], [[3, 8, 9], [4, 8, 9]]]


def test_titles_stand_beside_rows_and_above_columns():
    images = torch.zeros(6, 1, 8, 8)
    plain = picture_of(Sheet(images, 3), images.shape[1:])
    titled = picture_of(Sheet(images, 3, ["one", "two"], ["a", "b", "c"]), images.shape[1:])
    left, top = titled.width - plain.width, titled.height - plain.height
    assert left > 0 < top
    page = np.asarray(titled)
    assert (page[top:, left:] == np.asarray(plain)).all()
    words = page[:, :left] < 128
    assert words[top : top + plain.height // 2].any()
    assert words[top + plain.height // 2 :].any()
    assert not words[:top].any()


def test_a_title_is_wrapped_above_all():
    images = torch.zeros(2, 1, 8, 8)
    plain = np.asarray(picture_of(Sheet(images, 2), images.shape[1:]))
    titled = np.asarray(picture_of(Sheet(images, 2, title="one two three four five six seven"), images.shape[1:]))
    assert titled.shape[1] == plain.shape[1], "no wider than the picture"
    top = len(titled) - len(plain)
    assert top > 30, "several lines"
    assert (titled[top:] == plain).all()
    assert (titled[: top // 2] < 128).any()
    assert (titled[top // 2 : top] < 128).any()


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(small_npz, tmp_path_factory):
    """Of several kinds, by name."""
    folder = tmp_path_factory.mktemp("sample")
    small = [*small_overrides(small_npz), "logging.pictures_every_n_epochs=0"]
    kinds = {
        "plain": ["likelihood=gaussian", "latent_dim=2"],
        "labels": ["model=cvae", "prior=conditional"],
        "factors": ["model=cvae", "condition=factors"],
        "ae": ["model=ae"],
        "sphere": ["model=hyperspherical_vae", "likelihood=gaussian"],
    }
    for name, words in kinds.items():
        trained([*small, *words], folder / name)
    return folder


@pytest.fixture
def sample(runs, tmp_path):
    """`vae-sample run=<a copy> what=...` -> the arrays and lines."""

    def run(name, *words):
        if not (tmp_path / name).exists():
            shutil.copytree(runs / name, tmp_path / name)
        done = command("sample", f"run={name}", *words, cwd=tmp_path)
        assert done.status == 0, done.stderr
        assert done.stderr == ""
        found = {}
        for path in (tmp_path / name / "samples").glob("*.npz"):
            with np.load(path) as arrays:
                found[path.stem] = {key: torch.from_numpy(arrays[key]) for key in arrays.files if key != "class_names"}
        return found, done.stdout

    return run


def test_samples_are_of_the_model_and_their_seed(sample, runs):
    found = sample("plain", "n=150")[0]["samples"]
    run = load_run(runs / "plain")
    torch.testing.assert_close(run.decode(found["z"][None]).mean[0], found["mean"])
    noise = found["x"] - found["mean"]
    assert float(noise.std()) == pytest.approx(run.config.likelihood.sigma, rel=0.03)
    assert float(found["z"].std()) == pytest.approx(1, abs=0.15)
    assert len(found["z"].unique(dim=0)) == 150
    first = sample("plain", "n=100")[0]["samples"]
    torch.testing.assert_close(first["x"], found["x"][:100])
    assert not torch.equal(sample("plain", "n=100", "seed=1")[0]["samples"]["x"], first["x"])


def test_a_cold_prior_gives_its_mean_alone(sample, runs):
    found = sample("plain", "n=3", "temperature=0")[0]["samples"]
    assert (found["z"] == 0).all()
    assert (found["mean"] == found["mean"][0]).all()


def test_labels_come_in_turn(sample):
    assert sample("labels", "n=7")[0]["samples"]["y"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert sample("labels", "n=4", "labels=[2,1]")[0]["samples"]["y"].tolist() == [2, 1, 2, 1]


def test_factors_are_those_of_examples(sample, runs):
    found = sample("factors", "n=11")[0]["samples"]["factors"]
    data = build_data(load_run(runs / "factors").config)
    assert found.tolist() == data.test.peek(torch.arange(11)).factors.tolist()


def test_reconstructions_are_at_posterior_means(sample, runs):
    found = sample("plain", "what=reconstructions", "split=val")[0]["reconstructions"]
    run = load_run(runs / "plain")
    assert torch.equal(found["x"], build_data(run.config).val.peek(found["index"]).x)
    mean = run.encode(found["x"])["z"].mean
    torch.testing.assert_close(found["z"], mean)
    torch.testing.assert_close(found["mean"], run.decode(mean[None]).mean[0])


def test_walks_go_through_the_quantiles_in_order_of_kl(sample, runs):
    found = sample("plain", "what=traversals", "n=2", "traversals.steps=5", "traversals.quantile=0.1")[0]["traversals"]
    levels = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    torch.testing.assert_close(found["value"], Normal(0.0, 1.0).icdf(levels).expand(2, 2, 5), rtol=0, atol=1e-6)
    assert (found["kl"].diff() <= 0).all()
    run = load_run(runs / "plain")
    x = build_data(run.config).test.peek(torch.tensor([0, 5])).x
    z = run.encode(x)["z"].mean[1].clone()
    z[found["dimension"][0]] = found["value"][1, 0, 3]
    torch.testing.assert_close(found["mean"][1, 0, 3], run.decode(z[None, None]).mean[0, 0])


def test_walks_without_a_kl_for_every_dimension_are_in_order_of_variance(sample, runs):
    found, lines = sample("sphere", "what=traversals")
    assert "3 dimensions in order of the variance of their means, from the 0.01 to" in lines
    run = load_run(runs / "sphere")
    means = run.encode(build_data(run.config).test.peek(torch.arange(11)).x)["z"].mean
    torch.testing.assert_close(found["traversals"]["variance"], means.var(0).sort(descending=True).values)


def test_whatever_is_decoded_lies_on_the_sphere(sample, runs):
    found = sample("sphere", "what=[samples,reconstructions]", "n=4")[0]
    torch.testing.assert_close(found["samples"]["z"].norm(dim=-1), torch.ones(4))
    means, run = found["reconstructions"]["z"], load_run(runs / "sphere")
    assert (means.norm(dim=-1) < 0.99).all()
    on_it = means / means.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(run.decode(on_it[None]).mean[0], found["reconstructions"]["mean"])


def test_quantiles_of_a_prior_are_those_of_its_draws(runs):
    """Of a conditional one they follow the condition; of one without a closed form they are of draws."""
    run = load_run(runs / "labels")
    levels = torch.tensor([0.2, 0.5, 0.9])
    for label in (0, 2):
        one = run.batch(torch.zeros(1, 1, 16, 16), y=[label])
        p = run.model.prior(one.c, lambda *_: None)
        torch.testing.assert_close(prior_quantiles(run.model, one, levels)["z"].mT, p.base_dist.icdf(levels[:, None]))
    run.model.prior.forward = lambda c, infer: MixtureSameFamily(
        Categorical(torch.ones(2)), independent_gaussian(torch.tensor([[-9.0] * 3, [9.0] * 3]), torch.ones(2, 3), 1)
    )
    found = prior_quantiles(run.model, one, torch.tensor([0.25, 0.75]))["z"]
    torch.testing.assert_close(found, torch.tensor([[-9.0, 9.0]] * 3), rtol=0, atol=0.15)


def test_interpolations_end_at_reconstructions(sample, runs):
    for name in ("plain", "labels"):
        found = sample(name, "what=interpolations", "n=2", "interpolations.steps=3")[0]["interpolations"]
        run = load_run(runs / name)
        for place, index in ((0, found["first"]), (2, found["second"])):
            batch = build_data(run.config).test.peek(index)
            z = run.encode(batch.x, batch.y)["z"].mean
            torch.testing.assert_close(found["z"][:, place], z)
            torch.testing.assert_close(found["mean"][:, place], run.decode(z[None], batch.y).mean[0])
        torch.testing.assert_close(found["z"][:, 1], found["z"][:, [0, 2]].mean(1))


def test_interpolations_show_the_examples_at_their_ends(runs):
    subject = Subject(load_run(runs / "plain"))
    kept = OmegaConf.create({"steps": 3})
    sheet = interpolations(Request(subject, 2, 1.0, []), kept).sheet
    assert sheet.column_titles == ["x", "0.00", "0.50", "1.00", "x'"]
    both = subject.some(4).x
    shown = sheet.images.unflatten(0, (2, 5))
    assert torch.equal(torch.cat([shown[:, 0], shown[:, -1]]), both)


def test_a_class_grid_has_one_noise_a_row(sample, runs):
    found = sample("labels", "what=class_grid", "n=4")[0]["class_grid"]
    run = load_run(runs / "labels")
    noise = []
    for place, label in enumerate(found["y"].tolist()):
        p = run.model.prior(torch.eye(3)[[label]], lambda *_: None).base_dist
        noise.append((found["z"][:, place] - p.loc) / p.scale)
        expected = run.decode(found["z"][None, :, place], y=[label] * 4).mean[0]
        torch.testing.assert_close(found["mean"][:, place], expected)
    torch.testing.assert_close(noise[0], noise[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(noise[0], noise[2], rtol=1e-4, atol=1e-5)
    assert len(noise[0].unique(dim=0)) == 4


def test_a_manifold_is_a_grid_of_quantiles(sample, runs):
    found = sample("plain", "what=manifold", "n=3", "manifold.quantile=0.05")[0]["manifold"]
    far = float(Normal(0.0, 1.0).icdf(torch.tensor(0.95)))
    expected = [
        [(-far, far), (0, far), (far, far)],
        [(-far, 0), (0, 0), (far, 0)],
        [(-far, -far), (0, -far), (far, -far)],
    ]
    torch.testing.assert_close(found["z"], torch.tensor(expected), rtol=0, atol=1e-6)
    torch.testing.assert_close(found["mean"], load_run(runs / "plain").decode(found["z"]).mean)


@pytest.mark.parametrize(
    ("part", "rows", "columns"),
    [
        ("bottom", slice(12, None), slice(None)),
        ("top", slice(0, 4), slice(None)),
        ("left", slice(None), slice(0, 4)),
        ("right", slice(None), slice(12, None)),
    ],
)
def test_what_is_given_stays(sample, part, rows, columns):
    words = (f"impute.missing={part}", "impute.fraction=0.25", "impute.steps=20", "impute.chains=2", "n=3")
    found = sample("plain", "what=impute", *words)[0]["impute"]
    observed = torch.ones(3, 1, 16, 16, dtype=torch.bool)
    observed[..., rows, columns] = False
    assert torch.equal(found["observed"], observed)
    wide = observed[:, None].expand(3, 2, 1, 16, 16)
    assert torch.equal(found["draws"][wide], found["x"][:, None].expand_as(wide)[wide])
    assert not torch.isclose(found["draws"][~wide], found["x"][:, None].expand_as(wide)[~wide]).all()


def test_random_pixels_are_hidden(sample):
    found = sample("plain", "what=impute", "impute.missing=random", "impute.fraction=0.2", "impute.steps=4")[0][
        "impute"
    ]
    assert float((~found["observed"]).float().mean()) == pytest.approx(0.2, abs=0.04)


def test_pictures_can_be_opened(sample, tmp_path):
    _, lines = sample("plain", "what=[samples,traversals]", "n=4", "out=pictures")
    assert "pictures/samples.png" in lines
    with Image.open(tmp_path / "pictures" / "samples.png") as picture:
        assert picture.size == (9 * 50, 50)
    with Image.open(tmp_path / "pictures" / "traversals.gif") as picture:
        assert picture.n_frames == 18
        assert picture.info["loop"] == 0
    assert {path.suffix for path in (tmp_path / "pictures").iterdir()} == {".npz", ".png", ".gif"}


def test_vectors_have_a_picture_of_their_errors_alone(tmp_path):
    np.savez(tmp_path / "v.npz", x=np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32))
    words = ["dataset=arrays", f"dataset.path={tmp_path / 'v.npz'}", "likelihood=gaussian", "latent_dim=2"]
    trained([*words, "trainer.max_steps=2", "architecture.width=8"], tmp_path / "run")
    done = command(
        "sample",
        "run=run",
        "what=[samples,impute,reconstructions]",
        "impute.missing=random",
        "impute.steps=3",
        cwd=tmp_path,
    )
    assert done.status == 0, done.stderr
    assert "x of shape [5] is no image, so there is no picture" in done.stdout
    assert sorted(path.name for path in (tmp_path / "run" / "samples").iterdir()) == [
        *("impute.npz", "reconstructions.npz", "reconstructions.png", "samples.npz"),
    ]


def test_an_autoencoder_has_reconstructions(sample):
    found = sample("ae", "what=[reconstructions,interpolations]")[0]
    assert found.keys() == {"reconstructions", "interpolations"}


def test_a_condition_stands_in_every_pass(runs):
    """Masks, labels and factors are those of the examples when they are repeated for several chains."""
    from vae_cli.sampling.impute import _repeated

    batch = Batch(torch.arange(2.0)[:, None], y=torch.tensor([5, 6]))
    repeated = _repeated(batch, 3)
    assert repeated.y.tolist() == [5, 5, 5, 6, 6, 6]
    assert repeated.x.flatten().tolist() == [0, 0, 0, 1, 1, 1]
    assert repeated.c is None


BAD = {
    "": "run: name the folder of a run, vae-sample run=<folder>",
    "run=plain what=nothing": "what=nothing: choose some of samples, reconstructions",
    "run=plain what=[]": "choose some of samples",
    "run=plain n=0": "n=0: 1 or more",
    "run=plain n=many": "n=many: a whole number is needed",
    "run=plain what=reconstructions n=12": "n=12: the test split has 11 examples",
    "run=plain what=interpolations n=6": "n=12: the test split has 11 examples",
    "run=plain temperature=-1": "temperature=-1.0: a number from 0 to 100",
    "run=plain what=traversals temperature=2": "temperature was given, and what=traversals does not read it",
    "run=plain traversals.steps=3": "traversals was given, and what=samples does not read it",
    "run=plain labels=[1]": "this run was not trained with condition=label",
    "run=labels labels=[3]": "labels=[3]: the classes are 0 to 2",
    "run=plain what=class_grid": "what=class_grid needs a run that was trained with condition=label",
    "run=labels what=manifold": "needs one latent variable of 2 dimensions, latent_dim=2: here z has 3",
    "run=plain what=traversals traversals.steps=1": "traversals.steps=1: 2 or more",
    "run=plain what=traversals traversals.quantile=0.5": "traversals.quantile=0.5: a number between 0 and 0.5",
    "run=plain what=impute impute.missing=middle": "impute.missing=middle: choose one of bottom",
    "run=plain what=impute impute.fraction=1": "impute.fraction=1: a number between 0 and 1",
    "run=plain what=impute impute.steps=1": "impute.steps=1: 2 to 1000000",
    "run=ae": "an autoencoder has no prior",
    "run=ae what=traversals": "an autoencoder has none",
    "run=sphere temperature=0.5": "HypersphericalUniform has no standard deviations; use temperature=1",
    "run=ae what=impute": "an autoencoder has none",
    "run=. out=here": "out=here: one folder is for one run",
    "run=plain what=impute split=all": "split=all: choose one of train, val, test",
}


@pytest.mark.parametrize("line", often(BAD, list(BAD)[::2]))
def test_a_bad_command_is_one_line_and_leaves_nothing(runs, tmp_path, line):
    for name in ("plain", "labels", "ae", "sphere"):
        (tmp_path / name).symlink_to(runs / name)
    before = {path for path in runs.rglob("*") if path.name != ".lock"}
    done = command("sample", *line.split(), cwd=tmp_path)
    assert (done.status, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert BAD[line] in done.stderr
    assert done.stderr.startswith("error: ")
    assert {path for path in runs.rglob("*") if path.name != ".lock"} == before
