"""Laws of reading: what an example holds decides its draws, labels are names, and every choice made is told."""

import json

import numpy as np
import pytest
import torch
import yaml
from conftest import command, composed, resumed, small_overrides, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_order import module

from vae_cli.build import build_data
from vae_cli.classes import natural, recognised_classes, told, trained_classes, typed
from vae_cli.data.arrays import arrays
from vae_cli.data.binarize import binarize, binarized
from vae_cli.data.image_folder import image_folder
from vae_cli.data.ordered import ordered
from vae_cli.errors import ConfigError
from vae_cli.loading import load_run
from vae_cli.noise import by_example, digests
from vae_cli.types import Levels, Real, UnitInterval

DIGITS = np.random.default_rng(0).integers(0, 17, (40, 1, 4, 4)).astype(np.uint8)


def of_arrays(path, **change):
    asked = {"path": str(path), "workers": None, "levels": "auto", "val": 0.2, "test": 0.2, **change}
    return arrays(**asked)


def of_pictures(path, **change):
    asked = {"path": str(path), "size": 8, "channels": "auto", "bits": "auto", "skip_broken": False, "workers": None}
    return image_folder(**{**asked, "val": 0.2, "test": 0.2, **change})


# ---- draws by example ------------------------------------------------------------------------------------------------


def draws(source, choice="static"):
    """Of every example in the order of the files, from whichever split it is in."""
    every = ordered(module(source, choice), "all")
    return torch.cat([batch.x for batch in every.batches(7)])


FORMS = {
    "bytes": lambda x: x,
    "fractions": lambda x: x / 16,
    "fractions of 32 bits": lambda x: (x / 16).astype(np.float32),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("workers", [None, 0])
@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_an_example_has_the_same_draws_wherever_it_stands(tmp_path_factory, form, workers, data):
    """In whichever order, split, file and form, streamed or not, in an evaluation of dynamic draws and in Python."""
    path = tmp_path_factory.mktemp("x") / "x.npy"
    order = data.draw(st.permutations(range(40)))
    taken = order[: data.draw(st.integers(10, 40))]
    np.save(path, FORMS[form](DIGITS[taken]))
    change = {"val": data.draw(st.sampled_from([0.1, 0.3, 3])), "test": data.draw(st.sampled_from([0.2, 4]))}
    source = of_arrays(path, workers=workers, levels=17, **change)
    expected = binarized(torch.from_numpy(DIGITS[taken] / 16), "static")
    assert torch.equal(draws(source), expected)
    dynamic, first = binarize(source, "dynamic"), 0
    for split, places in zip((dynamic.train, dynamic.val, dynamic.test), dynamic.places, strict=True):
        x = split.read(split.rows.read(torch.arange(len(split.rows))).x, torch.Generator().manual_seed(first))
        assert first == 0 or torch.equal(x, expected[places])
        first += len(places)


def test_one_picture_has_one_code(small_npz, tmp_path):
    trained(small_overrides(small_npz), tmp_path / "run")
    x = np.load(small_npz)["x"]
    np.savez(tmp_path / "copies.npz", x=np.repeat(x[:1], 50, 0))
    np.savez(tmp_path / "reversed.npz", x=x[::-1])

    def codes(*words):
        done = command("encode", "run=run", *words, cwd=tmp_path)
        assert done.status == 0, done.stderr
        with np.load(tmp_path / "run" / "latents.npz") as found:
            return found["z_mean"], found["index"]

    every, _ = codes()
    copies, _ = codes("dataset=arrays", "dataset.path=copies.npz")
    assert len(np.unique(copies, axis=0)) == 1
    np.testing.assert_allclose(copies[0], every[0], atol=1e-6)
    np.testing.assert_allclose(codes("dataset=arrays", "dataset.path=reversed.npz")[0][::-1], every, atol=1e-6)
    train, places = codes("split=train")
    np.testing.assert_allclose(train, every[places], atol=1e-6)
    np.testing.assert_allclose(load_run(tmp_path / "run").encode(x / 255)["z"].mean, every, atol=1e-6)


# ---- labels are names ------------------------------------------------------------------------------------------------

MAPS = {
    "gaps": np.array([0, 10, 20]),
    "void": np.array([3, 7, 255]),
    "words": np.array(["cat2", "cat10", "dog"]),
}


@pytest.fixture(scope="module")
def relabelled(small_npz, tmp_path_factory):
    """A conditional run for each way to name the same classes, and what a judge says of it."""
    from test_groups import settings as settings_of_group

    from vae_cli.evaluation.clustering import clustering
    from vae_cli.evaluation.probes import probes
    from vae_cli.evaluation.subject import Subject

    content, runs = dict(np.load(small_npz)), {}
    for name, labels in {"as they are": np.arange(3), **MAPS}.items():
        folder = tmp_path_factory.mktemp("relabelled")
        np.savez(folder / "data.npz", x=content["x"], y=labels[content["y"]])
        outcome = trained([*small_overrides(folder / "data.npz"), "model=cvae"], folder / "run")
        run = load_run(folder / "run")
        subject = Subject(run, "train")
        reports = [clustering(subject, settings_of_group("clustering")), probes(subject, settings_of_group("probes"))]
        runs[name] = outcome.figures, [finding.value for one in reports for finding in one.findings], run
    return runs


@pytest.mark.parametrize("name", MAPS)
def test_names_of_classes_change_no_number(relabelled, name):
    figures, judged, run = relabelled["as they are"]
    others, judged_too, other = relabelled[name]
    assert others == figures
    assert judged_too == judged
    assert len(judged) > 4
    assert other.data.named_classes == tuple(map(str, MAPS[name]))
    assert torch.equal(other.sample(6, y=list(map(str, MAPS[name])) * 2), run.sample(6, y=[0, 1, 2] * 2))


def test_labels_of_other_data_are_found_by_name(relabelled, small_npz, tmp_path):
    """Of a file that has two of the three classes; and a label without a class is named."""
    _, _, run = relabelled["gaps"]
    content = dict(np.load(small_npz))
    kept = content["y"] != 1
    x, y = content["x"][kept], content["y"][kept]
    np.savez(tmp_path / "new.npz", x=x, y=10 * y)
    words = [f"run={run.directory.path}", "dataset=arrays", "dataset.path=new.npz", "out=new_codes.npz"]
    done = command("encode", *words, cwd=tmp_path)
    assert done.status == 0, done.stderr
    found = np.load(tmp_path / "new_codes.npz")
    assert found["class_names"][found["y"]].tolist() == [str(10 * label) for label in y]
    np.testing.assert_allclose(found["z_mean"], run.encode(x / 255, y=y)["z"].mean, atol=1e-6)
    np.savez(tmp_path / "new.npz", x=x, y=y)
    done = command("encode", *words, cwd=tmp_path)
    assert done.status == 1
    assert "label (0, 10, 20) as a one-hot vector, and no training example has the label 2: leave" in done.stderr


def test_labels_that_training_lacks_are_told_and_refused_where_they_matter(tmp_path):
    """Sixty folders of one picture each."""
    for number in range(60):
        (tmp_path / "f" / f"obj{number}").mkdir(parents=True)
        Image.new("L", (8, 8), 4 * number).save(tmp_path / "f" / f"obj{number}" / "0.png")
    words = ["dataset=image_folder", f"dataset.path={tmp_path / 'f'}", "dataset.size=8", "latent_dim=3"]
    (warning,) = build_data(composed(words)).warnings
    assert warning.startswith("labels that no training example has: obj")
    with pytest.raises(
        ConfigError, match=r"no training example has the label obj\d+, .*: leave these examples out, bri"
    ):
        build_data(composed([*words, "model=cvae"]))


def test_a_run_of_before_had_no_names(small_npz, tmp_path):
    """Its labels are the numbers that its files had, and what it lacks is as it was."""
    content = dict(np.load(small_npz))
    np.savez(tmp_path / "data.npz", x=content["x"] // 4, y=content["y"])
    words = [*small_overrides(tmp_path / "data.npz"), "dataset.levels=256", "model=cvae"]
    trained(words, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    now = yaml.safe_load(config.read_text())
    for node in (now["dataset"], now["dataset"]["source"]):
        del node["levels"]
    for key in ("class_names", "stored"):
        del now["recorded"]["data"][key]
    config.write_text(yaml.safe_dump(now))
    run = load_run(tmp_path / "run")
    assert run.data.named_classes == ("0", "1", "2")
    done = command("encode", "run=run", cwd=tmp_path)
    assert done.status == 0, done.stderr
    found = np.load(tmp_path / "run" / "latents.npz")
    assert found["y"].tolist() == content["y"].tolist()
    np.testing.assert_allclose(
        found["z_mean"], run.encode(content["x"] // 4 / 255, y=content["y"])["z"].mean, atol=1e-6
    )
    assert resumed(tmp_path / "run").step == 18


def test_folders_are_in_natural_order_and_drawn_by_name(tmp_path):
    for name in ("obj10", "obj2", "obj1"):
        (tmp_path / "f" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (8, 8), 20 * number).save(tmp_path / "f" / name / f"{number}.png")
    words = [f"dataset.path={tmp_path / 'f'}", "dataset.size=8", "latent_dim=3", "architecture.width=8"]
    trained(
        ["dataset=image_folder", "model=cvae", *words, "trainer.max_steps=2", "trainer.accelerator=cpu"],
        tmp_path / "run",
    )
    assert load_run(tmp_path / "run").data.class_names == ("obj1", "obj2", "obj10")
    rows = [line.split("\t") for line in (tmp_path / "run" / "projector" / "metadata.tsv").read_text().splitlines()]
    assert rows[0] == ["label", "file", "row"]
    assert all(file.startswith(f"{label}/") for label, file, _ in rows[1:])
    for labels, expected in (("[obj10,obj2]", [2, 1]), ("[2]", [2]), ("[]", [0, 1, 2])):
        done = command("sample", "run=run", "what=class_grid", f"labels={labels}", cwd=tmp_path)
        assert done.status == 0, done.stderr
        found = np.load(tmp_path / "run" / "samples" / "class_grid.npz")
        assert found["y"].tolist() == expected
        assert found["class_names"].tolist() == ["obj1", "obj2", "obj10"]
    assert "obj1, obj2, obj10" in command("runs", ".", "columns=run,classes", cwd=tmp_path).stdout
    assert command("encode", "run=run", cwd=tmp_path).status == 0
    found = np.load(tmp_path / "run" / "latents.npz")
    names = found["class_names"][found["y"]]
    assert [file.partition("/")[0] for file in found["file"]] == names.tolist()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True), st.data())
def test_classes_are_the_labels_that_occur(labels, data):
    names = {label: f"c{label}" for label in sorted(labels)}
    trained_on = data.draw(st.sets(st.sampled_from(labels), min_size=1))
    classes = trained_classes(trained_on, labels, names)
    assert classes.names[: classes.trained] == tuple(f"c{label}" for label in sorted(trained_on))
    assert sorted(classes.labels) == sorted(labels)
    y = torch.tensor(labels)
    assert [classes.names[number] for number in classes.numbered(y).tolist()] == [f"c{label}" for label in labels]
    again = recognised_classes(labels, names, classes.names)
    assert torch.equal(again.numbered(y), classes.numbered(y))
    assert classes.numbered(torch.tensor([-1])).tolist() == [-1]


def test_names_are_typed_and_told():
    names = ["obj1", "obj2", "obj10"]
    assert sorted(["obj10", "obj2", "obj1"], key=natural) == names
    assert typed(["obj10", 0], names, "labels") == [2, 0]
    assert typed([10, "0"], ["0", "10", "20"], "labels") == [1, 0]
    with pytest.raises(ConfigError, match=r"labels=\[2\]: no class 2; the classes are 0, 10, 20"):
        typed([2], ["0", "10", "20"], "labels")
    assert told(list(map(str, range(10)))) == "0 to 9"
    assert told([*map(str, range(21)), "255"]) == "0, 1, 2, ..., 20, 255"


# ---- what was read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [None, 0])
@pytest.mark.parametrize(
    ("x", "levels", "support", "top", "chosen"),
    [
        (np.arange(80) % 17, "auto", Levels(17), 16, 17),
        (np.arange(80) % 17, 256, Levels(256), 255, 256),
        (np.arange(80) % 17, "none", Real(), 1, "none"),
        (np.arange(80) % 129, "auto", Levels(80), 79, 80),
        (np.arange(80) + 100, "auto", Levels(256), 255, 256),
        ((np.arange(80) * 51).astype(np.uint16), "auto", UnitInterval(), 4095, 4096),
        ((np.arange(80) * 51).astype(np.uint16), 65536, UnitInterval(), 65535, 65536),
        ((np.arange(80) % 17).astype(float), 17, Levels(17), 16, 17),
        ((np.arange(80) % 17).astype(float), "none", Real(), 1, "none"),
        (np.arange(80) / 80, 17, UnitInterval(), 1, 17),
    ],
)
def test_grey_levels(tmp_path, x, levels, support, top, chosen, workers):
    x = (x.astype(np.uint8) if x.dtype == np.int64 else x).reshape(20, 4)
    np.save(tmp_path / "x.npy", x)
    source = of_arrays(tmp_path / "x.npy", levels=levels, workers=workers)
    assert source.support == support
    assert source.chosen == {"levels": chosen}
    data = module(source)
    torch.testing.assert_close(draws(source, "none"), torch.from_numpy(x / top).float())
    usual = levels != "auto" or chosen in (256, 65536)
    assert (not data.warnings) == usual or "taken as" not in str(data.warnings)
    if not usual:
        assert f"taken as {chosen} grey levels" in data.warnings[0]


def test_levels_that_do_not_hold_the_values_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", DIGITS)
    with pytest.raises(
        ConfigError, match=r"dataset\.levels=16: x holds numbers from 0 to 16, and 16 grey levels are 0 to"
    ):
        of_arrays(tmp_path / "x.npy", levels=16)
    for wrong in ("many", 1, 10**6):
        with pytest.raises(ConfigError, match=f"dataset.levels={wrong}: auto, bytes, none, or"):
            of_arrays(tmp_path / "x.npy", levels=wrong)


@pytest.mark.parametrize(
    ("content", "words", "expected"),
    [
        ({"x": DIGITS}, [], "24 / 8 / 8 examples of 1 x 4 x 4, 17 grey levels (0 to 16), drawn as 0 and 1 anew"),
        ({"x": DIGITS, "y": np.arange(40) % 4 * 85}, [], "; 4 classes (0, 85, 170, 255)"),
        ({"x": DIGITS / 16}, ["dataset.binarize=threshold"], "values in [0, 1] (0 to 1), 0 and 1 by a threshold"),
        ({"x": DIGITS[:, 0, 0] / 8 - 1}, ["likelihood=gaussian"], "examples of 4, real numbers (-1 to 1)"),
        ({"x": DIGITS > 7, "factors": np.zeros((40, 2), int)}, [], "0 and 1; 2 factors (factor_0, factor_1)"),
        ({"x": DIGITS}, ["dataset.val=5", "dataset.test=7"], "28 / 5 / 7 examples"),
    ],
)
def test_a_line_says_what_was_read(tmp_path, content, words, expected):
    np.savez(tmp_path / "x.npz", **content)
    place = ["dataset=arrays", f"dataset.path={tmp_path / 'x.npz'}", "dataset.val=0.2", "dataset.test=0.2"]
    assert expected in build_data(composed([*place, *words])).told


def test_the_line_comes_first(small, tmp_path, capsys):
    trained(small, tmp_path / "run")
    line = (
        "read: 53 / 11 / 11 examples of 1 x 16 x 16, 256 grey levels (0 to 255), drawn as 0 and 1 anew at every access"
    )
    assert capsys.readouterr().err.startswith(line)
    assert line in (tmp_path / "run" / "train.log").read_text().splitlines()[0]


def test_other_data_are_of_the_scale_of_training(tmp_path):
    """Bytes 0 .. 16 of a run on 17 levels are 17 levels, whatever the new ones reach; another range is told."""
    np.savez(tmp_path / "d.npz", x=DIGITS)
    words = [*small_overrides(tmp_path / "d.npz")]
    trained(words, tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.config.dataset.levels == run.config.dataset.source.levels == 17
    np.savez(tmp_path / "new.npz", x=DIGITS.clip(max=9))
    np.savez(tmp_path / "wide.npz", x=(DIGITS / 16 * 255).round().astype(np.uint8))

    def encode(name, *more):
        return command("encode", "run=run", "dataset=arrays", f"dataset.path={name}", *more, cwd=tmp_path)

    done = encode("new.npz")
    assert (done.status, done.stderr) == (0, "")
    found = np.load(tmp_path / "run" / "latents.npz")["z_mean"]
    np.testing.assert_allclose(found, run.encode(DIGITS.clip(max=9) / 16)["z"].mean, atol=1e-6)
    assert "dataset.levels=17: x holds numbers from 0 to 255" in encode("wide.npz").stderr
    assert encode("wide.npz", "dataset.levels=256").stderr == ""
    done = encode("new.npz", "dataset.levels=256")
    assert "x has values from 0 to 0.03529, and this model was trained on 0 to 1: is it of another" in done.stderr
    with pytest.warns(UserWarning, match="x has values from 0 to 16, and this model was trained on 0 to 1"):
        run.encode(DIGITS)


def test_what_is_not_finite_is_named(small, small_npz, tmp_path):
    trained([*small, "likelihood=gaussian"], tmp_path / "run")
    run, x = load_run(tmp_path / "run"), np.load(small_npz)["x"][:4] / 255
    x[2, 0, 3, 5] = np.nan
    for use in (run.encode, run.log_prob):
        with pytest.raises(ConfigError, match="x holds nan in row 2, column 0,3,5: finite numbers are needed"):
            use(x)


def test_columns_of_another_scale_are_named(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 6)) * [1, 1e4, 1, 1e-3, 3, 0] + [0, 0, 2000, 0, 1, 1]
    np.savez(tmp_path / "x.npz", x=x)
    words = ["dataset=arrays", f"dataset.path={tmp_path / 'x.npz'}", "likelihood=gaussian_learned", "latent_dim=2"]
    (warning,) = build_data(composed(words)).warnings
    assert warning.startswith("columns of x are far from a mean of 0 and a deviation of 1: 1 (mean")
    assert [warning.partition(f" {column} (mean")[1] != "" for column in range(6)] == [False, True, True, True] + [
        False
    ] * 2
    np.savez(tmp_path / "x.npz", x=x[:, [0, 4, 5]])
    assert build_data(composed(words)).warnings == ()


# ---- published splits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("given_", [("train", "val", "test"), ("train", "test"), ("train", "val"), ("train",)])
def test_arrays_may_give_the_splits(tmp_path, given_, streamed):
    x = np.arange(160, dtype=np.uint8).reshape(40, 4)
    sizes = dict(zip(given_, {1: [40], 2: [30, 10], 3: [20, 12, 8]}[len(given_)], strict=True))
    ends = np.cumsum([0, *sizes.values()])
    content = {}
    for part, first, end in zip(sizes, ends[:-1], ends[1:], strict=True):
        content |= {f"x_{part}": x[first:end], f"y_{part}": np.arange(40)[first:end] % 3}
    for name, values in content.items():
        np.save(tmp_path / f"{name}.npy", values)
    np.savez(tmp_path / "x.npz", **content)
    source = of_arrays(tmp_path if streamed else tmp_path / "x.npz", workers=0 if streamed else None)
    data = module(source)
    assert torch.equal(draws(source, "none"), torch.from_numpy(x).float() / 255)
    numbers = dict(zip(("train", "val", "test"), data.places, strict=True))
    for part in given_[1:]:
        assert len(numbers[part]) == sizes[part]
    assert len(source.remarks) == 3 - len(given_)
    split = np.concatenate([np.full(size, part) for part, size in sizes.items()])
    np.savez(tmp_path / "split.npz", x=x, y=np.arange(40) % 3, split=split)
    other = module(of_arrays(tmp_path / "split.npz"))
    for one, two in zip(data.places, other.places, strict=True):
        assert torch.equal(one, two)
    np.savez(tmp_path / "split.npz", x=x, split=[("train", "val", "test").index(word) for word in split])
    assert [len(one) for one in module(of_arrays(tmp_path / "split.npz")).places] == [len(p) for p in data.places]


def test_splits_are_fractions_or_counts(tmp_path):
    np.save(tmp_path / "x.npy", DIGITS)
    sizes = [len(split) for split in of_arrays(tmp_path / "x.npy", val=3, test=1).splits]
    assert sizes == [36, 3, 1]
    for wrong in (0, -1, 1.5, 2.25):
        with pytest.raises(ConfigError, match=rf"dataset.val={wrong:g}: a fraction between 0 and 1, or a whole number"):
            of_arrays(tmp_path / "x.npy", val=wrong)
    with pytest.raises(ConfigError, match="40 examples cannot be split into -8 for training"):
        of_arrays(tmp_path / "x.npy", val=40)


# ---- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def greys(tmp_path):
    """Ten grey pictures."""
    (tmp_path / "greys").mkdir()
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "greys" / f"{number}.png")
    return tmp_path / "greys"


@pytest.mark.parametrize("workers", [None, 0])
def test_grey_photographs_have_one_channel(greys, workers):
    grey = of_pictures(greys, workers=workers)
    assert grey.chosen == {"channels": 1, "bits": 16}
    assert torch.equal(draws(grey, "none"), draws(of_pictures(greys, channels=1), "none"))
    Image.open(greys / "3.png").convert("RGB").save(greys / "3.png")
    assert of_pictures(greys, workers=workers).chosen["channels"] == 1
    Image.new("RGB", (8, 8), (9, 9, 8)).save(greys / "4.png")
    assert of_pictures(greys, workers=workers).train.shape[0] == 3


@pytest.mark.parametrize("workers", [None, 0])
def test_greys_of_twelve_bits_are_not_black(greys, workers):
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 4096, (8, 8)).astype(np.uint16)
        pixels[0, 0] = 4095
        Image.fromarray(pixels).save(greys / f"{number}.png")
    found = of_pictures(greys, workers=workers)
    assert found.chosen == {"channels": 1, "bits": 12}
    assert found.summary.high == 255
    with pytest.raises(ConfigError, match=r"10 of 10 pictures .*values above 1023: they need dataset.bits=12"):
        of_pictures(greys, bits=10)
    assert of_pictures(greys, bits=16).summary.high == 15


@pytest.mark.parametrize("workers", [None, 0])
def test_broken_pictures_may_be_left_out(greys, workers):
    whole = draws(of_pictures(greys), "none")
    (greys / "2.png").write_bytes(b"no picture")
    (greys / "notes.txt").write_text("no picture")
    if workers is None:
        with pytest.raises(ConfigError, match=r"1 of 10 pictures cannot be read: .* dataset\.skip_broken=true: 2\.png"):
            of_pictures(greys)
    found = of_pictures(greys, skip_broken=True, workers=workers)
    assert torch.equal(draws(found, "none"), whole[[0, 1, *range(3, 10)]])
    assert list(found.files) == [f"{number}.png" for number in (0, 1, *range(3, 10))]
    assert found.remarks == (
        "left out: 1 file of other kinds (notes.txt)",
        "left out: 1 file that cannot be read (2.png)",
    )


@pytest.mark.parametrize(("folders", "sizes"), [(("train", "val"), [8, 5, 2]), (("train",), [6, 2, 2])])
def test_what_folders_leave_out_is_cut_from_training(tmp_path, folders, sizes):
    for folder, number in zip(folders, (10, 5), strict=False):
        for place in range(number):
            path = tmp_path / folder / "ab"[place % 2] / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 20 * place).save(path)
    found = of_pictures(tmp_path)
    assert [len(split) for split in found.splits] == sizes
    assert found.classes.names == ("a", "b")
    assert len(found.remarks) == 3 - len(folders)
    assert "no test examples in the files: 2 of training's are taken (dataset.test)" in found.remarks


def test_a_run_is_used_from_another_folder(small_npz, tmp_path, monkeypatch):
    """Its data were named from the folder of then."""
    monkeypatch.chdir(small_npz.parent)
    words = [word for word in small_overrides(small_npz) if "path" not in word]
    trained([*words, f"dataset.path={small_npz.name}"], tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    done = command("eval", f"run={tmp_path / 'run'}", "metrics=[latents]", cwd=tmp_path / "elsewhere")
    assert done.status == 0, done.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["evaluation"]


def test_codes_below_other_codes_follow_the_example(small, small_npz, tmp_path):
    """Of two latent variables, the draw of the upper one too."""
    trained([*small, "model=hvae", "latent_dim=[3,2]", "likelihood=gaussian"], tmp_path / "run")
    run, x = load_run(tmp_path / "run"), np.load(small_npz)["x"][:6] / 255
    every, turned = run.encode(x), run.encode(x[::-1].copy())
    for name, q in every.items():
        torch.testing.assert_close(q.mean, turned[name].mean.flip(-2))
    batch = run.batch(x)
    with by_example(digests(batch), 0, "codes"):
        assert torch.equal(run.model(batch).sites["z1"].q.mean, every["z1"].mean)
