"""Random command lines over every group and key of `conf/`: each runs two steps or ends in one line."""

import json
from importlib.resources import files

import pytest
import yaml
from conftest import Done, small_overrides, vae_train
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vae_cli.cli.errors import dotted_keys

CONF = files("vae_cli.conf")
MEMORY = 6 * 2**30  # bytes of address space: what asks for more is refused by the system, not granted on credit


def leaf(group, choice):
    """A leaf's keys and values, those of the leaves that it builds on first."""
    node = yaml.safe_load(CONF.joinpath(group, f"{choice}.yaml").read_text()) or {}
    below = [name for name in node.pop("defaults", []) if isinstance(name, str) and name != "_self_"]
    return {key: value for part in (*(leaf(group, name) for name in below), node) for key, value in part.items()}


PRESETS = ("model", "experiment")
GROUPS = {
    group.name: sorted(file.name.removesuffix(".yaml") for file in group.iterdir() if file.name.endswith(".yaml"))
    for group in sorted(CONF.iterdir(), key=lambda place: place.name)
    if group.is_dir() and group.name not in ("hydra", "search", "__pycache__")  # a search is many jobs
}
ROOT = yaml.safe_load(CONF.joinpath("train.yaml").read_text())
DEFAULTS = {group: choice for entry in ROOT["defaults"] if isinstance(entry, dict) for group, choice in entry.items()}
KEYS = {
    (group, choice): [f"{group}.{key}" for key in dotted_keys(leaf(group, choice), "")]
    for group, choices in GROUPS.items()
    if group not in PRESETS
    for choice in choices
}
OWN = [
    *(
        "beta",
        "latent_dim",
        "seed",
        "name",
        "init",
        "run",
        "trust",
        "matmul_precision",
        "nowhere",
        "dataset",
        "optimizer",
    ),
    *(f"trainer.{key}" for key in ROOT["trainer"]),
    *(f"logging.{key}" for key in ROOT["logging"]),
]

NUMBERS = ["0", "1", "-1", "2", "3", "16", "0.5", "-0.5", "1.5", "1e-3", "1e3", "1e9", "1e-30", "1e30", "1e38", "1e308"]
NUMBERS += ["-1e30", "1e400", "nan", "inf", "-inf", str(2**31), str(2**63), str(2**64), "1000000", str(10**9)]
NUMBERS += [str(10**12), str(10**18), str(10**30), str(-(10**30))]
WORDS = ["", "''", "null", "true", "false", "abc", "None", "auto", "cpu", "none", "relu", "ü", "日本", "'a b'", "a\nb"]
WORDS += ["???", "..", "/", "/dev/null", "~", "$", "%", "-", "--", "x" * 5000, "'", '"', "\\", "a=b", "@", "!", "*"]
WORDS += ["${beta}", "${nowhere}", "${latent_dim}", "${oc.env:NOWHERE}", "${now:%Y}", "${", "choice(1,2)", "range(1,3)"]
WORDS += ["1,2", "glob(*)", "int(3.7)", "str(3)", "shuffle(1,2)", "'${beta}'", "1_000", "0x10", "1e", "tag(a,1)"]
LISTS = ["[]", "[1]", "[2,2]", "[4,4]", "[32,64]", "[null]", "[abc]", "[-1]", "[0]", "[0.9,0.999]", "[nan,nan]"]
LISTS += [
    "[[1]]",
    "[true]",
    "[1000000000]",
    "[1000000000,4]",
    "{}",
    "{a:1}",
    "{_target_:os.getcwd}",
    "[1",
    "{a:",
    "[0,0]",
]
VALUES = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(WORDS),
    st.sampled_from(LISTS),
    st.integers(-3, 30).map(str),
    st.floats(-2, 2).map(str),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)


@st.composite
def command_lines(draw):
    """Some choices, and one to three settings of theirs or of the root."""
    chosen = draw(st.lists(st.sampled_from(sorted(GROUPS)), unique=True, max_size=3))
    choices = {group: draw(st.sampled_from(GROUPS[group])) for group in chosen}
    present = {**DEFAULTS, "dataset": "arrays", **choices}
    keys = [key for pair in present.items() if pair in KEYS for key in KEYS[pair]]
    settings_ = draw(st.dictionaries(st.sampled_from(OWN) | st.sampled_from(keys), VALUES, min_size=1, max_size=3))
    if {"trainer.max_steps", "trainer.max_epochs"} <= settings_.keys():  # it might take for ever, as it was told to
        del settings_["trainer.max_epochs"]
    if settings_.get("trainer.devices", "1").isdigit():  # others would start processes of their own
        settings_ |= {"trainer.devices": "1"}
    words = [f"{group}={choice}" for group, choice in choices.items()]
    if "download" in leaf("dataset", present["dataset"]) or (choices.get("experiment") and "dataset" not in choices):
        words.append("dataset.download=false")
    if present["dataset"] == "shapes":
        words += ["dataset.size=16", "dataset.orientations=2", "dataset.positions=2"]
    return [*words, *(f"{key}={value}" for key, value in settings_.items())]


def budget(small_npz, line):
    """What comes before the random words, so that a run takes a second."""
    chosen = {word.partition("=")[0]: word.partition("=")[2] for word in line}
    words = [word for word in small_overrides(small_npz) if word.partition("=")[0] != "dataset"]
    if "experiment" in chosen:
        words = [word for word in words if not word.startswith("dataset.")]
    elif chosen.get("dataset", "arrays") != "arrays":
        words = [word for word in words if not word.startswith(("dataset.path", "dataset.val", "dataset.test"))]
    else:
        words.insert(0, "dataset=arrays")
    if chosen.get("architecture", "mlp") not in ("mlp", "gated_mlp", "higgins"):
        words.remove("architecture.width=8")
    return [*words, "trainer.max_steps=2"]


def fault(done: Done, folder) -> str | None:
    """What is wrong with how a command ended."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    if done.status == 0:
        return f"ended well, and said {lines}" if lines else None
    if done.status != 1:
        return f"status {done.status}: {done.stderr[-3000:]}"
    if len(lines) != 1 or not lines[0].startswith("error: "):
        return f"not one line: {done.stderr[-3000:]}"
    left = sorted(path.name for path in folder.iterdir() if path.name not in ("stdout.txt", "stderr.txt"))
    begun = list(folder.rglob("status.json"))
    if begun and json.loads(begun[0].read_text())["state"] != "failed":
        return f"left as {begun[0].read_text()}"
    return f"left {left}: {lines}" if left and not begun else None


def tried(line, small_npz, folder):
    """How `vae-train` with random words ended, and what is wrong with that."""
    folder.mkdir()
    done = vae_train(*budget(small_npz, line), *line, cwd=folder, memory=MEMORY)
    return done, fault(done, folder)


def campaign(number):
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def test_random_command_lines(small_npz, tmp_path):
    _random_command_lines(15, small_npz, tmp_path)


@pytest.mark.slow
def test_many_random_command_lines(small_npz, tmp_path):
    _random_command_lines(1000, small_npz, tmp_path)


def _random_command_lines(number, small_npz, folder):
    @campaign(number)
    @given(command_lines())
    def check(line):
        place = folder / str(len(list(folder.iterdir())))
        _, wrong = tried(line, small_npz, place)
        assert wrong is None, f"{line}: {wrong}"

    check()
