"""Every field of every stored file replaced by what does not belong there, or removed: the file is refused in one line,
or what it says is taken for what it says. The complete product is slow; a sample of it is not.
"""

import copy
import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import small_overrides, trained
from omegaconf import OmegaConf

from vae_cli.build import build_data, build_experiment, rehearse
from vae_cli.callbacks.checkpoints import load_checkpoint
from vae_cli.callbacks.content import check_progress
from vae_cli.cli.errors import is_users
from vae_cli.cli.recorded import check_recorded
from vae_cli.cli.schema import check
from vae_cli.cli.sweep_display import line
from vae_cli.errors import ConfigError
from vae_cli.listing.chart import chart, chosen_axes
from vae_cli.listing.differing import differing
from vae_cli.listing.places import places
from vae_cli.listing.record import record
from vae_cli.listing.rows import default_columns, default_tags, group_table, readable, run_table
from vae_cli.listing.summary import write_summary
from vae_cli.listing.where import by_age
from vae_cli.loading import load_run
from vae_cli.reuse import own_data
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.folder import Job, SweepFolder, is_spent, state_of
from vae_cli.sweeps.results import results
from vae_cli.training import _finished, _Run, resume

REMOVED = object()
VALUES = [
    *(REMOVED, None, True, 0, -1, 3, 10**30, 1.5, -2.5, math.nan, math.inf, "", "word", "3", "../x", "${seed}", "a\nb"),
    *([], [1], ["word", None], [[1]], {}, {"a": {"b": 1}}, {"_target_": "os.abort"}, {3: 4}),
]
TENSORS = [
    torch.zeros(3),
    torch.zeros(()),
    torch.zeros(1).expand(2**40),
    torch.full((3,), math.nan),
    torch.ones(2).int(),
]

Keys = tuple[Any, ...]


def fields(content: Any, keys: Keys = ()) -> Iterator[Keys]:
    """The keys that lead to everything below."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield (*keys, key)
        yield from fields(value, (*keys, key))


def damaged(content: Any, keys: Keys, value: Any) -> Any:
    """A copy with one field replaced or removed."""
    found = copy.deepcopy(content)
    node = found
    for key in keys[:-1]:
        node = node[key]
    if value is REMOVED:
        del node[keys[-1]]
    else:
        node[keys[-1]] = value
    return found


def product(content: Any, values: list[Any]) -> list[tuple[Keys, Any]]:
    return [(keys, value) for keys in fields(content) for value in values]


def sampled(cases: list[tuple[Keys, Any]], number: int) -> list[tuple[Keys, Any]]:
    return random.Random(len(cases)).sample(cases, min(number, len(cases)))


@pytest.fixture(scope="module")
def whole(small_npz, tmp_path_factory) -> Path:
    """A finished run, never to be changed."""
    path = tmp_path_factory.mktemp("whole") / "run"
    trained([*small_overrides(small_npz), "trainer.max_steps=4", "logging.pictures_every_n_epochs=0"], path)
    directory = RunDirectory(path)
    finding = {"name": "au", "value": 2.0, "unit": "dimensions", "error": None, "note": ""}
    groups = {"latents": {"findings": [finding], "remarks": ["a"], "details": {}, "protocol": {"split": "test"}}}
    directory.write_metrics({**directory.metrics(), "evaluation": groups})
    return path


@pytest.fixture
def run(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "sweep" / "run")


def is_refused(read, *arguments) -> bool:
    """Whether a reader refuses, in words for the user."""
    try:
        read(*arguments)
    except Exception as error:
        if not is_users(error):
            raise
        return True
    return False


# ---- who reads a run ------------------------------------------------------------------------------------------------


def built(path: Path) -> None:
    """`vae-train run=`, up to the first step."""
    directory = RunDirectory(path)
    config, _ = directory.read_config([])
    check(config, [], [])
    _Run(config, directory, directory.checkpoints / "last.ckpt")


def used(path: Path) -> None:
    """`vae-eval` and the others, up to the first pass."""
    own_data(load_run(path))


def listed(path: Path) -> None:
    """`vae-runs` of all kinds."""
    found = by_age([record(place) for place in places([path.parent])])
    tags = default_tags(found)
    readable(run_table(found, [*default_columns(found, differing(found), tags), *found[0].values]), tags)
    readable(group_table(found, ["seed"], differing(found), tags), tags)
    chart(found, chosen_axes(found, ["seed"], "beta", None, None), ["seed"], "")


def summed_up(path: Path) -> None:
    """What a sweep makes of a job."""
    sweep, directory = SweepFolder(path.parent), RunDirectory(path)
    for result in results(sweep, [Job("run", [])]):
        line(result)
    if state_of(directory) == "finished":
        is_spent(directory, OmegaConf.create({"patience": 3, "max_epochs": 3, "max_steps": 4}))
    _finished(directory)
    write_summary(sweep)


# ---- the files ------------------------------------------------------------------------------------------------------


def config_cases(path: Path) -> list[tuple[Keys, Any]]:
    return product(yaml.safe_load((path / "config.yaml").read_text()), VALUES)


def assert_configs(path: Path, cases: list[tuple[Keys, Any]]) -> None:
    content = yaml.safe_load((path / "config.yaml").read_text())
    for keys, value in cases:
        (path / "config.yaml").write_text(yaml.safe_dump(damaged(content, keys, value), sort_keys=False))
        for reader in (listed, built, used):
            try:
                is_refused(reader, path)
            except Exception as error:
                raise AssertionError(f"{reader.__name__} with {keys} = {value!r}") from error


def test_config(run):
    assert_configs(run, sampled(config_cases(run), 30))


@pytest.mark.slow
def test_config_everywhere(run):
    assert_configs(run, config_cases(run))


RECORDS = ["status.json", "metrics.json"]


def assert_records(run: Path, name: str, number: int) -> None:
    """So many of the product."""
    content = json.loads((run / name).read_text())
    for keys, value in sampled(product(content, [value for value in VALUES if value != {3: 4}]), number):
        (run / name).write_text(json.dumps(damaged(content, keys, value)))
        try:
            is_refused(listed, run)
            summed_up(run)
        except Exception as error:
            raise AssertionError(f"{keys} = {value!r}") from error


@pytest.mark.parametrize("name", RECORDS)
def test_records(run, name):
    assert_records(run, name, 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDS)
def test_records_everywhere(run, name):
    assert_records(run, name, 10**6)


def checkpoint_cases(path: Path) -> list[tuple[Keys, Any]]:
    return product(torch.load(path / "checkpoints" / "last.ckpt", weights_only=True), [*VALUES, *TENSORS])


def assert_checkpoints(path: Path, cases: list[tuple[Keys, Any]]) -> list[Any]:
    """Those that are taken for checkpoints of this run: a number was replaced by another that could stand there."""
    config, _ = RunDirectory(path).read_config([])
    data = build_data(config)
    experiment = build_experiment(config, data)
    terms = rehearse(experiment, data)
    last, taken = path / "checkpoints" / "last.ckpt", []
    content = torch.load(last, weights_only=True)

    def read() -> None:
        try:
            check_progress(load_checkpoint(last), experiment, terms)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    for keys, value in cases:
        torch.save(found := damaged(content, keys, value), last)
        try:
            if not is_refused(read):
                taken.append((keys, found))
        except Exception as error:
            raise AssertionError(f"{keys} = {value!r}") from error
    return taken


def assert_continues(whole: Path, place: Path, content: Any) -> None:
    """A checkpoint that is taken is one that training goes on from, or is refused in words."""
    shutil.copytree(whole, place)
    torch.save(content, place / "checkpoints" / "last.ckpt")
    directory = RunDirectory(place)
    config, record_ = directory.read_config([])
    config.trainer.max_steps = 5
    is_refused(resume, config, record_, directory)
    shutil.rmtree(place)


def test_checkpoints(run, whole, tmp_path):
    taken = assert_checkpoints(run, sampled(checkpoint_cases(run), 300))
    for keys, content in taken[:2]:
        assert "state" not in keys[-2:], keys
        assert_continues(whole, tmp_path / "taken", content)


@pytest.mark.slow
def test_checkpoints_everywhere(run, whole, tmp_path):
    taken = assert_checkpoints(run, checkpoint_cases(run))
    assert len(taken) < 200
    for _, content in taken:
        assert_continues(whole, tmp_path / "taken", content)


MOMENT = ("optimizer_states", 0, "state", 0, "exp_avg")
STRANGE = {
    "shape": lambda moment: torch.zeros(3),
    "one number for all": lambda moment: torch.zeros(1).expand(moment.shape),
    "turned": lambda moment: torch.zeros(moment.T.shape).T,
    "inside another": lambda moment: torch.zeros(10**5)[: moment.numel()].view(moment.shape),
    "type": lambda moment: moment.double(),
    "whole numbers": lambda moment: moment.int(),
    "lost": lambda moment: moment * math.nan,
    "with a gradient": lambda moment: moment.clone().requires_grad_(),
    "a weight": lambda moment: torch.nn.Parameter(moment),
    "sparse": lambda moment: moment.to_sparse(),
}


@pytest.mark.parametrize("name", STRANGE)
def test_moments_that_would_end_the_process(run, name):
    last = run / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    moments = content["optimizer_states"][0]["state"][0]
    moments["exp_avg"] = STRANGE[name](moments["exp_avg"])
    torch.save(content, last)
    config, record_ = RunDirectory(run).read_config([])
    config.trainer.max_steps = 5
    with pytest.raises(ConfigError, match=r"last\.ckpt.*optimizer_states\[0\]\.state\.0\.exp_avg"):
        resume(config, record_, RunDirectory(run))
    assert RunDirectory(run).status()["state"] == "finished"


def test_bytes_that_are_cut_or_turned(run):
    last = run / "checkpoints" / "last.ckpt"
    good = last.read_bytes()
    config, _ = RunDirectory(run).read_config([])
    data = build_data(config)
    experiment = build_experiment(config, data)
    terms = rehearse(experiment, data)
    draw = random.Random(0)

    def read() -> None:
        try:
            check_progress(load_checkpoint(last), experiment, terms)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    for _ in range(150):
        harmed = bytearray(good)
        if draw.random() < 0.3:
            del harmed[draw.randrange(len(good)) :]
        else:
            harmed[draw.randrange(len(good))] ^= 1 << draw.randrange(8)
        last.unlink()  # what is mapped into memory stays as it was
        last.write_bytes(harmed)
        is_refused(read)


def test_events_of_any_name_and_content(run):
    for name in ("x", "", "99999999999999999999.vm.1.0", "1.2", "\u0661\u0662.a"):
        (run / f"events.out.tfevents.{name}").write_bytes(bytes(range(256)))
    config, record_ = RunDirectory(run).read_config([])
    config.trainer.max_steps = 5
    assert resume(config, record_, RunDirectory(run)).state == "finished"


# ---- a sweep --------------------------------------------------------------------------------------------------------


def test_sweep(run):
    assert_sweeps(run, 60)


@pytest.mark.slow
def test_sweep_everywhere(run):
    assert_sweeps(run, 10**6)


def assert_sweeps(run: Path, number: int) -> None:
    """So many of the product."""
    folder = SweepFolder(run.parent)
    folder.ask_for([Job("run", ["beta=1", "seed=0"], {"seed": "0"})], "vae-train -m seed=0")
    path = folder.path / "sweep.yaml"
    content = yaml.safe_load(path.read_text())

    def read() -> None:
        jobs = folder.jobs()
        results(folder, jobs)
        write_summary(folder)
        for job in jobs:
            check_recorded(job.words, [], "sweep.yaml")

    for keys, value in sampled(product(content, VALUES), number):
        path.write_text(yaml.safe_dump(damaged(content, keys, value), sort_keys=False))
        try:
            is_refused(read)
        except Exception as error:
            raise AssertionError(f"{keys} = {value!r}") from error
