"""`vae-runs`: every run is listed whatever state it is in, and what is said of it is what its files say."""

import csv
import io
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import small_overrides, vae_train
from filelock import FileLock
from omegaconf import DictConfig
from torch.utils.tensorboard import SummaryWriter

from vae_cli.cli.runs import main
from vae_cli.cli.runs_display import fitting
from vae_cli.listing.chart import chart, chosen_axes
from vae_cli.listing.curves import curves
from vae_cli.listing.differing import differing
from vae_cli.listing.drawing import figure_of, figure_of_curves
from vae_cli.listing.places import places
from vae_cli.listing.record import record
from vae_cli.listing.summary import write_summary
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.folder import Job, SweepFolder, state_of
from vae_cli.sweeps.table import means

ELBOS = {(1, 0): -4.0, (1, 1): -2.0, (1, 2): -6.0, (4, 0): -9.5}  # by beta and seed


def write(path: Path, elbo: float | None = -5.0, choices: dict | None = None, **config) -> Path:
    """A finished run of a small config, written by hand; a key of a part is `part__key`."""
    run, content = RunDirectory(path), {"beta": 1.0, "seed": 0, "latent_dim": 2, "name": path.name}
    content |= {"optimizer": {"_target_": "torch.optim.Adam", "lr": 1e-3}, "trainer": {"max_epochs": 3}}
    for key, value in config.items():
        part, _, name = key.partition("__")
        content[part] = {**content.get(part, {}), name: value} if name else value
    content.setdefault("objective", {"beta": content["beta"]})
    path.mkdir(parents=True)
    chosen = {"model": "vae", "dataset": "digits", **(choices or {})}
    run.write_config(DictConfig(content), {"choices": chosen, "overrides": []})
    if elbo is not None:
        test = {"test/elbo": elbo, "test/reconstruction": elbo + 1.0, "test/kl": 1.0, "test/kl/z": 1.0}
        run.write_metrics({"unit": "nats", "weights": "last", "steps": 6, "epochs": 3, "waited": 0, "test": test})
        run.write_status("finished", 6)
    return path


@pytest.fixture
def sweep(tmp_path):
    for (beta, seed), elbo in ELBOS.items():
        write(tmp_path / "sweep" / f"beta{beta}_seed{seed}", elbo, beta=float(beta), seed=seed)
    return tmp_path / "sweep"


@pytest.fixture
def command(monkeypatch, capsys):
    """`vae-runs <words>`, in this process: its status, standard output and standard error."""

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vae-runs", *map(str, words)])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # a command sets it for its process, which here goes on
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def rows(command):
    """The rows of `vae-runs <words> format=csv`."""

    def run(*words) -> list[dict[str, str]]:
        status, out, _ = command(*words, "format=csv")
        assert status == 0
        return list(csv.DictReader(io.StringIO(out)))

    return run


def records(folder: Path):
    return [record(place) for place in places([folder])]


def names(found: list[dict[str, str]]) -> list[str]:
    return [Path(row["run"]).name for row in found]


# ---- the table ------------------------------------------------------------------------------------------------------


def test_a_row_a_run_with_every_digit(sweep, rows):
    write(sweep / "third", -1 / 3, beta=0.1 + 0.2)
    found = rows(sweep)
    assert list(found[0]) == [
        *("run", "status", "model", "dataset", "beta", "seed"),
        *("test/elbo", "test/reconstruction", "test/kl"),
    ]
    by_name = dict(zip(names(found), found, strict=True))
    assert {(int(float(row["beta"])), int(row["seed"])): float(row["test/elbo"]) for row in found[:4]} == ELBOS
    assert by_name["third"]["run"] == str(sweep / "third")
    assert (float(by_name["third"]["test/elbo"]), float(by_name["third"]["beta"])) == (-1 / 3, 0.1 + 0.2)


def test_the_newest_is_last_whatever_the_clock_of_its_place(tmp_path, rows):
    for name, began in (("b", "2026-10-25T02:30:00+01:00"), ("c", "2026-10-25T02:10:00+00:00"), ("a", None)):
        write(tmp_path / name)
        status = RunDirectory(tmp_path / name).status() | {"started": began}
        (tmp_path / name / "status.json").write_text(json.dumps(status))
    for moment, name in enumerate("acb"):
        os.utime(tmp_path / name, (moment, moment))
    found = rows(tmp_path)
    assert {row["status"] for row in found} == {"finished"}
    assert names(found) == ["a", "b", "c"]


def test_text_is_plain_and_whole_where_no_terminal_reads_it(sweep, command):
    long = write(sweep / ("x" * 90), beta=1e-4)
    status, out, _ = command(sweep)
    lines = out.splitlines()
    assert status == 0
    assert len(lines) == 1 + 5 + 1
    assert lines[0].split()[:6] == ["run", "status", "model", "dataset", "beta", "seed"]
    assert [str(long), "finished", "vae", "digits", "0.0001", "0", "-5.000", "-4.000", "1.000"] in map(str.split, lines)
    assert lines[-1].startswith("5 runs: 5 finished.")


def test_markdown(sweep, command):
    run = write(sweep / "odd", elbo=None)
    RunDirectory(run).write_status("failed", 0, "a | b\nc \x1b[31m")
    _, out, _ = command(sweep, "format=markdown", "where=status=failed")
    assert out.splitlines()[2:] == [
        "| run | status | model | dataset | reason |",
        "| --- | --- | --- | --- | --- |",
        f"| {run} | failed | vae | digits | a \\| b\\nc \\x1b[31m |",
    ]


def test_columns_and_metrics_of_choice(sweep, rows):
    assert list(rows(sweep, "metrics=[test/kl*,test/elbo]")[0])[6:] == ["test/kl", "test/kl/z", "test/elbo"]
    assert list(rows(sweep, "columns=run,optimizer.*,steps")[0]) == ["run", "optimizer.lr", "steps"]


def test_a_terminal_shows_what_it_has_room_for():
    row = {"run": "a" * 10, "status": "finished", "model": "vae", "beta": "1", "test/elbo": "-1.0", "test/kl": "1.0"}
    several = [row, row | {"beta": "4", "test/kl": "2.0"}]
    kept = ["test/elbo"]
    assert fitting(several, 100, kept) == list(row)
    assert sum(map(len, ["a" * 10, "finished", "model", "beta", "test/elbo", "test/kl"])) + 2 * 5 == 53
    assert fitting(several, 53, kept) == list(row)
    assert fitting(several, 52, kept) == ["run", "status", "beta", "test/elbo", "test/kl"]
    assert fitting(several, 45, kept) == ["run", "status", "beta", "test/elbo"]
    assert fitting(several, 5, kept) == ["run", "status", "test/elbo"]


# ---- what differs ----------------------------------------------------------------------------------------------------


def test_keys_that_differ(tmp_path):
    write(tmp_path / "a", dataset__path="here", logging={"every_n_steps": 1}, trainer={"max_epochs": 1, "devices": 1})
    write(tmp_path / "b", dataset__path="there", logging={"every_n_steps": 2}, trainer={"max_epochs": 2, "devices": 2})
    write(tmp_path / "c", beta=2.0, seed=1, optimizer={"lr": 1e-2}, trainer={"max_epochs": 1, "devices": 1})
    assert differing(records(tmp_path)) == ["beta", "optimizer.lr", "trainer.max_epochs", "seed"]


def test_a_part_of_its_own_is_compared_with_its_like(tmp_path):
    gaussian = {"likelihood": "gaussian"}
    write(tmp_path / "a", likelihood={"from_mean": True})
    write(tmp_path / "b", choices=gaussian, likelihood={"sigma": 1.0, "from_mean": False})
    assert differing(records(tmp_path)) == ["likelihood"]
    write(tmp_path / "c", choices=gaussian, likelihood={"sigma": 2.0, "from_mean": False})
    assert differing(records(tmp_path)) == ["likelihood", "likelihood.sigma"]


def test_a_key_that_follows_another_is_left_out_until_it_does_not(tmp_path):
    write(tmp_path / "a", beta=1.0, objective={"beta": 1.0})
    write(tmp_path / "b", beta=4.0, objective={"beta": 4.0})
    assert differing(records(tmp_path)) == ["beta"]
    write(tmp_path / "c", beta=1.0, objective={"beta": 2.0})
    assert differing(records(tmp_path)) == ["beta", "objective.beta"]


# ---- where and sort --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["where=beta=1"], {"beta1_seed0", "beta1_seed1", "beta1_seed2"}),
        (["where=beta==1.00"], {"beta1_seed0", "beta1_seed1", "beta1_seed2"}),
        (["where=beta!=1"], {"beta4_seed0"}),
        (["where=beta>1"], {"beta4_seed0"}),
        (["where=beta>=4"], {"beta4_seed0"}),
        (["where=beta<4 and seed<=1"], {"beta1_seed0", "beta1_seed1"}),
        (["where=beta<4", "where=seed=1"], {"beta1_seed1"}),
        (["where=seed=1,2"], {"beta1_seed1", "beta1_seed2"}),
        (["where=seed!=1,2"], {"beta1_seed0", "beta4_seed0"}),
        (["where=test/elbo > -5"], {"beta1_seed0", "beta1_seed1"}),
        (["where=run=*seed0"], {"beta1_seed0", "beta4_seed0"}),
        (["where=run=*SEED0"], set()),
        (["where=dataset=digit"], set()),
        (["where=status=finished and model=vae and dataset=digits and beta=4"], {"beta4_seed0"}),
        (["where=started<2000-01-01"], set()),
        (["where=started>2000-01-01 and seed=2"], {"beta1_seed2"}),
        (["where=optimizer.lr=1e-3 and seed=2"], {"beta1_seed2"}),
    ],
)
def test_where(sweep, rows, words, expected):
    assert set(names(rows(sweep, *words))) == expected


def test_a_run_without_the_key_equals_nothing_and_is_neither_more_nor_less(sweep, rows):
    write(sweep / "other", prior={"sigma": 2.0})
    assert names(rows(sweep, "where=prior.sigma=*")) == ["other"]
    assert names(rows(sweep, "where=prior.sigma>0")) == ["other"]
    assert len(rows(sweep, "where=prior.sigma!=2")) == 4


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("test/elbo", ["beta4_seed0", "beta1_seed2", "none", "beta1_seed0", "beta1_seed1", "late"]),
        ("-test/elbo", ["beta1_seed1", "beta1_seed0", "none", "beta1_seed2", "beta4_seed0", "late"]),
        ("-beta,seed", ["late", "beta4_seed0", "beta1_seed0", "none", "beta1_seed1", "beta1_seed2"]),
        ("-run", ["none", "late", "beta4_seed0", "beta1_seed2", "beta1_seed1", "beta1_seed0"]),
    ],
)
def test_sort(sweep, rows, order, expected):
    write(sweep / "none", -5.0)
    write(sweep / "late", float("nan"), beta=10.0)
    assert names(rows(sweep, f"sort={order}")) == expected


def test_nothing_that_was_typed_is_evaluated(sweep, command, tmp_path):
    status, _, err = command(sweep, f"where=__import__('os').mkdir('{tmp_path}/made')")
    assert status == 1
    assert err.count("\n") == 1
    assert not (tmp_path / "made").exists()


def test_none_is_found(sweep, command, tmp_path):
    (tmp_path / "empty").mkdir()
    assert command(tmp_path / "empty") == (0, "", f"no runs below {tmp_path / 'empty'}\n")
    assert command(sweep, "where=beta=7") == (0, "", "where= holds for none of 4 runs: 4 finished\n")


# ---- over seeds -----------------------------------------------------------------------------------------------------


def test_means_over_seeds_against_a_hand_computation(sweep, rows, command):
    one, four = rows(sweep, "over=seed", "metrics=test/elbo", "sort=beta")
    assert one == {
        **{"model": "vae", "dataset": "digits", "beta": "1.0", "status": "3 finished", "n": "3"},
        **{"test/elbo": "-4.0", "test/elbo sd": "2.0"},  # of -4, -2, -6
    }
    assert (four["beta"], four["n"], four["test/elbo"], four["test/elbo sd"]) == ("4.0", "1", "-9.5", "")
    _, out, _ = command(sweep, "over=seed", "sort=-beta", "format=markdown", "columns=beta,test/elbo")
    assert out.splitlines()[-2:] == ["| 4 | -9.500 |", "| 1 | -4.000 |"]
    _, out, _ = command(sweep, "over=seed", "sort=-beta", "format=markdown", "columns=beta,n,test/elbo*")
    assert out.splitlines()[-2:] == ["| 4 | 1 | -9.500 |", "| 1 | 3 | -4.000 ± 2.000 |"]


def test_runs_of_another_budget_or_setting_are_no_seeds(sweep, rows):
    write(sweep / "longer", seed=3, trainer={"max_epochs": 9})
    write(sweep / "other_name", seed=4, name="other", logging={"every_n_steps": 9})
    found = rows(sweep, "over=seed", "sort=beta,trainer.max_epochs")
    assert [(row["beta"], row["trainer.max_epochs"], row["n"]) for row in found] == [
        ("1.0", "3", "4"),
        ("1.0", "9", "1"),
        ("4.0", "3", "1"),
    ]


def test_the_summary_of_a_sweep_splits_what_vae_runs_splits(tmp_path, rows):
    """Job 2 was trained further, 3 asked for with another width; 4 has another seed alone, and 5 no config."""
    jobs = [Job(f"job{number}", [], {"seed": str(number)}) for number in range(6)]
    sweep = SweepFolder(tmp_path / "sweep")
    sweep.ask_for(jobs, "vae-train -m")
    changes = {2: {"trainer": {"max_epochs": 10}}, 3: {"latent_dim": 5}}
    for number, job in enumerate(jobs[:5]):
        write(sweep.run(job).path, -float(number), seed=number, **changes.get(number, {}))
    sweep.run(jobs[5]).path.mkdir()
    sweep.run(jobs[5]).write_status("failed", 0, "refused")
    write_summary(sweep)
    found = list(csv.DictReader(io.StringIO((sweep.path / "summary.csv").read_text())))
    assert list(found[0])[:3] == ["latent_dim", "trainer.max_epochs", "n"]
    kept = ("latent_dim", "trainer.max_epochs", "n", "test/elbo", "test/elbo sd")
    told = [tuple(row[key] for key in kept) for row in found]
    assert told[0] == ("2", "3", "3", str(-5 / 3), str(math.sqrt(13 / 3)))  # of 0, -1 and -4
    assert told[1:] == [("2", "10", "1", "-2.0", ""), ("5", "3", "1", "-3.0", ""), ("", "", "0", "", "")]
    assert [tuple(row[key] for key in kept) for row in rows(sweep.path, "over=seed")] == told[:3]


def test_over_several_keys_and_what_follows_them(sweep, rows):
    (found,) = rows(sweep, "over=beta,seed", "metrics=test/elbo")
    assert (found["n"], float(found["test/elbo"])) == ("4", -21.5 / 4)
    assert "objective.beta" not in found


def test_jobs_without_figures_count_in_no_mean(sweep, rows, command):
    RunDirectory(write(sweep / "stopped", elbo=None, seed=7)).write_status("interrupted", 2)
    (sweep / "cut").mkdir()
    (sweep / "cut" / "config.yaml").write_text("{:")
    status, out, err = command(sweep, "over=seed", "format=csv", "sort=beta")
    found = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    assert (found[0]["status"], found[0]["n"], found[0]["test/elbo"]) == ("3 finished, 1 interrupted", "3", "-4.0")
    assert err.startswith(f"{sweep / 'cut'}: damaged: status.json is missing")


def test_figures_that_are_not_finite_have_no_deviation():
    found = means([{"a": math.inf, "b": 1.0}, {"a": 1.0, "b": 3.0}], ["a", "b"])
    assert found["a"] == math.inf
    assert math.isnan(found["a sd"])
    assert (found["b"], found["b sd"]) == (2.0, math.sqrt(2))


# ---- damage ---------------------------------------------------------------------------------------------------------


def _old_format(run: Path) -> None:
    content = yaml.safe_load((run / "config.yaml").read_text())
    content["recorded"] |= {"format": 1, "version": "0.0.1"}
    (run / "config.yaml").write_text(yaml.safe_dump(content))


DAMAGES = {
    "no config": (lambda run: (run / "config.yaml").unlink(), "not a run directory: it has no config.yaml"),
    "config is cut": (lambda run: (run / "config.yaml").write_text("a: {b"), "config.yaml is damaged: while parsing"),
    "config is empty": (lambda run: (run / "config.yaml").write_text(""), "config.yaml is damaged"),
    "config is a list": (lambda run: (run / "config.yaml").write_text("[1]"), "config.yaml is damaged"),
    "config is binary": (lambda run: (run / "config.yaml").write_bytes(b"\xff\x00"), "config.yaml is damaged"),
    "config is deep": (lambda run: (run / "config.yaml").write_text("[" * 10**6), "lie more than 100 deep"),
    "config has no record": (lambda run: (run / "config.yaml").write_text("a: 1"), "config.yaml is damaged"),
    "config is a folder": (
        lambda run: [(run / "config.yaml").unlink(), (run / "config.yaml").mkdir()],
        "it has no config.yaml",
    ),
    "another format": (_old_format, "was written by version 0.0.1 in format 1"),
    "no status": (lambda run: (run / "status.json").unlink(), "status.json is missing"),
    "status is cut": (lambda run: (run / "status.json").write_text('{"state": "fin'), "status.json is damaged"),
    "status is none": (lambda run: (run / "status.json").write_text('{"state": "merry"}'), "status.json is damaged"),
    "state is a list": (lambda run: (run / "status.json").write_text('{"state": []}'), "status.json is damaged"),
    "no metrics": (lambda run: (run / "metrics.json").unlink(), "metrics.json is missing"),
    "metrics are cut": (lambda run: (run / "metrics.json").write_text('{"test": {"a": '), "metrics.json is damaged"),
    "metrics are a list": (lambda run: (run / "metrics.json").write_text("[]"), "metrics.json is damaged"),
    "a word for a figure": (
        lambda run: (run / "metrics.json").write_text('{"test": {"test/elbo": "good"}}'),
        "metrics.json is damaged: test.test/elbo is 'good'",
    ),
    "a figure beyond all bounds": (
        lambda run: (run / "metrics.json").write_text('{"test": {"a": 1' + "0" * 400 + "}}"),
        "metrics.json is damaged: test.a is a number of more than 63 bits",
    ),
    "metrics are deep": (lambda run: (run / "metrics.json").write_text("[" * 10**5), "metrics.json is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_listed_and_stops_nothing(sweep, rows, damage):
    harm, expected = DAMAGES[damage]
    harm(sweep / "beta1_seed0")
    found = dict(zip(["beta1_seed0"], [row for row in rows(sweep) if row["status"] != "finished"], strict=True))
    assert found["beta1_seed0"]["run"] == str(sweep / "beta1_seed0")
    assert found["beta1_seed0"]["status"] == "damaged"
    assert expected in found["beta1_seed0"]["reason"]
    assert str(sweep) not in found["beta1_seed0"]["reason"].partition("init=")[0]
    assert len(rows(sweep, "where=status!=damaged")) == 3


def test_all_are_damaged(tmp_path, command):
    for kind in ("text", "csv", "markdown"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "status.json").write_text("{")
        status, out, _ = command(tmp_path, f"format={kind}")
        assert status == 0
        assert "status.json is damaged" in out
    assert command(tmp_path, "over=run")[0] == 0


def test_every_state_is_named(tmp_path, rows):
    for state in ("finished", "interrupted", "failed", "running"):
        RunDirectory(write(tmp_path / state)).write_status(state, 6, "beta is wrong" if state == "failed" else None)
    held = write(tmp_path / "held")
    with FileLock(held / ".lock"):
        found = {name: (row["status"], row["reason"]) for name, row in zip(*_named(rows(tmp_path)), strict=True)}
    expected = {state: (state, "") for state in ("finished", "interrupted")}
    expected |= {"failed": ("failed", "beta is wrong"), "running": ("killed", ""), "held": ("running", "")}
    assert found == expected


def _named(found):
    return names(found), found


def test_figures_of_a_run_that_goes_on_are_not_its_last(tmp_path, rows):
    RunDirectory(write(tmp_path / "a", -1.0)).write_status("interrupted", 9)
    (found,) = rows(tmp_path, "columns=status,steps")
    assert found == {"status": "interrupted", "steps": "9"}
    assert record(next(places([tmp_path]))).figures == {}


def test_a_job_that_was_refused_has_failed(tmp_path, rows):
    tmp_path.joinpath("job").mkdir()
    RunDirectory(tmp_path / "job").write_status("failed", 0, "beta=-1: 0 or more")
    (found,) = rows(tmp_path)
    assert (found["status"], found["reason"], found["model"]) == ("failed", "beta=-1: 0 or more", "")


def test_two_that_look_at_once_do_not_take_each_other_for_the_run(tmp_path, monkeypatch):
    run = RunDirectory(write(tmp_path / "a"))
    (run.path / ".lock").touch()
    states = []
    flock = __import__("fcntl").flock

    def looking(file, operation):
        flock(file, operation)
        if not states:
            states.append(None)
            states.append(state_of(run))

    monkeypatch.setattr("fcntl.flock", looking)
    assert state_of(run) == "finished"
    assert states == [None, "finished"]


# ---- what evaluation found ------------------------------------------------------------------------------------------


def test_findings_are_figures_and_what_is_none_is_left_out(tmp_path, rows):
    run = RunDirectory(write(tmp_path / "a"))
    findings: list = [
        {"name": "ais", "value": -3.5, "unit": "nats", "error": 0.1, "note": None},
        {"name": "count", "value": 7},
        {"name": "flag", "value": True},
        {"name": "none", "value": None},
        {"value": 1.0},
        "words",
    ]
    others = {"words": "x", "list": [1], "empty": {}, "number": {"findings": 3}}
    evaluation = {"protocol": {"draws": 5}, "likelihood": {"findings": findings}, **others}
    run.write_metrics({**run.metrics(), "evaluation": evaluation})
    (found,) = rows(tmp_path, "metrics=eval/*")
    assert {key: value for key, value in found.items() if key.startswith("eval")} == {
        "eval/likelihood/ais": "-3.5",
        "eval/likelihood/count": "7.0",
    }
    run.write_metrics({**run.metrics(), "evaluation": "words"})
    assert "eval/likelihood/ais" not in record(next(places([tmp_path]))).values
    assert [row["test/elbo"] for row in rows(tmp_path)] == ["-5.0"]


# ---- where runs lie --------------------------------------------------------------------------------------------------


def test_links_lead_nowhere_twice_and_nothing_below_a_run_is_one(sweep, tmp_path):
    write(sweep / "beta4_seed0" / "checkpoints" / "inner")
    write(tmp_path / "outputs" / "a" / "b" / "run")
    write(tmp_path / ".hidden" / "run")
    (tmp_path / "outputs" / "up").symlink_to(tmp_path)
    (tmp_path / "outputs" / "self").symlink_to("self")
    (tmp_path / "outputs" / "broken").symlink_to("nowhere")
    (tmp_path / "outputs" / "again").symlink_to(sweep)
    (tmp_path / "file").write_text("")
    found = [place.path for place in places([tmp_path, sweep, tmp_path / "outputs"])]
    assert sorted(path.resolve().name for path in found) == [*sorted(f"beta{b}_seed{s}" for b, s in ELBOS), "run"]
    assert [place.path for place in places([sweep / "beta4_seed0"])] == [sweep / "beta4_seed0"]


def test_a_folder_that_cannot_be_read_is_listed(sweep, rows, monkeypatch):
    scandir = os.scandir

    def refusing(path):
        if Path(path) == sweep / "beta1_seed0":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refusing)
    found = [(row["run"], row["reason"]) for row in rows(sweep) if row["status"] == "damaged"]
    assert found == [(str(sweep / "beta1_seed0"), "Permission denied")]


# ---- words that are refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (["wher=beta=1"], "unknown key 'wher'; did you mean where?"),
        (["where=bta=1"], "where=bta=1: no run has 'bta'; did you mean beta"),
        (["where=beta"], "where=beta: key=value, or another of"),
        (["where=beta=1 or beta=4"], "either of two values as in beta=1,4"),
        (["where=beta>four"], "where=beta>four: beta is a number, and 'four' is none"),
        (["sort=-tst/elbo"], "sort=-tst/elbo: no run has 'tst/elbo'; did you mean test/elbo"),
        (["metrics=test/iwae"], "metrics=test/iwae: no run has it"),
        (["columns=sed"], "columns=sed: no run has it; did you mean seed"),
        (["over=sed"], "over=sed: no run has 'sed'; did you mean seed"),
        (["format=marcdown"], "unknown format 'marcdown'; did you mean markdown?"),
        (["x=beta"], "x=beta is of a plot: add plot=<name>.png"),
        (["plot=a.png", "sort=beta"], "sort=beta is of a table: leave out it or plot=a.png"),
        (["plot=a.pdf"], "plot=a.pdf: a name that ends with .png is needed"),
        (["plot=a.png", "x=bta"], "x=bta: no run has 'bta'; did you mean beta"),
        (["plot=a.png", "y=seed"], "y=seed: a figure is needed; these runs have test/elbo"),
        (["plot=nowhere/a.png"], "No such file or directory: nowhere/a.png"),
    ],
)
def test_one_line_says_what_would_work(sweep, command, monkeypatch, words, expected):
    monkeypatch.chdir(sweep)
    status, out, err = command(*words if words == ["nowhere"] else [".", *words])
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: ")
    assert expected in err
    assert not list(sweep.glob("*.png"))


def test_an_unknown_flag_and_the_help(command):
    assert command("--frmat")[0] == 1
    status, out, _ = command("--help")
    assert status == 0
    assert "vae-runs over=seed" in out


# ---- the plot -------------------------------------------------------------------------------------------------------


def drawn(folder: Path, x=None, y=None, by=None):
    found = records(folder)
    axes = chosen_axes(found, ["seed"], x, y, by)
    return chart(found, axes, ["seed"], "title")


def points(figure) -> list[tuple[float, float]]:
    """Of every run, as they stand in the picture."""
    (axes,) = figure.axes
    found = [np.asarray(one.get_offsets()) for one in axes.collections if len(one.get_offsets()) and one.get_alpha()]
    return sorted(map(tuple, np.concatenate(found).tolist()))


def test_a_sweep_of_beta_shows_reconstruction_against_kl(sweep):
    found = drawn(sweep)
    assert (found.x, found.y, found.legend, found.labels) == (
        *("test/kl (nats)", "test/reconstruction (nats)"),
        *("beta", ["1", "4"]),
    )
    figure = figure_of(found)
    assert points(figure) == sorted((1.0, elbo + 1.0) for elbo in ELBOS.values())
    assert figure.axes[0].get_xlabel() == "test/kl (nats)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1", "4"]
    ((one, four),) = found.lines
    assert (one.centre, one.deviations) == ((1.0, -3.0), (0.0, 2.0))
    assert (four.centre, four.deviations) == ((1.0, -8.5), (0.0, 0.0))


def test_a_figure_against_a_hyper_parameter(sweep):
    found = drawn(sweep, x="beta")
    figure = figure_of(found)
    assert (found.y, found.legend, found.logarithmic) == ("test/elbo (nats)", "", False)
    assert points(figure) == sorted((float(beta), elbo) for (beta, _), elbo in ELBOS.items())
    (means_line, *_) = figure.axes[0].lines
    assert means_line.get_xydata().tolist() == [[1.0, -4.0], [4.0, -9.5]]
    assert "over seed" in figure.get_suptitle()


def test_other_settings_have_lines_of_their_own(sweep):
    for beta in (1.0, 4.0):
        write(sweep / f"wide{beta}", -1.0, beta=beta, latent_dim=50, choices={"model": "wide"})
    found = drawn(sweep, x="beta")
    assert found.legend == "model"  # which tells latent_dim too
    assert {line[0].label: [one.centre for one in line] for line in found.lines} == {
        "vae": [(1.0, -4.0), (4.0, -9.5)],
        "wide": [(1.0, -1.0), (4.0, -1.0)],
    }
    assert drawn(sweep, x="beta", by=["latent_dim"]).labels == ["2", "50"]
    assert drawn(sweep, x="beta", by=["model", "latent_dim"]).labels == ["vae, 2", "wide, 50"]


def test_words_stand_side_by_side_and_wide_ranges_on_a_logarithmic_axis(tmp_path):
    for lr, kind in ((1e-4, "bernoulli"), (1e-3, "gaussian"), (1e-2, "laplace")):
        write(tmp_path / kind, choices={"likelihood": kind}, optimizer={"lr": lr})
    found = drawn(tmp_path, x="likelihood")
    assert found.words == {0: "bernoulli", 1: "gaussian", 2: "laplace"}
    labels = figure_of(found).axes[0].get_xticklabels()
    assert [(label.get_position()[0], label.get_text()) for label in labels] == list(found.words.items())
    wide = drawn(tmp_path, x="optimizer.lr")
    assert wide.logarithmic
    assert figure_of(wide).axes[0].get_xscale() == "log"


def test_runs_without_both_figures_are_counted(sweep, command, tmp_path):
    write(sweep / "broken", float("nan"), seed=8)
    RunDirectory(write(sweep / "stopped", elbo=None, seed=9)).write_status("interrupted", 2)
    status, out, err = command(sweep, f"plot={tmp_path / 'a.png'}")
    assert (status, err) == (0, "")
    assert out == f"{tmp_path / 'a.png'}: test/reconstruction against test/kl, 4 runs; 2 have not both\n"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_that_cannot_be_chosen_says_between_what(tmp_path, command):
    write(tmp_path / "a", latent_dim=2, optimizer={"lr": 1e-3})
    write(tmp_path / "b", latent_dim=2, optimizer={"lr": 1e-2})
    write(tmp_path / "c", latent_dim=5, optimizer={"lr": 1e-2})
    status, _, err = command(tmp_path, f"plot={tmp_path / 'a.png'}")
    assert status == 1
    assert err == "error: plot= needs x=<key>: latent_dim, optimizer.lr differ between these runs\n"
    assert command(tmp_path, f"plot={tmp_path / 'a.png'}", "where=latent_dim=2")[0] == 0


LONG = "a title of runs below a folder with a long name " * 4


def test_every_word_of_a_title_and_a_legend_is_in_the_picture(sweep):
    for beta in (1.0, 4.0):
        write(sweep / f"wide{beta}", -1.0, beta=beta, choices={"model": "a_model_of_a_name_that_is_long", "prior": "p"})
    found = replace(drawn(sweep, x="beta", by=["model", "prior", "optimizer.lr", "latent_dim"]), title=LONG)
    figure = figure_of(found)
    figure.draw_without_rendering()
    page, (axes,) = figure.bbox, figure.axes
    legend, title = figure.legends[0].get_window_extent(), figure._suptitle.get_window_extent()
    for one in (legend, title):
        assert page.x0 <= one.x0 <= one.x1 <= page.x1
        assert page.y0 <= one.y0 <= one.y1 <= page.y1
    assert axes.get_tightbbox().x1 <= legend.x0, "beside the axes"
    assert axes.get_tightbbox().y1 <= title.y0, "above the axes"
    assert figure.get_suptitle().split() == LONG.split()


# ---- learning curves -------------------------------------------------------------------------------------------------


def logged(run: Path, values: dict[int, float], tag: str = "val/elbo", purge_step: int | None = None) -> None:
    with SummaryWriter(str(run), purge_step=purge_step, filename_suffix=f".{purge_step}") as writer:
        for step, value in values.items():
            writer.add_scalar(tag, value, step)


def test_learning_curves_have_each_step_of_a_continued_run_once(sweep, command, tmp_path):
    first, second = sweep / "beta1_seed0", sweep / "beta4_seed0"
    logged(first, {10: -9.0, 20: -8.0, 30: -7.0})
    logged(first, {20: -6.0, 40: -5.0}, purge_step=20)  # continued from step 19: what came later is void
    logged(second, {10: -500.0, 400: -4.0, 1000: -3.0})
    tag, found = curves(records(sweep), None, ["seed"], None, "title")
    assert (tag, found.y, found.legend) == ("val/elbo", "val/elbo (nats)", "beta")
    shown = {curve.label: (curve.steps, curve.values) for curve in found.curves}
    assert shown == {"1": ([10, 20, 40], [-9.0, -6.0, -5.0]), "4": ([10, 400, 1000], [-500.0, -4.0, -3.0])}
    figure = figure_of_curves(found)
    drawn_lines = [line.get_xydata().tolist() for line in figure.axes[0].lines]
    assert drawn_lines == [[[10, -9], [20, -6], [40, -5]], [[10, -500], [400, -4], [1000, -3]]]
    assert figure.axes[0].get_ylim()[0] > -10, "the beginning sets no scale"
    picture = tmp_path / "curves.png"
    status, out, err = command(sweep, f"plot={picture}", "x=step")
    assert (status, out, err) == (0, f"{picture}: val/elbo against step, 2 runs; 2 have none\n", "")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_curve_that_nobody_logged_is_refused_by_what_there_is(sweep, command, tmp_path):
    picture = tmp_path / "a.png"
    assert (
        "error: plot= x=step: none of these runs has logged it; they have nothing yet"
        in command(sweep, f"plot={picture}", "x=step")[2]
    )
    logged(sweep / "beta1_seed0", {1: 1.0}, "train/kl")
    status, _, err = command(sweep, f"plot={picture}", "x=step", "y=val/kl")
    assert (status, err) == (1, "error: y=val/kl: none of these runs has logged it; they have train/kl\n")
    assert command(sweep, f"plot={picture}", "x=step", "y=train/kl")[0] == 0


# ---- a real sweep ---------------------------------------------------------------------------------------------------


def test_a_real_sweep(small_npz, tmp_path, rows):
    words = [*small_overrides(small_npz), "trainer.max_epochs=1", "logging.pictures_every_n_epochs=0"]
    done = vae_train("-m", "hydra/launcher=basic", "seed=0,1", *words, cwd=tmp_path)
    assert done.status == 0, done.stderr
    found = rows(tmp_path / "outputs", "sort=seed")
    (summary,) = (tmp_path / "outputs" / "sweeps").glob("*/jobs.csv")
    theirs = list(csv.DictReader(io.StringIO(summary.read_text())))
    assert [key for key in found[0] if "/" not in key] == ["run", "status", "model", "dataset", "seed"]
    mine = {Path(row["run"]).name: (row["status"], row["test/elbo"]) for row in found}
    assert mine == {row["job"]: (row["state"], row["test/elbo"]) for row in theirs}
    (over,) = rows(tmp_path / "outputs", "over=seed", "metrics=test/elbo")
    (means_of,) = csv.DictReader(io.StringIO(summary.with_name("summary.csv").read_text()))
    assert over["n"] == "2"
    assert {key: over[key] for key in ("test/elbo", "test/elbo sd")}.items() <= means_of.items()
