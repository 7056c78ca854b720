"""`vae-encode` as it is typed: every row is the code of the example at its place in the files, whatever goes wrong."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import cache

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import _SERVER, _main, command, small_overrides, trained
from parts import choices, often
from refusals import COMMON, COMPUTING, OWN_DATA, assert_refused, write_other
from test_full_disk import disk  # noqa: F401
from test_order import module
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from vae_cli.build import build_data
from vae_cli.data.arrays import arrays
from vae_cli.data.ordered import ordered
from vae_cli.encoding import parquet
from vae_cli.encoding.columns import columns
from vae_cli.encoding.npz import write_npz
from vae_cli.errors import TrainingError
from vae_cli.loading import load_run
from vae_cli.types import Batch, Model, Site, Trace

WITHOUT_NOISE = ["likelihood=gaussian"]  # x is the grey levels themselves


@pytest.fixture(scope="module")
def trained_once(small_npz, tmp_path_factory):
    """A function that gives the run of some words, trained when first asked for."""

    @cache
    def found(*words):
        path = tmp_path_factory.mktemp("encode") / "run"
        trained([*small_overrides(small_npz), *words], path)
        return path

    return found


@pytest.fixture
def run_of(trained_once, tmp_path):
    """A function that puts such a run into the test's folder."""
    return lambda *words: shutil.copytree(trained_once(*words), tmp_path / "run")


@pytest.fixture
def run(run_of):
    return run_of(*WITHOUT_NOISE)


@pytest.fixture
def content(small_npz):
    return dict(np.load(small_npz))


def encoded(cwd, *words, out="run/latents.npz"):
    """What `vae-encode run=run <words>` wrote."""
    done = command("encode", "run=run", *words, cwd=cwd)
    assert done.status == 0, done.stderr
    assert all(line.startswith("warning: x has values from") for line in done.stderr.splitlines())
    if out.endswith(".npz"):
        with np.load(cwd / out, allow_pickle=False) as found:
            return dict(found)
    return pq.read_table(cwd / out)


def close(left, right, tolerance=1e-6):
    np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


# ---- what is written -------------------------------------------------------------------------------------------------


def test_row_i_is_the_code_of_row_i_of_the_file(run, content, tmp_path):
    found = encoded(tmp_path)
    q = load_run(run).encode(content["x"] / 255)["z"]
    close(found["z_mean"], q.mean)
    close(found["z_scale"], q.stddev)
    assert np.array_equal(found["index"], np.arange(75))
    for name in ("y", "factors"):
        assert np.array_equal(found[name], content[name])
    assert found["factor_names"].tolist() == ["factor_0", "factor_1"]
    assert len(found) == 7
    assert found["z_mean"].dtype == np.float32


def test_the_last_lines_say_what_was_written(run, tmp_path):
    done = command("encode", "run=run", "split=test", "out=codes.npz", cwd=tmp_path)
    first, *lines = done.stdout.splitlines()
    assert first == f"codes.npz: 11 examples (test); weights: {load_run(run).weights.title}"
    assert [line.split(maxsplit=1) for line in lines] == [
        ["z_mean", "[11, 3]"],
        ["z_scale", "[11, 3]"],
        ["y", "[11]"],
        ["factors", "[11, 2]"],
        ["index", "[11]"],
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"run", "codes.npz", "stdout.txt", "stderr.txt"}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_has_its_examples_in_its_order(run, tmp_path, split):
    everything, found = encoded(tmp_path), encoded(tmp_path, f"split={split}")
    x = getattr(build_data(load_run(run).config), split).peek(torch.arange(len(found["index"]))).x
    close(found["z_mean"], load_run(run).encode(x)["z"].mean)
    for name in ("z_mean", "y", "factors"):
        close(found[name], everything[name][found["index"]])
    assert 0 < len(found["index"]) < 75


@pytest.mark.parametrize("posterior", choices("posterior"))
def test_every_posterior_by_its_parameters(run_of, content, tmp_path, posterior):
    autoencoder = ["objective=reconstruction"] if posterior == "delta" else []
    sphere = ["prior=sphere"] if posterior == "von_mises_fisher" else []
    run_of(*WITHOUT_NOISE, f"posterior={posterior}", *autoencoder, *sphere)
    found = encoded(tmp_path)
    named = {name for name in found if name.startswith("z_")}
    q = load_run(tmp_path / "run").encode(content["x"] / 255)["z"]
    close(found["z_mean"], q.mean)
    if posterior in ("delta", "iaf", "spline"):
        assert named == {"z_mean"}
    elif posterior == "low_rank":
        assert named == {"z_mean", "z_scale", "z_direction"}
        close(found["z_scale"], q.scale)
        close(found["z_direction"], q.direction)
    elif posterior == "von_mises_fisher":
        assert named == {"z_mean", "z_direction", "z_concentration"}
        close(found["z_direction"], q.direction)
        close(found["z_concentration"][:, 0], q.concentration)
    elif posterior == "cholesky":
        assert named == {"z_mean", "z_scale_tril"}
        tril = found["z_scale_tril"]
        close(tril @ tril.transpose(0, 2, 1), q.covariance_matrix)
        assert (tril == np.tril(tril)).all()
    else:
        assert named == {"z_mean", "z_scale"}
        close(found["z_scale"], q.stddev)
        assert (found["z_scale"] == found["z_scale"][:, :1]).all() == (posterior == "isotropic")


def test_draws_follow_from_the_seed_and_the_example(run, content, tmp_path):
    found = encoded(tmp_path, "sample=true")
    noise = (found["z_sample"] - found["z_mean"]) / found["z_scale"]
    assert abs(noise.mean()) < 5 / noise.size**0.5
    assert abs(noise.var() - 1) < 5 * (2 / noise.size) ** 0.5
    test = encoded(tmp_path, "sample=true", "split=test")
    close(test["z_sample"], found["z_sample"][test["index"]], 1e-5)
    np.savez(tmp_path / "backwards.npz", x=content["x"][::-1])
    other = ["dataset=arrays", "dataset.path=backwards.npz", "dataset.eval_batch_size=7"]
    close(encoded(tmp_path, "sample=true", *other)["z_sample"], found["z_sample"][::-1], 1e-5)
    assert (encoded(tmp_path, "sample=true", "seed=1")["z_sample"] != found["z_sample"]).all()


def test_the_same_command_writes_the_same_bytes(run, tmp_path):
    encoded(tmp_path, "sample=true")
    before = (run / "latents.npz").read_bytes()
    time.sleep(2)  # a zip file counts in steps of so many seconds
    encoded(tmp_path, "sample=true")
    assert (run / "latents.npz").read_bytes() == before


def drawn(path):
    """Its x with the draws that are kept, in the order of the file."""
    (batch,) = ordered(
        module(arrays(path=str(path), workers=None, levels="auto", val=0.15, test=0.15), "static"), "all"
    ).batches(100)
    return batch.x


def test_pixels_that_are_drawn_are_drawn_once(run_of, small_npz, tmp_path):
    """Training examples too."""
    run_of()
    found, train = encoded(tmp_path), encoded(tmp_path, "split=train")
    close(train["z_mean"], found["z_mean"][train["index"]])
    close(found["z_mean"], load_run(tmp_path / "run").encode(drawn(small_npz))["z"].mean)


def test_lower_precision_is_near(run, tmp_path):
    found, lower = encoded(tmp_path), encoded(tmp_path, "precision=bf16-mixed")
    assert (found["z_mean"] != lower["z_mean"]).any()
    close(found["z_mean"], lower["z_mean"], 0.05)
    assert lower["z_mean"].dtype == np.float32


class Chain(Model):
    """q(u | x) = N(x, 4), and q(z | u) of a kind that is known by no parameters."""

    def read(self, batch):
        return {"x": batch.x}

    def passes(self, batch, features):
        def trace(num_samples, given=None):
            upper = Independent(Normal(features["x"], 2.0), 1)
            u = upper.rsample(torch.Size((num_samples,)))
            lower = Independent(TransformedDistribution(Normal(u, 0.1), [TanhTransform()]), 1)
            return Trace(batch, {"u": Site(u, upper, upper), "z": Site(lower.rsample(), lower, lower)}, upper)

        return trace

    def decode(self, z, c=None):
        raise NotImplementedError

    generate = infer = inference_parts = decode


def test_a_posterior_that_is_known_by_no_parameters_is_a_draw():
    batch = Batch(torch.randn(5, 3), y=torch.tensor([2, -1, 0, 1, -1]))
    found = columns(Chain(), batch, torch.arange(5), 0, sample=False)
    assert list(found) == ["u_mean", "u_scale", "z_sample", "y", "index"]
    assert np.array_equal(found["u_mean"], batch.x)
    assert (np.abs(found["z_sample"]) < 1).all()
    assert found["y"].tolist() == [2, -1, 0, 1, -1]
    drawn = columns(Chain(), batch, torch.arange(5), 0, sample=True)
    assert np.array_equal(drawn["z_sample"], found["z_sample"])
    assert np.abs(np.arctanh(drawn["z_sample"]) - drawn["u_sample"]).max() < 0.6, "z below that very u"


# ---- other data ------------------------------------------------------------------------------------------------------

GREY = ["dataset=arrays", "dataset.path=new.npz"]


@pytest.mark.parametrize("words", [[], ["dataset.workers=0", "dataset.eval_batch_size=2"]])
def test_other_data_in_its_order(run, tmp_path, words):
    x = np.random.default_rng(1).integers(0, 256, (5, 1, 16, 16), np.uint8)
    np.savez(tmp_path / "new.npz", x=x, y=np.array([9, 0, 3, 3, 1]))
    np.save(tmp_path / "new.npy", x)
    place = GREY if not words else ["dataset=arrays", "dataset.path=new.npy", *words]
    found = encoded(tmp_path, *place, "out=new_codes.npz", out="new_codes.npz")
    close(found["z_mean"], load_run(run).encode(x / 255)["z"].mean)
    assert found["index"].tolist() == [0, 1, 2, 3, 4]
    assert words or found["class_names"][found["y"]].tolist() == ["9", "0", "3", "3", "1"]


def test_a_folder_of_pictures(run, tmp_path):
    from PIL import Image

    x = np.random.default_rng(1).integers(0, 256, (3, 16, 16), np.uint8)
    for name, picture in zip("bca", x, strict=True):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{name}.png")
    words = ["dataset=image_folder", "dataset.path=pictures", "dataset.size=16", "dataset.channels=1"]
    found = encoded(tmp_path, *words)
    close(found["z_mean"], load_run(run).encode(x[[2, 0, 1], None] / 255)["z"].mean)


@pytest.mark.parametrize("binarize", ["dynamic", "threshold", "static"])
def test_grey_pixels_become_0_and_1_as_in_the_run(run_of, content, tmp_path, binarize):
    run_of(f"dataset.binarize={binarize}")
    np.savez(tmp_path / "new.npz", x=content["x"])
    found = encoded(tmp_path, *GREY, "dataset.val=0.15", "dataset.test=0.15")
    model = load_run(tmp_path / "run")
    if binarize == "threshold":
        close(found["z_mean"], model.encode(content["x"] > 127)["z"].mean)
    else:
        close(found["z_mean"], model.encode(drawn(tmp_path / "new.npz"))["z"].mean)


def test_what_was_binary_when_the_run_was_trained_may_be_grey_now(small, tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (60, 4, 4)).astype(np.uint8)
    np.savez(tmp_path / "binary.npz", x=x)
    np.savez(tmp_path / "grey.npz", x=255 * x)
    trained([*small, f"dataset.path={tmp_path / 'binary.npz'}"], tmp_path / "run")
    found = encoded(tmp_path)
    close(encoded(tmp_path, "dataset=arrays", "dataset.path=grey.npz")["z_mean"], found["z_mean"])
    np.savez(tmp_path / "unit.npz", x=x.astype(np.float64))
    close(encoded(tmp_path, "dataset=arrays", "dataset.path=unit.npz")["z_mean"], found["z_mean"])


RNG = np.random.default_rng(0)
KINDS = {
    "real": RNG.normal(size=(60, 9)),
    "unit": RNG.random((60, 9)),
    "grey": RNG.integers(0, 256, (60, 9), np.uint8),
    "binary": RNG.integers(0, 2, (60, 9), np.uint8),
}
TAKEN = {"real": ["unit", "binary"], "unit": ["grey", "binary"], "grey": []}  # besides data of its own kind


@pytest.mark.filterwarnings("ignore:x has values from")  # which it says
@pytest.mark.parametrize("own", TAKEN)
def test_values_that_are_narrower_than_those_of_training(small, tmp_path, own):
    """Numbers that happen to be in [0, 1] may be of a data set of real numbers, and grey levels are in [0, 1]."""
    for name, x in KINDS.items():
        np.savez(tmp_path / f"{name}.npz", x=x)
    trained([*small, *WITHOUT_NOISE, f"dataset.path={tmp_path / f'{own}.npz'}"], tmp_path / "run")
    for new in KINDS:
        words = ["dataset=arrays", f"dataset.path={new}.npz"]
        if new in (own, *TAKEN[own]):
            expected = load_run(tmp_path / "run").encode(KINDS[new] / (255 if new == "grey" else 1))["z"].mean
            close(encoded(tmp_path, *words)["z_mean"], expected)
        else:
            assert_refused(tmp_path, "encode", " ".join(["run=run", *words]), "this model takes")


def test_a_condition_is_made_of_other_data_as_in_training(run_of, content, tmp_path):
    """Of labels 0 and 2 alone: a code that knew of two classes would be another."""
    model = load_run(run_of(*WITHOUT_NOISE, "condition=label"))
    kept = content["y"] != 1
    x, y = content["x"][kept], content["y"][kept]
    np.savez(tmp_path / "new.npz", x=x, y=y)
    found = encoded(tmp_path, *GREY)
    close(found["z_mean"], model.encode(x / 255, y=y)["z"].mean)
    close(encoded(tmp_path)["z_mean"], model.encode(content["x"] / 255, y=content["y"])["z"].mean)


@pytest.mark.parametrize(
    ("condition", "known", "message"),
    [
        ("label", {}, "condition is the label (0 to 2) as a one-hot vector, and this data set has no labels"),
        (
            "label",
            {"y": np.arange(5)},
            "is the label (0 to 2) as a one-hot vector, and no training example has the label 3, 4: leave",
        ),
        ("factors", {"y": np.arange(5)}, "factor_0 (0 .. 2), factor_1 (0 .. 1) as one-hot vectors"),
        ("factors", {"factors": np.zeros((5, 1), int)}, "and this data set has the factors factor_0 (0 .. 0)"),
        (
            "factors",
            {"factors": np.full((5, 2), 2)},
            "and this data set has the factors factor_0 (0 .. 2), factor_1 (0",
        ),
        ("factors", {"factors": np.zeros((5, 2), int), "factor_names": ["a", "b"]}, "has the factors a (0 .. 0), b"),
    ],
)
def test_what_a_condition_reads_must_be_known(run_of, tmp_path, condition, known, message):
    run_of(*WITHOUT_NOISE, f"condition={condition}")
    np.savez(tmp_path / "new.npz", x=np.zeros((5, 1, 16, 16), np.uint8) + 9, **known)
    assert_refused(tmp_path, "encode", " ".join(["run=run", *GREY]), message)


# ---- parquet ---------------------------------------------------------------------------------------------------------


def test_a_parquet_file_has_a_column_for_every_number(run_of, tmp_path):
    run_of(*WITHOUT_NOISE, "posterior=cholesky")
    arrays, table = encoded(tmp_path), encoded(tmp_path, "out=codes.parquet", out="codes.parquet")
    expected = {f"z_mean_{i}": arrays["z_mean"][:, i] for i in range(3)}
    expected |= {f"z_scale_tril_{i}_{j}": arrays["z_scale_tril"][:, i, j] for i in range(3) for j in range(3)}
    expected |= {"y": arrays["y"]} | {f"factor_{i}": arrays["factors"][:, i] for i in range(2)}
    expected |= {"index": arrays["index"], "label": arrays["class_names"][arrays["y"]]}
    assert table.column_names == list(expected)
    for name, values in expected.items():
        assert np.array_equal(table[name], values)
        assert name == "label" or table[name].to_numpy().dtype == values.dtype


def test_a_parquet_file_grows_by_groups_of_rows(monkeypatch, tmp_path):
    monkeypatch.setattr(parquet, "_GROUP", 3 * 4 * 12)  # bytes of three batches
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    batches = ({"z_mean": rows[i : i + 2], "index": np.arange(i, i + 2, dtype=np.float32)} for i in range(0, 20, 2))
    parquet.write_parquet(tmp_path / "x.parquet", 20, {"factor_names": [], "class_names": []}, batches)
    found = pq.ParquetFile(tmp_path / "x.parquet")
    assert [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)] == [12, 8]
    assert found.read()["z_mean_1"].to_pylist() == list(range(1, 40, 2))


def test_factors_with_the_name_of_another_column_are_refused(run, content, tmp_path):
    np.savez(tmp_path / "new.npz", **content, factor_names=["size", "y"])
    line = " ".join(["run=run", *GREY, "out=codes.parquet"])
    assert_refused(tmp_path, "encode", line, "two columns of a parquet file would be y; name a file that ends in .npz")


def test_a_missing_pyarrow_is_named(run, tmp_path):
    code = """
import sys
sys.modules["pyarrow"] = None
sys.argv = ["vae-encode", "run=run", "out=codes.parquet"]
from vae_cli.cli.encode import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: out=codes.parquet: parquet needs pyarrow, pip install pyarrow; or name a file that ends in .npz\n"
    )


# ---- what can go wrong -----------------------------------------------------------------------------------------------

BAD = {
    **COMMON,
    **COMPUTING,
    **OWN_DATA,
    "run=.": "run=. is no run itself; name one of those below it, as in run=run",
    "run=run split=valid": "split=valid: choose one of all, train, val, test",
    "run=run sample=some": "sample=some: true or false is needed",
    "run=run out=codes.csv": "out=codes.csv: a name that ends in .npz or .parquet is needed",
    "run=run out=run/images": "a name that ends in .npz or .parquet is needed",
    "run=run out=folder.npz": "out=folder.npz: that is a folder; name a file",
    "run=run out=nowhere/codes.npz": "there is no folder nowhere",
    "run=run dataset=array": "unknown dataset 'array'; did you mean arrays?",
    "run=run dataset=3": "dataset=3: the name of a choice is needed",
    "run=run dataset.binarize=none": "unknown key 'dataset.binarize'",
    "run=run dataset=arrays": "dataset=arrays needs dataset.path=<file>",
    "run=run dataset=arrays dataset.root=.": "dataset.root=.: the data set that was chosen reads no root",
    "run=run dataset=arrays dataset.path=nowhere.npz": "nowhere.npz: there is no such file",
    "run=run dataset=arrays dataset.source=3": "dataset.source=3: this is no single value",
    "run=run dataset=digits": "this model takes 256 grey levels in the shape [1, 16, 16], and this data set gives 17 "
    "grey levels in the shape [1, 8, 8]",
    "run=run dataset=arrays dataset.path=few.npz split=val": "split=val: the data has no such examples",
    "run=run dataset=arrays dataset.path=few.npz dataset.binarize=dynamic": "this data set gives 0 and 1 in the shape",
    "run=run dataset=arrays dataset.path=few.npz dataset.eval_batch_size=0": "a batch needs at least 1 example",
}


@pytest.mark.parametrize("line", often(BAD, list(BAD)[::2]))
def test_a_bad_command_is_one_line_and_leaves_nothing(run, small_npz, tmp_path, line):
    write_other(small_npz, tmp_path / "other.npz")
    np.savez(tmp_path / "few.npz", x=np.full((3, 1, 16, 16), 9, np.uint8))
    (tmp_path / "folder.npz").mkdir()
    assert_refused(tmp_path, "encode", line, BAD[line])


@pytest.fixture(scope="module")
def wide_run(small_npz, tmp_path_factory):
    """A run that writes 400 numbers of each example."""
    folder = tmp_path_factory.mktemp("wide")
    np.save(folder / "x.npy", RNG.normal(size=(100, 19)).astype(np.float32))
    model = ["latent_dim=19", "posterior=cholesky", f"dataset.path={folder / 'x.npy'}"]
    trained([*small_overrides(small_npz), *WITHOUT_NOISE, *model], folder / "run")
    return folder / "run"


@pytest.fixture
def wide(wide_run, tmp_path):
    """A function that gives the words for so many examples of that run."""
    shutil.copytree(wide_run, tmp_path / "run")

    def words(examples):
        np.save(tmp_path / f"{examples}.npy", RNG.normal(size=(examples, 19)).astype(np.float32))
        return ["dataset=arrays", f"dataset.path={examples}.npy", "dataset.workers=0", "sample=true"]

    return words


def begun(*words, cwd, peak=None):
    """`vae-encode run=run <words>` in a process of its own; `peak`: a file for the most memory that it took, MB."""
    process = _SERVER.Process(target=_measured, args=(words, cwd, peak))
    process.start()
    return process


def _measured(words, cwd, peak):
    try:
        _main("encode", ("run=run", *words), cwd, None)
    finally:
        if peak is not None:
            peak.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


@pytest.mark.parametrize("suffix", ["npz", pytest.param("parquet", marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_number_of_examples(wide, tmp_path, suffix):
    """100,000 examples more are 160 MB more on the disk, and next to nothing more in memory."""
    peaks = []
    for examples in (60_000, 160_000):
        process = begun(*wide(examples), f"out={examples}.{suffix}", cwd=tmp_path, peak=tmp_path / "peak")
        process.join(120)
        assert process.exitcode == 0, (tmp_path / "stderr.txt").read_text()
        peaks.append(float((tmp_path / "peak").read_text()))
    assert (tmp_path / f"160000.{suffix}").stat().st_size > 100e6
    assert peaks[1] - peaks[0] < 40, peaks


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_a_signal_ends_it_and_leaves_what_was_there(wide, tmp_path, suffix, number):
    (tmp_path / f"codes.{suffix}").write_text("of before")
    words = wide(300_000)
    before = {path.name for path in tmp_path.iterdir()}
    process = begun(*words, f"out=codes.{suffix}", cwd=tmp_path)
    part = tmp_path / f".codes.{suffix}.part"
    while not part.exists():
        assert process.is_alive(), (tmp_path / "stderr.txt").read_text()
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(process.pid, number)
    process.join(30)
    assert process.exitcode == 128 + number
    assert {path.name for path in tmp_path.iterdir()} == before | {"stdout.txt", "stderr.txt"}
    assert (tmp_path / f"codes.{suffix}").read_text() == "of before"
    assert (tmp_path / "stderr.txt").read_text() == ""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_two_that_write_one_file_take_turns(wide, tmp_path, suffix):
    """The later one waits for a moment, and says that it cannot wait longer; the file is that of one of them."""
    words, few = wide(300_000), wide(2_000)
    first = begun(*words, f"out=codes.{suffix}", cwd=tmp_path)
    while not (tmp_path / f".codes.{suffix}.part").exists():
        assert first.is_alive(), (tmp_path / "stderr.txt").read_text()
        time.sleep(0.01)
    (tmp_path / "other").mkdir()
    paths = [f"run={tmp_path}/run", f"dataset.path={tmp_path}/2000.npy", f"out={tmp_path}/codes.{suffix}"]
    second = command("encode", *few, *paths, cwd=tmp_path / "other")
    first.join(120)
    assert (first.exitcode, (tmp_path / "stderr.txt").read_text()) == (0, "")
    if second.status == 0:  # the first was done by then
        assert rows(tmp_path / f"codes.{suffix}") == 2_000
        return
    reason = "Another process writes it now: wait for it, or name another place"
    assert second.stderr == f"error: {reason}: {tmp_path}/codes.{suffix}\n"
    assert rows(tmp_path / f"codes.{suffix}") == 300_000
    assert not list(tmp_path.glob(".codes*"))


def rows(path):
    """As many examples as are in a file that is read to its end."""
    if path.suffix == ".parquet":
        return len(pq.read_table(path))
    with np.load(path) as found:
        (number,) = {len(found[name]) for name in found.files}
    return number


def test_what_a_killed_process_left_is_cleared_away(run, tmp_path):
    (run / ".latents.npz.parts").mkdir()
    (run / ".latents.npz.parts" / "z_mean.npy").write_text("half-written")
    (run / ".latents.npz.part").write_text("half-written")
    assert len(encoded(tmp_path)["z_mean"]) == 75
    assert not list(run.glob(".latents*"))


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
@pytest.mark.parametrize("size", [0, 100, 4000])
def test_a_full_disk_is_one_line_and_leaves_nothing(disk, wide, tmp_path, suffix, size):  # noqa: F811
    """As the arrays grow, or as they are put together; 2,000 examples are 3.3 MB, which a disk holds twice or not."""
    place = disk(4 + size)
    done = command("encode", "run=run", *wide(2_000), f"out={place}/codes.{suffix}", cwd=tmp_path)
    if suffix == "parquet" and size == 4000:
        assert done.status == 0
        return
    assert done.status == 1
    assert done.stderr == f"error: No space left on device: {place}/codes.{suffix}\n"
    assert not list(place.iterdir())


@pytest.mark.parametrize("write", [write_npz, parquet.write_parquet])
def test_what_cannot_be_read_is_not_said_to_be_unwritable(tmp_path, write):
    def batches():
        yield {"z_mean": np.zeros((2, 3), np.float32)}
        try:
            (tmp_path / "x.npy").open()
        except OSError as error:
            raise TrainingError("x.npy can no longer be read") from error

    with pytest.raises(TrainingError, match=r"x\.npy can no longer be read"):
        write(tmp_path / "codes", 4, {"factor_names": [], "class_names": []}, batches())
    assert not list(tmp_path.iterdir())
