"""`vae-export`: what it writes gives the numbers of the run, where this package cannot be imported."""

import json
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from functools import reduce
from itertools import cycle, islice
from operator import getitem
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import command, small_overrides, trained
from omegaconf import DictConfig
from parts import choices, small_architecture
from refusals import COMMON, assert_refused
from safetensors import safe_open
from test_full_disk import disk  # noqa: F401
from test_loading import edit

from vae_cli.distributions.gaussian import independent_gaussian
from vae_cli.errors import ConfigError
from vae_cli.exporting.export import export_run
from vae_cli.exporting.files import FILES
from vae_cli.exporting.programs import Encoder, program
from vae_cli.files import replacing_folder
from vae_cli.inference.means import posterior_means
from vae_cli.loading import load_run
from vae_cli.runs import RunDirectory
from vae_cli.types import Model, Site, Trace

SIZES = (1, 2, 7)
ROOT = Path(__file__).parent.parent


GROUPS = ("architecture", "likelihood", "posterior", "condition", "corruption")


def exportable(group):
    return [choice for choice in choices(group) if choice != "von_mises_fisher"]


def combinations():
    """Every architecture, likelihood, posterior, condition and corruption at least once."""
    number = max(len(exportable(group)) for group in GROUPS)
    for row in zip(*(islice(cycle(exportable(group)), number) for group in GROUPS), strict=True):
        chosen = dict(zip(GROUPS, row, strict=True))
        chosen["objective"] = "reconstruction" if chosen["posterior"] == "delta" else "elbo"
        with_prior = chosen["condition"] != "none" and chosen["objective"] == "elbo"
        yield {**chosen, "prior": "conditional" if with_prior else "standard"}


COMBINATIONS = {"_".join(list(axes.values())[:4]): axes for axes in combinations()}


def exported(run, out, **config):
    config = {"checkpoint": "best", "trust": [], **config}
    return list(export_run(RunDirectory(run), DictConfig(config), out))


@pytest.fixture(scope="module")
def folder(small_npz, tmp_path_factory):
    """Runs of a step and their exports, each with inputs for its programs."""
    folder = tmp_path_factory.mktemp("exports")
    rng = np.random.default_rng(0)
    content = {name: values[:7] for name, values in np.load(small_npz).items()}
    for name, axes in COMBINATIONS.items():
        words = [f"{axis}={choice}" for axis, choice in axes.items()] + small_architecture(axes["architecture"])
        steps = ["trainer.max_steps=1", "logging.pictures_every_n_epochs=0", "trainer.max_epochs=1"]
        few = [word for word in small_overrides(small_npz) if not word.startswith("architecture")]
        trained([*few, *words, *steps], folder / name / "run")
        exported(folder / name / "run", folder / name / "export")
        factors = content["factors"]
        x = content["x"] / 255 if axes["likelihood"] != "bernoulli" else content["x"] > 127
        c = {
            "none": {},
            "label": {"c": np.eye(3)[content["y"]]},
            "factors": {"c": np.concatenate([np.eye(3)[factors[:, 0]], np.eye(2)[factors[:, 1]]], 1)},
            "quadrant": {"c": np.where(np.arange(16)[:, None] // 8 > np.arange(16) // 8, x, 0.5)},  # bottom left
        }[axes["condition"]]
        inputs = {"x": x, "z": rng.normal(size=(7, 3)), **c}
        np.savez(folder / name / "inputs.npz", **{key: np.float32(value) for key, value in inputs.items()})
    return folder


ALONE = """
import importlib.abc, pathlib, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("vae_cli", "pytorch_lightning", "hydra"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import numpy as np, torch

for place in pathlib.Path(sys.argv[1]).iterdir():
    inputs = {name: torch.from_numpy(values) for name, values in np.load(place / "inputs.npz").items()}
    c, found = inputs.get("c"), {}
    for title, first in (("encoder", "x"), ("decoder", "z")):
        program = torch.export.load(place / "export" / f"{title}.pt2").module()
        for size in (1, 2, 7):
            given = [one[:size] for one in (inputs[first], c) if one is not None]
            found |= {f"{title}_{size}_{name}": value.numpy() for name, value in program(*given).items()}
    np.savez(place / "found.npz", **found)
assert "vae_cli" not in sys.modules
"""


@pytest.fixture(scope="module")
def found(folder):
    """What the programs make of the inputs in a process that can import nothing of ours, by combination."""
    command = [sys.executable, "-W", "error", "-c", ALONE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return {name: dict(np.load(folder / name / "found.npz")) for name in COMBINATIONS}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_programs_give_the_numbers_of_the_run(folder, found, small_npz, name):
    run, inputs, axes = load_run(folder / name / "run"), np.load(folder / name / "inputs.npz"), COMBINATIONS[name]
    known = {"label": ["y"], "factors": ["factors"]}.get(axes["condition"], [])
    for size in SIZES:
        given = {key: np.load(small_npz)[key][:size] for key in known}
        q = run.encode(inputs["x"][:size], **given)["z"]
        expected = {"z_mean": q.mean}
        if axes["posterior"] == "cholesky":
            expected["z_scale_tril"] = q.scale_tril
        elif axes["posterior"] == "low_rank":
            expected |= {"z_scale": q.scale, "z_direction": q.direction}
        elif axes["posterior"] in ("diagonal", "isotropic"):
            expected["z_scale"] = q.stddev
        assert_close(found[name], f"encoder_{size}_", expected)
        part = {"x": inputs["x"][:size]} if axes["condition"] == "quadrant" else {}
        px = run.decode(inputs["z"][None, :size], **given, **part)
        assert_close(found[name], f"decoder_{size}_", {"mean": px.mean[0], **others(axes["likelihood"], px)})


def others(likelihood, px):
    """What p(x | z) is made of besides its mean, [N, *X] or [N, *X, K]."""
    base = px.base_dist
    if likelihood == "logistic_mixture":
        parts = {name: getattr(base.component_distribution, name) for name in ("loc", "scale")}
        parts["logits"] = base.mixture_distribution.logits
    elif likelihood in ("bernoulli", "continuous_bernoulli", "categorical"):
        parts = {"logits": base.logits}
    else:
        parts = {"scale": base.scale} | ({"loc": base.loc} if likelihood == "discretized_logistic" else {})
    return {name: value[0] for name, value in parts.items()}


def assert_close(found, start, expected):
    assert {name.removeprefix(start) for name in found if name.startswith(start)} == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[start + name], value, rtol=1e-5, atol=1e-5)


def test_every_leaf_is_among_them():
    for group in GROUPS:
        assert {axes[group] for axes in COMBINATIONS.values()} == set(exportable(group))


def test_what_cannot_be_exported_is_named(small, tmp_path):
    trained([*small, "posterior=von_mises_fisher", "prior=sphere", "trainer.max_steps=1"], tmp_path / "run")
    with pytest.raises(ConfigError, match="posterior=von_mises_fisher cannot be exported"):
        exported(tmp_path / "run", tmp_path / "export")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_program_holds_the_weights_of_its_part_alone(folder, name):
    """And says nothing of places on this machine."""
    state = load_run(folder / name / "run").model.state_dict()
    for title, other in (("encoder", "decoder"), ("decoder", "encoder")):
        path = folder / name / "export" / f"{title}.pt2"
        held = torch.export.load(path).state_dict
        expected = {key for key in state if key.startswith(f"{title}.")}
        assert expected <= {key.removeprefix("model.") for key in held}
        assert not [key for key in held if other in key]
        with zipfile.ZipFile(path) as archive:
            texts = [archive.read(member) for member in archive.namelist()]
        assert not [text for text in texts if str(ROOT).encode() in text or sys.prefix.encode() in text]


@pytest.mark.parametrize("name", COMBINATIONS)
def test_the_weights_are_those_of_the_run(folder, name):
    run = load_run(folder / name / "run")
    state = run.model.state_dict()
    with safe_open(folder / name / "export" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(key), value) for key, value in state.items())
        about = file.metadata()
    assert about == {"format": "pt", "version": "0.1.0", "weights": run.weights.title, "step": str(run.weights.step)}


# ---- the record ------------------------------------------------------------------------------------------------------


def recorded(folder, **axes):
    (name,) = [name for name, own in COMBINATIONS.items() if axes.items() <= own.items()][:1]
    return json.loads((folder / name / "export" / "export.json").read_text())


def test_the_record_says_what_goes_in_and_comes_out(folder, found):
    for name in COMBINATIONS:
        record = json.loads((folder / name / "export" / "export.json").read_text())
        inputs = np.load(folder / name / "inputs.npz")
        for title in ("encoder", "decoder"):
            described = record[f"{title}.pt2"]
            for key, shape in described["inputs"].items():
                assert shape == ["examples", *inputs[key].shape[1:]]
            start = f"{title}_7_"
            given = {key.removeprefix(start): made for key, made in found[name].items() if key.startswith(start)}
            assert {key: ["examples", *made.shape[1:]] for key, made in given.items()} == described["outputs"]


def test_the_record_speaks_of_units_and_densities(folder):
    levels = recorded(folder, likelihood="categorical")
    assert levels["x"] == {"shape": [1, 16, 16], "values": "256 grey levels, level / 255", "binarize": "none"}
    bernoulli = recorded(folder, likelihood="bernoulli")
    assert bernoulli["x"]["values"] == "0 and 1"
    assert bernoulli["x"]["binarize"] == "dynamic"
    assert bernoulli["likelihood"] == "p(x | z): each coordinate 1 with probability mean = sigmoid(logits), else 0"
    assert recorded(folder, posterior="cholesky")["latents"] == {"z": "q(z | x): N(mean, L L^T) with L = scale_tril"}
    assert recorded(folder, condition="none")["c"] is None
    assert recorded(folder, condition="label")["c"] == "the label (0 to 2) as a one-hot vector"
    assert "factor_0 (0 .. 2), factor_1 (0 .. 1) as one-hot" in recorded(folder, condition="factors")["c"]
    assert levels["torch"] == torch.__version__
    assert levels["weights"] == "best validation loss (step 1)"


# ---- a latent variable below another ---------------------------------------------------------------------------------


class Chain(Model):
    """q(z2 | x) = N(x, 4), q(z1 | z2) = N(sin z2, 1)."""

    def read(self, batch):
        return {"x": batch.x}

    def passes(self, batch, features):
        def trace(num_samples, given=None):
            upper = independent_gaussian(features["x"], torch.full_like(features["x"], 2.0), 1)
            z2 = upper.rsample(torch.Size((num_samples,)))
            lower = independent_gaussian(z2.sin(), torch.ones_like(z2), 1)
            return Trace(batch, {"z1": Site(lower.rsample(), lower, lower), "z2": Site(z2, upper, upper)}, lower)

        return trace

    def decode(self, z, c=None):
        raise NotImplementedError

    generate = infer = inference_parts = decode


def test_a_latent_variable_below_another_is_given_its_mean():
    x = torch.randn(5, 3)
    made = program(Encoder(Chain()), {"x": x[:2]}).module()(x)
    torch.testing.assert_close(made["z2_mean"], x)
    torch.testing.assert_close(made["z1_mean"], x.sin())
    assert not [node for node in program(Encoder(Chain()), {"x": x}).graph.nodes if "normal" in node.name]


@pytest.mark.parametrize("structure", [name for name in choices("structure") if name not in ("single", "density")])
def test_several_latent_variables(small, tmp_path, structure):
    """The encoder gives each the means of those before it; the decoder takes them by their names."""
    words = [f"structure={structure}", "latent_dim=[3,2]", "trainer.max_steps=1", "logging.pictures_every_n_epochs=0"]
    trained([*small, *words], tmp_path / "run")
    exported(tmp_path / "run", tmp_path / "export")
    run, x = load_run(tmp_path / "run"), torch.rand(5, 1, 16, 16).round()
    programs = {
        name: torch.export.load(tmp_path / "export" / f"{name}.pt2").module() for name in ("encoder", "decoder")
    }
    found, means = programs["encoder"](x), posterior_means(run.model, run.batch(x))
    assert {f"{name}_mean" for name in means} <= found.keys()
    for name, mean in means.items():
        torch.testing.assert_close(found[f"{name}_mean"], mean[0], rtol=1e-5, atol=1e-5)
    z = {name: torch.randn(5, len(mean[0, 0])) for name, mean in means.items()}
    expected = run.decode({name: value[None] for name, value in z.items()}).mean[0]
    in_order = {name: z[name] for name in run.model.latents}
    torch.testing.assert_close(programs["decoder"](in_order)["mean"], expected, rtol=1e-5, atol=1e-5)
    record = json.loads((tmp_path / "export" / "export.json").read_text())
    assert record["decoder.pt2"]["inputs"] == {f"z.{name}": ["examples", len(z[name][0])] for name in run.model.latents}
    below = [name for name in means if name != next(iter(means))]
    assert [name for name, told in record["latents"].items() if "at their means" in told] == (
        [] if structure == "dlgm" else below
    )


# ---- as it is typed --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(small_npz, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "run"
    trained([*small_overrides(small_npz), "trainer.max_steps=1"], path)
    return path


@pytest.fixture
def run(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "run")


def names(place):
    return {path.name for path in place.iterdir()}


def test_the_command_says_what_it_wrote(run, tmp_path):
    done = command("export", "run=run", cwd=tmp_path)
    assert (done.status, done.stderr) == (0, "")
    first, encoder, decoder, weights, record = done.stdout.splitlines()
    assert first == "run/export: weights: best validation loss (step 1)"
    assert encoder.split("  ")[1] == "encoder.pt2"
    assert "x [examples, 1, 16, 16]" in encoder
    assert "z_mean [examples, 3]" in encoder
    assert "z [examples, 3]" in decoder
    assert "mean [examples, 1, 16, 16]" in decoder
    parameters = sum(value.numel() for value in load_run(run).model.state_dict().values())
    assert weights.split() == ["model.safetensors", str(parameters), "numbers"]
    assert record.split()[0] == "export.json"
    assert names(run / "export") == set(FILES)
    assert not list(run.glob(".export*"))


def test_an_export_takes_the_place_of_another(run, tmp_path):
    exported(run, tmp_path / "export")
    before = (tmp_path / "export" / "export.json").read_text()
    exported(run, tmp_path / "export", checkpoint="last")
    assert "last (step 1)" in (tmp_path / "export" / "export.json").read_text() != before
    assert names(tmp_path) == {"run", "export"}


def test_a_folder_that_fails_to_be_filled_leaves_the_one_that_was_there(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old").write_text("old")
    with suppress(KeyboardInterrupt), replacing_folder(tmp_path / "place") as folder:
        (folder / "new").write_text("new")
        raise KeyboardInterrupt
    assert names(tmp_path) == {"place"}
    assert names(tmp_path / "place") == {"old"}
    with replacing_folder(tmp_path / "place") as folder:
        (folder / "new").write_text("new")
        assert names(tmp_path / "place") == {"old"}
    assert names(tmp_path) == {"place"}
    assert names(tmp_path / "place") == {"new"}


BAD = {
    **COMMON,
    "run=.": "run=. is no run itself; name one of those below it, as in run=run",
    "run=run out=nowhere/export": "out=nowhere/export: there is no folder nowhere",
    "run=run out=run": "out=run is there, and is no export that could be replaced",
    "run=run out=run/config.yaml": "out=run/config.yaml is there, and is no export",
    "run=run seed=3": "unknown key 'seed'",
    "run=run dataset=digits": "unknown key 'dataset'",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_command_is_one_line_and_leaves_nothing(run, tmp_path, line):
    assert_refused(tmp_path, "export", line, BAD[line])


@pytest.mark.parametrize("size", [0, 20, 60])
def test_a_full_disk_is_one_line_and_leaves_nothing(disk, run, tmp_path, size):  # noqa: F811
    place = disk(4 + size)
    done = command("export", "run=run", f"out={place}/export", cwd=tmp_path)
    assert (done.status, done.stderr) == (1, f"error: No space left on device: {place}/export\n")
    assert not list(place.iterdir())


UNEXPORTABLE = [
    (["architecture", "encoder"], "Branching", "encoder (Branching) cannot be exported: Could not guard"),
    (["architecture", "decoder"], "Branching", "decoder (Branching) cannot be exported: Could not guard"),
    (["architecture", "decoder"], "Counting", "the encoder cannot be exported: Constraints violated"),
    (["posterior"], "Squashed", "Independent, the posterior of z, cannot be exported: it is known by no parameters"),
]


@pytest.mark.parametrize(("keys", "target", "message"), UNEXPORTABLE)
def test_a_part_that_cannot_be_exported_is_named(plain, tmp_path, capfd, keys, target, message):
    shutil.copytree(plain, tmp_path / "run")
    edit(tmp_path / "run", lambda content: reduce(getitem, keys, content).update(_target_=f"unexportable.{target}"))
    with pytest.raises(ConfigError) as refused:
        exported(tmp_path / "run", tmp_path / "export", trust=["unexportable"])
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    assert names(tmp_path) == {"run"}
    assert capfd.readouterr().err == ""
