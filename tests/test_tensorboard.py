"""What TensorBoard shows of a run, read back as TensorBoard reads it."""

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import yaml
from conftest import composed, resumed, scalars, trained
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.metadata import (
    parse_session_end_info_plugin_data,
    parse_session_start_info_plugin_data,
)

from vae_cli.build import build_data, build_experiment
from vae_cli.callbacks.grid import grid, is_image
from vae_cli.callbacks.pictures import _rows, _sheets
from vae_cli.callbacks.tables import most_correlated, relative_errors
from vae_cli.runs import RunDirectory


@pytest.fixture
def run(small, tmp_path):
    trained([*small, "model=beta_vae", "beta=4"], tmp_path / "run")
    return tmp_path / "run"


def events(path):
    return EventAccumulator(str(path), size_guidance={"scalars": 0, "images": 0}).Reload()


def test_tags_signs_and_steps(run):
    found = scalars(run)
    for split in ("train", "val"):
        for name in ("loss", "elbo", "reconstruction", "kl", "kl/z"):
            assert f"{split}/{name}" in found
    assert {"train/beta", "train/lr", "val/active_units"} <= found.keys()
    assert not {tag for tag in found if tag.split("/")[0] not in ("train", "val")}, "no epoch, no hp_metric"
    assert [step for step, _ in found["train/elbo"]] == [4, 6, 8, 12, 16, 18]  # every 4 steps and each epoch of 6
    assert [step for step, _ in found["val/elbo"]] == [6, 12, 18]
    assert {value for _, value in found["train/beta"]} == {4.0}


@pytest.mark.parametrize("split", ["train", "val"])
def test_elbo_is_reconstruction_minus_kl_at_every_logged_step(run, split):
    found = scalars(run)
    rows = [found[f"{split}/{name}"] for name in ("elbo", "reconstruction", "kl", "loss")]
    for (_, elbo), (_, reconstruction), (_, kl), (_, loss) in zip(*rows, strict=True):
        assert elbo == pytest.approx(reconstruction - kl, abs=1e-4)
        assert loss == pytest.approx(4 * kl - reconstruction, abs=1e-4)
        assert kl >= 0


def test_test_figures_are_logged_once_at_the_last_step(run):
    logged = events(run).Scalars("test/elbo")
    assert [event.step for event in logged] == [18]
    figures = json.loads((run / "metrics.json").read_text())["test"]
    assert logged[0].value == pytest.approx(figures["test/elbo"], rel=1e-6)


def test_pictures(run):
    found = events(run)
    for name in ("samples", "reconstructions", "traversals"):
        (event,) = found.Images(f"visual/{name}")
        logged = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        saved = np.asarray(Image.open(run / "images" / f"{name}.png"))
        assert np.array_equal(logged if logged.ndim == 2 else logged[..., 0], saved)
        assert saved.std() > 5, "a picture of one grey shows nothing"


def test_per_dimension_kl_is_a_histogram_that_adds_up(run):
    last = events(run).Histograms("val/kl_per_dimension/z")[-1]
    kl = scalars(run)["val/kl"][-1][1]
    assert last.histogram_value.num == 3
    assert last.histogram_value.sum == pytest.approx(kl, rel=1e-4)


def test_config_as_text(run):
    found = events(run)
    text = found.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert yaml.safe_load(text.removeprefix("```yaml\n").removesuffix("```"))["beta"] == 4.0


def hparams(path) -> Iterator[tuple[str, bytes]]:
    metadata = events(path).summary_metadata
    for tag in ("_hparams_/session_start_info", "_hparams_/session_end_info"):
        yield tag, metadata[tag].plugin_data.content
    assert "_hparams_/experiment" not in metadata, "one run's experiment summary would hide the columns of the others"


def test_hyperparameters_and_success(run):
    (_, start), (_, end) = hparams(run)
    shown = parse_session_start_info_plugin_data(start).hparams
    assert shown["beta"].number_value == 4.0
    assert shown["model"].string_value == "vae"
    assert {"seed", "latent_dim", "optimizer.lr", "architecture.width", "dataset.binarize"} <= shown.keys()
    assert not {name for name in shown if "path" in name or "logging" in name}
    assert "objective.beta" not in shown, "a value that refers to another is shown once"
    assert parse_session_end_info_plugin_data(end).status == Status.Value("STATUS_SUCCESS")


def test_a_resumed_run_repeats_no_step_and_keeps_its_hyperparameters(run):
    resumed(run, lambda config: config.trainer.__setattr__("max_epochs", 5))
    steps = [step for step, _ in scalars(run)["val/elbo"]]
    assert steps == [6, 12, 18, 24, 30]
    assert [event.step for event in events(run).Scalars("test/elbo")] == [18, 30]


def test_a_finished_run_asked_again_says_the_same_and_logs_nothing(run):
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    outcome = resumed(run)
    assert outcome.figures == RunDirectory(run).metrics()["test"]
    after = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert before == after


def test_vectors_have_pictures_of_their_columns(small, tmp_path):
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).normal(size=(60, 5)))
    arrays = ["dataset=arrays", f"dataset.path={tmp_path / 'vectors.npy'}", "likelihood=gaussian"]
    trained([*small, *arrays], tmp_path / "run")
    found = {path.stem for path in (tmp_path / "run" / "images").iterdir()}
    assert found == {"kl", "latents", "errors", "pairs"}
    assert {f"visual/{name}" for name in found} == set(events(tmp_path / "run").Tags()["images"])
    assert [path.name for path in sorted((tmp_path / "run" / "projector").iterdir())] == ["metadata.tsv", "tensors.tsv"]


def test_an_autoencoder_shows_no_bound_and_no_samples(small, tmp_path):
    """Nothing trains its prior, and the scale of its code is arbitrary."""
    outcome = trained([*small, "model=ae"], tmp_path / "run")
    assert outcome.figures.keys() == {"test/loss", "test/reconstruction"}
    assert not {"val/elbo", "val/kl", "val/active_units"} & scalars(tmp_path / "run").keys()
    assert {path.name for path in (tmp_path / "run" / "images").iterdir()} == {"latents.png", "reconstructions.png"}


def test_pairs_of_columns_that_depend_on_each_other_come_first():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)) * np.array([1.0, 100, 1, 0])
    x[:, 2] = -x[:, 0] + 0.1 * rng.normal(size=500)
    assert most_correlated(x)[0] == [0, 2]
    assert most_correlated(x[:, :1]) == [[0]]
    assert sorted(column for pair in most_correlated(x) for column in pair) == [0, 1, 2, 3], "no column twice"


def test_errors_are_in_standard_deviations_of_their_columns():
    x = np.array([[0.0, 5], [2, 5], [4, 5], [6, 5]])
    assert relative_errors(x, np.full_like(x, [3.0, 7])).tolist() == [1.0, 2.0]
    assert relative_errors(x, x).tolist() == [0.0, 0.0]


def test_probabilities_of_levels_show_bits_and_bounds(small, tmp_path):
    words = ["likelihood=discretized_logistic", "logging.importance_samples=3", "logging.test_importance_samples=7"]
    figures = trained([*small, *words], tmp_path / "run").figures
    assert figures["test/bits_per_dimension"] == pytest.approx(-figures["test/elbo"] / (256 * np.log(2)))
    assert figures["test/iwae_7"] > figures["test/elbo"]
    assert {"val/bits_per_dimension", "val/iwae_3"} <= scalars(tmp_path / "run").keys()


def test_lists_are_hyperparameters(small, tmp_path):
    words = ["architecture=conv", "architecture.channels=[4,8]", "architecture.kernels=[4,4]"]
    trained([word for word in small if not word.startswith("architecture")] + words, tmp_path / "run")
    start = events(tmp_path / "run").summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert parse_session_start_info_plugin_data(start).hparams["architecture.channels"].string_value == "[4, 8]"


def test_grid_lays_images_out_row_by_row():
    images = torch.stack([torch.full((1, 48, 48), i / 10) for i in range(5)])
    picture = grid(images, images.shape[1:], columns=3)
    assert picture.shape == (1, 100, 150)
    corners = [[int(picture[0, 50 * row, 50 * column]) for column in range(3)] for row in range(2)]
    assert corners == [[0, 26, 51], [76, 102, 128]]
    assert is_image(torch.Size((3, 4, 4)))
    assert not is_image(torch.Size((5,)))
    assert not is_image(torch.Size((1, 1, 1000))), "a row of numbers"


# ---- pictures of every kind of model ---------------------------------------------------------------------------------

MODELS = {
    "a standard prior": ([], "its value"),
    "a learned prior": (["model=vampprior", "prior.components=4"], "of each row"),
    "a prior of the condition": (["model=cvae", "prior=conditional"], "of each row"),
    "two latents": (["structure=hierarchical", "latent_dim=[3,2]"], "of each row"),
    "a sphere": (["model=hyperspherical_vae"], "its value"),  # from -1 to 1 in every direction
}


def sheets_of(small, *words):
    """By name, of a model that was not trained."""
    config = composed([*small, "likelihood=gaussian", *words])
    data = build_data(config)
    experiment = build_experiment(config, data).eval()
    with torch.no_grad():
        return experiment, dict(_sheets(experiment, data.examples(20), 9))


@pytest.mark.parametrize("kind", MODELS)
def test_every_prior_has_walks_with_names_and_values(small, kind):
    words, columns = MODELS[kind]
    experiment, sheets = sheets_of(small, *words)
    walks = sheets["traversals"]
    assert columns in walks.title
    assert len(walks.row_titles) * 10 == len(walks.images)
    assert all(title.split("_")[0] in experiment.model.latents for title in walks.row_titles)
    assert len(walks.column_titles) == 10
    if kind == "a standard prior":
        assert (walks.column_titles[0], walks.column_titles[-1]) == ("-3.00", "3.00")
    elif kind != "a sphere":
        assert all(" to " in title for title in walks.row_titles)


def test_pseudo_inputs_are_shown_from_their_lowest_to_their_highest_value(small):
    experiment, sheets = sheets_of(small, "model=vampprior", "prior.components=4")
    shown, inputs = sheets["pseudo_inputs"], experiment.model.prior.pseudo_inputs.detach()
    low, high = float(inputs.min()), float(inputs.max())
    assert high < 0.5, "nearly black"
    assert shown.title == f"pseudo_inputs: black is {low:.3g}, white is {high:.3g}"
    torch.testing.assert_close(shown.images, (inputs - low) / (high - low))


def test_every_reconstruction_stands_below_its_original():
    rows = _rows(torch.arange(14.0)[:, None], 10)
    assert [len(row) for row in rows] == [10, 10]
    assert rows[1][4:].flatten().tolist() == [0.5] * 6
