"""The latent scatter, the projector, the scalar layout, and what is said of a collapsed posterior."""

import io
import json
import re
import shutil

import matplotlib
import numpy as np
import pytest
import torch
from conftest import command, composed, resumed, small_overrides, trained, vae_train
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.projector import projector_plugin
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from torch.distributions import Independent, Normal

from vae_cli.advice import collapsed, diverged
from vae_cli.build import build_data, build_experiment
from vae_cli.callbacks.codes import cloud
from vae_cli.callbacks.latents import _of_a_site, posteriors, rows_of_many
from vae_cli.callbacks.projector import sheet, small, write_projector
from vae_cli.callbacks.scatter import Cloud, scatter
from vae_cli.callbacks.tags import of_picture
from vae_cli.distributions.delta import Delta
from vae_cli.runs import RunDirectory
from vae_cli.schedules import constant, linear
from vae_cli.types import Site

# ---- scatter ---------------------------------------------------------------------------------------------------------


def site(means, scales, prior=1.0):
    q = Independent(Normal(means, torch.tensor(scales).expand_as(means)), 1)
    p = Independent(Normal(torch.zeros(means.shape[1]), torch.full(means.shape[1:], prior)), 1)
    return Site(q.sample((1,)), q, p)


MEANS = torch.tensor([[0.0, 1, 5, 0.5], [0, -1, 5, -0.5], [0, 1, 5, 0.5], [0, -1, 5, -0.5]])
SCALES = [1.0, 0.5, 1.0, 0.01]


def test_the_style_of_a_user_changes_nothing():
    found = cloud("z", _of_a_site(site(MEANS, SCALES)), None, bounds=True)
    plain = scatter(found)
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "black"}):
        assert torch.equal(scatter(found), plain)


def test_the_two_dimensions_of_largest_kl_are_shown():
    """KL = (m^2 + s^2 - 1) / 2 - ln s: here 0, 0.818, 12.5 and 4.23 nats; by variance it would be 1 and 3."""
    found = cloud("z", _of_a_site(site(MEANS, SCALES)), torch.tensor([3, 1, 3, 1]), bounds=True)
    assert found.axes == ["z_2 (12.50 nats)", "z_3 (4.23 nats)"]
    assert np.array_equal(found.points, MEANS[:, [2, 3]].numpy())
    assert found.labels is not None
    assert found.labels.tolist() == [3, 1, 3, 1]
    assert found.standard_prior


@pytest.mark.parametrize("codes", ["without a bound", "without a density"])
def test_codes_are_ranked_by_variance(codes):
    known = site(MEANS, SCALES, prior=2.0)
    latent = known if codes == "without a bound" else Site(MEANS[None], Delta(MEANS), known.p)
    found = cloud("z", _of_a_site(latent), None, bounds=False)
    assert found.axes == ["z_1 (variance 1)", "z_3 (variance 0.25)"]
    assert not found.standard_prior


def test_only_a_standard_normal_prior_is_drawn():
    assert not cloud("z", _of_a_site(site(MEANS, SCALES, prior=2.0)), None, bounds=True).standard_prior


def test_one_dimension_has_one_axis():
    found = cloud("z", _of_a_site(site(MEANS[:, 1:2], [1.0])), None, bounds=True)
    assert found.axes == ["z_0 (0.50 nats)"]
    assert found.points.shape == (4, 1)


def shows(picture, colour, opacity=0.85):
    """Pixels of that colour on white."""
    wanted = opacity * torch.tensor(colour, dtype=torch.float32)[:, None, None] + (1 - opacity) * 255
    return int(((picture.float() - wanted).abs().amax(0) < 3).sum())


ORANGE, BLUE, GREY = (255, 127, 14), (31, 119, 180), (153, 153, 153)
YELLOW, PURPLE = (253, 231, 37), (68, 1, 84)  # the ends of a scale of colours, which classes have not
LIGHT_BLUE = (174, 199, 232)  # of twenty colours that many labels share, the second


@pytest.mark.parametrize(
    ("labels", "there", "missing"),
    [
        ([0, 1], [BLUE, ORANGE], [PURPLE, YELLOW]),
        ([1, -1], [ORANGE, GREY], [BLUE]),
        (None, [BLUE], [ORANGE]),
        ([0, 501], [BLUE, LIGHT_BLUE], [ORANGE, PURPLE, YELLOW]),
        ([501, -1], [LIGHT_BLUE, GREY], [BLUE]),
    ],
)
def test_points_have_the_colours_of_their_labels(labels, there, missing):
    points = np.array([[0.0, 0], [1, 1]])
    picture = scatter(Cloud(points, ["a", "b"], None if labels is None else np.array(labels), standard_prior=False))
    assert picture.shape == (3, 600, 720)
    assert picture.dtype == torch.uint8
    enough = {GREY: 180}  # pixels; the edges of letters are grey too
    assert all(shows(picture, colour) > enough.get(colour, 50) for colour in there)
    assert not any(shows(picture, colour) > enough.get(colour, 50) for colour in missing)


@pytest.mark.parametrize("values", [[0.0, 1, 2, 3], [0.0, 0, 0, 0]])
@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        ([0, 1, -1, 1], {BLUE: 1, ORANGE: 2, GREY: 1}),
        ([0, 100, 200, 300], {BLUE: 4, ORANGE: 0}),
        (None, {BLUE: 4, ORANGE: 0}),
    ],
)
def test_one_dimension_is_a_histogram_with_an_area_for_every_label(values, labels, counts):
    points = np.array(values)[:, None]
    cloud = Cloud(points, ["z_0"], None if labels is None else np.array(labels), standard_prior=False)
    areas = {colour: shows(scatter(cloud), colour, opacity=1) for colour in counts}
    unit = sum(areas.values()) / 4
    assert unit > 500
    assert {colour: area / unit for colour, area in areas.items()} == pytest.approx(counts, abs=0.1)


QUICK = ["logging.pictures_every_n_epochs=0"]

# ---- a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(small_npz, tmp_path_factory):
    words = [*small_overrides(small_npz), "likelihood=gaussian"]
    path = tmp_path_factory.mktemp("dashboards") / "run"
    trained(words, path)
    return path, words


def events(path):
    return EventAccumulator(str(path), size_guidance={"scalars": 0, "images": 0}).Reload()


def test_the_scatter_is_logged_and_saved(run):
    path, _ = run
    (event,) = events(path).Images("visual/latents")
    logged = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
    assert event.step == 18
    assert np.array_equal(logged, np.asarray(Image.open(path / "images" / "latents.png")))


def projected(path):
    """What the projector reads of a run, as it reads it: the config, points, lines of metadata, sprites."""
    place = path / "projector_config.pbtxt"
    config = text_format.Parse(place.read_text(), ProjectorConfig())
    (entry,) = config.embeddings

    def found(name):
        return projector_plugin._rel_to_abs_asset_path(name, str(place))

    points = projector_plugin._read_tensor_tsv_file(found(entry.tensor_path))
    with open(found(entry.metadata_path)) as lines:
        known = [line.split("\t") for line in lines.read().splitlines()]
    sprites = None
    if entry.sprite.image_path:
        sprites = np.asarray(Image.open(found(entry.sprite.image_path)))
    return entry, points, known, sprites


def test_examples_are_taken_from_all_over_the_split(tmp_path):
    np.savez(tmp_path / "many.npz", x=np.zeros((4000, 1, 3, 3), np.uint8), y=np.arange(4000) % 2)
    config = composed([*small_overrides(tmp_path / "many.npz"), "dataset.val=0.5"])
    data = build_data(config)
    assert rows_of_many(data).tolist() == list(range(0, 2000, 2))


def test_a_few_examples_at_a_time_say_what_all_at_once_say(small):
    config = composed([*small, "dataset.eval_batch_size=4"])
    data = build_data(config)
    experiment = build_experiment(config, data).eval()
    with torch.no_grad():
        found = posteriors(experiment, data, torch.arange(11))["z"]
        site_ = experiment.model(data.val.peek(torch.arange(11))).sites["z"]
    torch.testing.assert_close(found.means, site_.q.mean)
    assert found.kl is not None
    assert float(found.kl.sum()) == pytest.approx(float(site_.kl().mean()), rel=1e-5)
    assert found.active == int((site_.q.mean.var(0, correction=0) > 0.01).sum())


def test_the_projector_shows_posterior_means_labels_and_images(run):
    path, words = run
    entry, points, (header, *known), sprites = projected(path)
    config = composed(words)
    data = build_data(config)
    experiment = build_experiment(config, data).eval()
    experiment.load_state_dict(torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    batch = data.val.peek(torch.arange(11))
    means = experiment.model(batch).sites["z"].q.mean
    assert entry.tensor_name == "z"
    assert points == pytest.approx(means.detach().numpy(), rel=1e-6)
    assert list(entry.tensor_shape) == [11, 3]
    assert header == ["label", "factor_0", "factor_1", "row"]
    assert batch.y is not None
    assert batch.factors is not None
    assert [int(line[0]) for line in known] == batch.y.tolist()
    assert [[int(word) for word in line[1:3]] for line in known] == batch.factors.tolist()
    width, height = entry.sprite.single_image_dim
    assert (width, height) == (16, 16)
    assert sprites is not None
    for i, image in enumerate(batch.x):
        row, column = divmod(i, sprites.shape[1] // width)
        tile = sprites[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        assert np.array_equal(tile, (image[0] * 255).round().byte()[..., None].expand(-1, -1, 3).numpy())


def test_a_run_moved_and_resumed_has_one_set_of_points(run, tmp_path):
    path, _ = run
    moved = tmp_path / "moved"
    shutil.copytree(path, moved)
    files = sorted(file.name for file in (moved / "projector").iterdir())
    _, before, _, _ = projected(moved)
    resumed(moved, lambda config: config.trainer.__setattr__("max_epochs", 5))
    _, after, _, _ = projected(moved)
    assert files == ["metadata.tsv", "sprites.png", "tensors.tsv"]
    assert sorted(file.name for file in (moved / "projector").iterdir()) == files
    assert before.shape == after.shape
    assert np.abs(before - after).max() > 1e-4
    assert [event.step for event in events(moved).Images("visual/latents")] == [18, 30]


def test_no_pictures_no_projector(small, tmp_path):
    trained([*small, "logging.pictures_every_n_epochs=0"], tmp_path / "run")
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert not found & {"images", "projector", "projector_config.pbtxt"}


@pytest.mark.parametrize(("shape", "tile"), [((3, 256, 128), (64, 32)), ((1, 8, 8), (8, 8)), ((200, 3), (64, 1))])
def test_large_images_become_small_tiles(shape, tile):
    assert small(torch.rand(2, *shape)).shape == (2, 3, *tile)
    assert sheet(small(torch.rand(1000, 1, 2, 2))).shape == (3, 64, 64)
    mean = small(torch.tensor([0.2, 0.4]).repeat(64)[None, None].expand(1, 2, 128))
    assert mean.flatten().tolist() == pytest.approx([0.3] * mean.numel())


def test_colours_and_order_of_sprites(tmp_path):
    images, one = torch.rand(5, 3, 4, 6), torch.rand(5, 1)
    write_projector(tmp_path, "z", one, {"row": [0, 1, 2, 3, 4]}, images)
    entry, points, known, sprites = projected(tmp_path)
    assert points == pytest.approx(torch.cat([one, torch.zeros(5, 2)], 1).numpy()), "of fewer than 3 it shows nothing"
    assert list(entry.tensor_shape) == [5, 3]
    assert known == [["0"], ["1"], ["2"], ["3"], ["4"]], "one column has no header"
    assert list(entry.sprite.single_image_dim) == [6, 4]
    assert sprites is not None
    assert sprites.shape == (12, 18, 3)
    assert np.array_equal(sprites[4:8, :6], (images[3] * 255).round().byte().permute(1, 2, 0).numpy())


# ---- custom scalars --------------------------------------------------------------------------------------------------


def shown_layout(folder):
    """Category -> chart -> tags, of all runs below a folder, as TensorBoard merges them."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    found = CustomScalarsPlugin(TBContext(data_provider=provider, logdir=str(folder))).layout_impl(RequestContext(), "")
    layout = json.loads(found)
    titles = [chart["title"] for category in layout["category"] for chart in category["chart"]]
    assert len(titles) == len(set(titles))
    return {
        category["title"]: {chart["title"]: chart["multiline"]["tag"] for chart in category["chart"]}
        for category in layout["category"]
    }


def tags_of(path, charts):
    """The tags that each chart shows of a run."""
    tags = events(path).Tags()["scalars"]
    return {title: {tag for tag in tags for like in some if re.match(like, tag)} for title, some in charts.items()}


def test_charts_of_several_runs_under_one_folder(small, tmp_path):
    for name, model in {"a": "ae", "b": "vae", "c": "annealed_vae", "d": "iwae"}.items():
        trained([*small, f"model={model}", *QUICK], tmp_path / name)
    layout = shown_layout(tmp_path)
    assert list(layout) == ["fit", "schedules", "latents"]
    fit = tags_of(tmp_path / "b", layout["fit"])
    for title, split in (("training", "train"), ("validation", "val")):
        assert fit[f"ELBO and reconstruction, {title}"] == {f"{split}/elbo", f"{split}/reconstruction"}
    assert not [title for title, tags in fit.items() if any("/kl" in tag for tag in tags)], "a KL has another scale"
    assert fit["loss"] == {"train/loss", "val/loss"}
    assert tags_of(tmp_path / "a", layout["fit"])["reconstruction"] == {"train/reconstruction", "val/reconstruction"}
    assert {"train/bound", "val/bound"} <= tags_of(tmp_path / "d", layout["fit"])["bounds on ln p(x)"]
    latents = tags_of(tmp_path / "b", layout["latents"])
    assert latents == {
        "KL": {"train/kl", "val/kl"},
        "KL by latent variable, validation": {"val/kl/z"},
        "active units": {"val/active_units"},
    }
    rates = tags_of(tmp_path / "b", layout["schedules"])
    assert rates == {"learning rate": {"train/lr"}, "beta": {"train/beta"}, "capacity": set()}
    assert tags_of(tmp_path / "c", layout["schedules"])["capacity"] == {"train/capacity"}
    (tmp_path / "alone").mkdir()
    (tmp_path / "a").rename(tmp_path / "alone" / "a")
    assert shown_layout(tmp_path / "alone").keys() == {"fit", "schedules"}, "an autoencoder has no KL and no bound"


def test_a_density_is_offered_no_empty_chart_of_a_kl(small, tmp_path):
    trained([*small, "structure=density", "condition=label", *QUICK], tmp_path / "run")
    layout = shown_layout(tmp_path)
    assert layout.keys() == {"fit", "schedules"}
    assert all(tags_of(tmp_path / "run", charts) for charts in layout.values())
    assert not [title for charts in layout.values() for title in charts if "KL" in title]


# ---- what is seen first ----------------------------------------------------------------------------------------------

RUNS = {
    "plain": [],
    "levels": ["likelihood=discretized_logistic"],
    "tighter": ["logging.test_importance_samples=2"],
    "importance weighted": ["model=iwae"],
    "two latents": ["structure=hierarchical", "latent_dim=[3,2]"],
    "with a penalty": ["model=mmd_vae"],
    "density": ["structure=density", "condition=label"],
}


def test_what_every_run_has_comes_first(small, tmp_path):
    """HPARAMS ticks the first five figures, and PARALLEL COORDINATES draws runs that have them all."""
    for name, words in RUNS.items():
        trained([*small, *words, "trainer.max_epochs=1", *QUICK], tmp_path / name)
    done = command("eval", "run=plain", "metrics=[clustering]", cwd=tmp_path)
    assert done.status == 0, done.stderr
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(tmp_path))))
    names = [tag for tag, _ in context._compute_metric_names(RequestContext(), "", set(RUNS))]
    assert names[:5] == ["test/elbo", "test/kl", "test/loss", "test/reconstruction", "test/steps"]
    for name in RUNS:
        found = events(tmp_path / name)
        assert set(names[:5]) <= set(found.Tags()["scalars"]), name
        assert [event.value for event in found.Scalars("test/steps")] == [6.0]
    groups = list(dict.fromkeys(tag.partition("/")[0] for tag in names))
    assert groups == ["test", "train", "val", "via_vae-eval"]
    assert of_picture("latents") > "via_vae-eval", "pictures have a tab of their own"


# ---- collapse --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("active", "step", "schedule", "said"),
    [
        ((0, 2), 500, constant(1.0), "none of the 2 dimensions of z is active after 500 steps"),
        ((1, 2), 500, constant(1.0), None),
        ((0, 2), 499, constant(1.0), None),
        ((0, 2), 500, linear(1.0, 1000), None),
        ((0, 2), 1001, linear(1.0, 1000), "none of the 2 dimensions of z is active"),
        ((1, 10), 500, constant(1.0), "1 of the 10 dimensions of z is active"),
        ((2, 20), 500, constant(1.0), "2 of the 20 dimensions of z are active"),
        ((3, 20), 500, constant(1.0), None),
        ((2, 19), 500, constant(1.0), None),
        ((20, 784), 500, constant(1.0), None),
    ],
)
def test_few_active_units_are_told_when_it_is_time(active, step, schedule, said):
    found = list(collapsed(composed(["beta=4"]), {"beta": schedule}, {"z": active}, step))
    assert len(found) == (said is not None)
    assert all(text.startswith(f"posterior collapse: {said}") for text in found)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["beta=4"], "a beta below 4, objective.warmup_steps, objective.free_bits"),
        (["objective.warmup_steps=9"], "a beta below 1, objective.free_bits"),
        (["model=annealed_vae"], "an objective.capacity above 25"),
        (["model=iwae", "likelihood=gaussian"], "a likelihood.sigma below 0.1"),
    ],
)
def test_what_is_advised_is_there(words, advice):
    (text,) = collapsed(composed(words), {}, {"z": (0, 20)}, 1000)
    assert text.endswith(f"so the decoder hardly uses z: try {advice}, a smaller decoder, or a longer run")


@pytest.mark.parametrize(
    ("first", "best", "last", "told"),
    [(100.0, 90.0, 1e14, True), (100.0, 90.0, 100.0, False), (-5.0, -9.0, -4.0, True), (None, 9.0, None, False)],
)
def test_a_loss_that_ends_worse_than_it_began_is_told(first, best, last, told):
    found = list(diverged(composed(["optimizer.lr=0.01"]), first, best, last))
    assert len(found) == told
    assert all("try an optimizer.lr below 0.01, trainer.gradient_clip_val=100" in text for text in found)


def test_a_run_that_diverges_says_so_and_keeps_its_best_weights(small, tmp_path, capsys):
    """Gradients of a step too large by far, after a good start."""
    trained([*small, "optimizer=adam", "optimizer.lr=1e-3"], tmp_path / "run")
    assert "validation loss" not in capsys.readouterr().err

    def go_on(config):
        config.trainer.max_epochs, config.optimizer.lr = 5, 3.0

    resumed(tmp_path / "run", go_on)
    assert "the validation loss ended at" in capsys.readouterr().err
    assert "(step 30)" not in RunDirectory(tmp_path / "run").metrics()["weights"]


@pytest.mark.parametrize("examples", [1, 9, 10])
def test_neither_collapse_nor_divergence_is_told_of_a_few_validation_examples(small_npz, tmp_path, examples, capsys):
    """Of one example no mean varies, and a loss of few is chance."""
    words = ["dataset.test=0.15", f"dataset.val={examples / 75}", "beta=1000", "trainer.max_epochs=10", *QUICK]
    trained([*small_overrides(small_npz), *words, "dataset.batch_size=1", "optimizer.lr=0.01"], tmp_path / "run")
    enough = examples == 10
    assert ("posterior collapse" in capsys.readouterr().err) == enough
    assert ("val/active_units" in events(tmp_path / "run").Tags()["scalars"]) == enough


LONG_ENOUGH = ["trainer.max_epochs=10", "dataset.batch_size=1"]  # ten epochs of 53 steps


@pytest.mark.parametrize(("beta", "said"), [(1, 0), (1000, 1)])
def test_a_collapsed_run_says_so_once_and_a_healthy_one_does_not(small, tmp_path, beta, said):
    words = [*small, *LONG_ENOUGH, f"beta={beta}", "logging.pictures_every_n_epochs=0"]
    done = vae_train(*words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.status == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == said
    warning = "warning: posterior collapse: none of the 3 dimensions of z is active after 530 steps"
    assert all(line.startswith(warning) for line in lines)
    assert (tmp_path / "run" / "train.log").read_text().count("posterior collapse") == said
