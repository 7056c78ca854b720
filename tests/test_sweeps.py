"""`vae-train -m`: which job is which, and that whatever happens, the same command again does what is left."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import composed, resumed, trained, vae_train
from filelock import FileLock
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from parts import choices
from test_resume import assert_same_run

from vae_cli.cli import launching
from vae_cli.cli.errors import explain
from vae_cli.cli.sweep_display import named_best
from vae_cli.cli.sweeping import _expanded, _spaces
from vae_cli.errors import ConfigError
from vae_cli.listing.summary import write_summary
from vae_cli.runs import RunDirectory
from vae_cli.sweeps import devices
from vae_cli.sweeps.folder import Job, SweepFolder, state_of
from vae_cli.sweeps.identity import identity, readable
from vae_cli.sweeps.results import results

TWO_STEPS = ["trainer.max_steps=2", "logging.pictures_every_n_epochs=0"]
LONG = ["trainer.max_epochs=60", "logging.checkpoint_every_n_steps=4", "logging.pictures_every_n_epochs=0"]


def runs(sweep: Path) -> dict[str, RunDirectory]:
    """By what sets them apart."""
    return {path.parent.name.rpartition("_")[0]: RunDirectory(path.parent) for path in sweep.glob("*/status.json")}


def only_sweep(folder: Path) -> Path:
    (sweep,) = (folder / "outputs" / "sweeps").iterdir()
    return sweep


def figures(sweep: Path) -> dict[str, dict[str, float]]:
    return {name: run.metrics()["test"] for name, run in runs(sweep).items()}


# ---- identity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "trainer.max_epochs=7",
        "trainer.max_steps=7",
        "trainer.accelerator=auto",
        "trainer.devices=2",
        "logging.every_n_steps=3",
        "logging.importance_samples=5",
        "trust=[torch.optim]",
        "dataset.path=elsewhere.npz",
        "beta=1.00",
        "retry=failed",
    ],
)
def test_place_budget_and_logging_make_no_other_job(small, override):
    assert identity(composed([*small, override]), {}) == identity(composed(small), {})


@pytest.mark.parametrize(
    "override",
    [
        "beta=4",
        "seed=1",
        "latent_dim=4",
        "optimizer.lr=0.01",
        "objective.free_bits=0.1",
        "likelihood=gaussian",
        "trainer.precision=bf16-mixed",
        "trainer.gradient_clip_val=1",
        "dataset.batch_size=11",
        "init=a",
    ],
)
def test_what_changes_a_number_makes_another_job(small, override):
    assert identity(composed([*small, override]), {}) != identity(composed(small), {})


def test_a_value_that_is_swept_makes_another_job_whatever_it_is(small):
    config = composed(small)
    found = {identity(config, swept) for swept in ({}, {"dataset.path": "a"}, {"dataset.path": "b"}, {"seed": "0"})}
    assert len(found) == 3, "that of a key that counts anyway is in the config"


@pytest.mark.parametrize(
    ("swept", "name"),
    [
        ({"beta": "4", "seed": "1"}, "beta4_seed1"),
        ({"model": "beta_vae", "optimizer.lr": "1000000000000.0"}, "beta_vae_lr1e12"),
        ({"beta": "-1"}, "beta-1"),
        ({"dataset.path": "'my data/a,b.npz'"}, "path-my-data-a-b.npz"),
        ({"architecture.channels": "[8,16]"}, "channels-8-16"),
        ({}, "job"),
        ({"model": "x" * 200}, "x" * 80),
    ],
)
def test_names_are_words_for_the_shell_and_for_hydra(swept, name):
    assert readable(swept) == name
    (override,) = OverridesParser.create().parse_overrides([f"run=outputs/{name}_0123abcd"])
    assert override.value() == f"outputs/{name}_0123abcd"


# ---- search spaces --------------------------------------------------------------------------------------------------


def jobs_of(search: str, *typed: str) -> list[list[str]]:
    """The words of every job of `vae-train -m search=<search> <typed>`; the last of them composes."""
    with initialize_config_module("vae_cli.conf", version_base="1.3"):
        master = compose("train", [f"search={search}"], return_hydra_config=True)
        context = SimpleNamespace(config_loader=GlobalHydra.instance().config_loader())
        found = [words for space in _spaces(list(typed), master, context) for words, _ in _expanded(space)]
        compose("train", found[-1])
    return found


SIZES = {"beta_grid": 20, "rate_distortion": 10, "lr_width": 20, "locatello2019": 150}


@pytest.mark.parametrize("search", choices("search"))
def test_a_search_is_so_many_jobs(search):
    found = jobs_of(search)
    assert len(found) == len({tuple(words) for words in found}) == SIZES[search]


def test_what_is_typed_beats_a_search():
    found = [sorted(words) for words in jobs_of("beta_grid", "seed=7", "beta=3,5")]
    assert found == [["beta=3", "model=beta_vae", "seed=7"], ["beta=5", "model=beta_vae", "seed=7"]]


def test_a_grid_of_several_models(capsys):
    found = [word for words in jobs_of("locatello2019", "seed=0") for word in words]
    strengths = [word for word in found if word.startswith(("beta=", "objective"))]
    assert strengths == [
        *(f"beta={value}" for value in (1, 2, 4, 6, 8, 16)),
        *(f"objective.capacity={value}" for value in (5, 10, 25, 50, 75, 100)),
        *(f"objective.lambda_od={value}" for _ in ("dip_vae_i", "dip_vae_ii") for value in (1, 2, 5, 10, 20, 50)),
        *(f"beta={value}" for value in (1, 2, 4, 6, 8, 10)),
    ]
    assert "left out: FactorVAE (gamma 10, 20, 30, 40, 50, 100)" in capsys.readouterr().err
    assert len(jobs_of("locatello2019", "model=annealed_vae")) == 30
    with pytest.raises(
        ConfigError,
        match="model=vae: this search has the models beta_vae, annealed_vae, dip_vae_i, dip_vae_ii, beta_tcvae",
    ):
        jobs_of("locatello2019", "model=vae")


def test_what_a_search_leaves_out_does_not_exist():
    """Whoever adds one of them makes a space of it."""
    with initialize_config_module("vae_cli.conf", version_base="1.3"):
        sweeper = compose("train", ["search=locatello2019"], return_hydra_config=True).hydra.sweeper
    assert not set(sweeper.missing) & set(choices("model"))
    assert set(sweeper.models) <= set(choices("model"))


# ---- the same command again -----------------------------------------------------------------------------------------


def test_the_same_command_again_extended_and_with_a_larger_budget(tmp_path, small):
    command = ["-m", *small, "beta=choice(1)", *TWO_STEPS]
    vae_train(*command, cwd=tmp_path)
    sweep = only_sweep(tmp_path)
    before = (runs(sweep)["beta1"].path / "status.json").read_bytes()
    again = vae_train(*command, cwd=tmp_path)
    assert (again.status, again.stdout.splitlines()[0]) == (0, "jobs                 1 finished")
    extended = vae_train("-m", *small, "beta=1,4", *TWO_STEPS, cwd=tmp_path)
    assert [line.split()[1] for line in extended.stdout.splitlines()[:2]] == ["finished", "2"]
    assert only_sweep(tmp_path) == sweep
    assert runs(sweep).keys() == {"beta1", "beta4"}
    assert (runs(sweep)["beta1"].path / "status.json").read_bytes() == before
    larger = vae_train("-m", f"sweep={sweep}", "trainer.max_steps=8", cwd=tmp_path)
    assert larger.status == 0, larger.stderr
    assert [run.metrics()["steps"] for run in runs(sweep).values()] == [8, 8]
    trained([*small, "beta=4", *TWO_STEPS, "trainer.max_steps=8"], tmp_path / "alone")
    assert figures(sweep)["beta4"] == RunDirectory(tmp_path / "alone").metrics()["test"]


@pytest.mark.slow
def test_a_moved_sweep_goes_on_by_its_folder_alone(tmp_path, small):
    vae_train("-m", *small, "beta=1,4", "seed=0,1", *TWO_STEPS, "name=mine", cwd=tmp_path)
    shutil.rmtree(runs(tmp_path / "outputs/sweeps/mine")["beta4_seed1"].path)
    assert str(tmp_path / "outputs") not in (tmp_path / "outputs/sweeps/mine/sweep.yaml").read_text()
    (tmp_path / "outputs/sweeps/mine").rename(tmp_path / "moved")
    done = vae_train("sweep=moved", cwd=tmp_path)
    assert done.stdout.splitlines()[1] == "jobs                 4 finished"
    assert not list((tmp_path / "outputs" / "sweeps").iterdir())
    more = vae_train("sweep=moved", "beta=8", cwd=tmp_path)
    assert "jobs                 6 finished" in more.stdout
    assert runs(tmp_path / "moved").keys() == {f"beta{beta}_seed{seed}" for beta in (1, 4, 8) for seed in (0, 1)}


@pytest.mark.slow
def test_a_job_is_known_by_what_it_is_not_by_its_place(tmp_path, small):
    vae_train("-m", *small, "seed=3,1,2", *TWO_STEPS, "name=mine", cwd=tmp_path)
    before = runs(tmp_path / "outputs/sweeps/mine")
    done = vae_train("-m", *small, "seed=1", "beta=1,4", *TWO_STEPS, "name=mine", cwd=tmp_path)
    assert [line.split()[:2] for line in done.stdout.splitlines()[:2]] == [
        [next(name for name in os.listdir(tmp_path / "outputs/sweeps/mine") if name.startswith("beta4")), "finished"],
        ["jobs", "2"],
    ]
    assert runs(tmp_path / "outputs/sweeps/mine").keys() == {*before, "beta4"}


@pytest.mark.slow
def test_a_job_that_runs_elsewhere_is_left_alone(tmp_path, small):
    vae_train("-m", *small, "beta=1,4", *TWO_STEPS, "name=mine", cwd=tmp_path)
    run = runs(tmp_path / "outputs/sweeps/mine")["beta1"]
    with FileLock(run.path / ".lock"):
        done = vae_train("sweep=outputs/sweeps/mine", "trainer.max_steps=4", cwd=tmp_path)
    assert "jobs                 1 running, 1 finished" in done.stdout
    assert run.metrics()["steps"] == 2


@pytest.mark.slow
def test_a_job_whose_figures_are_gone_is_tested_again_and_the_others_stand(tmp_path, small):
    command = ["-m", *small, "seed=0,1,2,3", *TWO_STEPS, "name=mine"]
    vae_train(*command, cwd=tmp_path)
    sweep = tmp_path / "outputs/sweeps/mine"
    found, metrics = figures(sweep), {name: run.path / "metrics.json" for name, run in runs(sweep).items()}
    kept = {path: path.read_bytes() for path in (metrics["seed0"], runs(sweep)["seed0"].path / "status.json")}
    trained_once = {path: path.stat().st_mtime_ns for path in sweep.glob("*/checkpoints/*.ckpt")}
    metrics["seed1"].unlink()
    metrics["seed2"].write_text(metrics["seed2"].read_text()[:100])
    metrics["seed3"].write_text('{"test": null}')
    done = vae_train(*command, cwd=tmp_path)
    assert (done.status, done.stderr) == (0, "")
    assert [line.split("_")[0] for line in done.stdout.splitlines()[:4]] == [
        "seed1",
        "seed2",
        "seed3",
        "jobs                 4 finished",
    ]
    assert figures(sweep) == found
    assert kept == {path: path.read_bytes() for path in kept}
    assert trained_once == {path: path.stat().st_mtime_ns for path in sweep.glob("*/checkpoints/*.ckpt")}


def test_what_a_call_left_stops_no_other(tmp_path):
    """A call that ended at once leaves its file for a week, for jobs that wait in the queue of a cluster."""
    folder = SweepFolder(tmp_path)
    folder.stop("earlier", signal.SIGINT)
    folder.stop("long ago", signal.SIGINT)
    os.utime(tmp_path / ".stop-long ago", (0, 0))
    (tmp_path / f".stop-{os.uname().nodename}-{os.getpid()}").touch()  # of versions that named them after the process
    folder.forget_old_stops()
    assert folder.stopped_by("earlier") == signal.SIGINT
    assert folder.stopped_by("long ago") is None
    assert folder.stopped_by("now") is None


@pytest.mark.slow
def test_a_sweep_runs_beside_what_earlier_calls_left(tmp_path, small):
    sweep = tmp_path / "outputs/sweeps/mine"
    sweep.mkdir(parents=True)
    for name in ("earlier", f"{os.uname().nodename}-1"):
        (sweep / f".stop-{name}").write_text("2")
        os.utime(sweep / f".stop-{name}", (0, 0))
    done = vae_train("-m", *small, "seed=0", *TWO_STEPS, "name=mine", cwd=tmp_path)
    assert (done.status, done.stderr) == (0, "")
    assert not list(sweep.glob(".stop-*"))


# ---- failures -------------------------------------------------------------------------------------------------------


def test_every_failure_is_recorded_and_the_others_go_on(tmp_path, small):
    targets = "objective._target_=faults.leaves,faults.breaks,vae_cli.objectives.bounds.ELBO"
    done = vae_train("-m", *small, targets, *TWO_STEPS, "name=faults", cwd=tmp_path)
    assert done.status == 1
    found = runs(tmp_path / "outputs/sweeps/faults")
    states = {name.rpartition(".")[2]: (run.status()["state"], run.status()["reason"]) for name, run in found.items()}
    assert states == {
        "leaves": ("failed", "SystemExit: 3"),
        "breaks": ("failed", "RuntimeError: it broke: within"),
        "ELBO": ("finished", None),
    }
    (fault,) = (run for name, run in found.items() if name.endswith("breaks"))
    assert "Traceback" in (fault.path / "output.txt").read_text()


@pytest.mark.slow
def test_failures_are_told_with_the_command_that_runs_them_again(tmp_path, small, small_npz):
    words = [word for word in small if not word.startswith("dataset.path")]
    command = ["-m", *words, "dataset.path=late.npz", "seed=0,-1", *TWO_STEPS, "name=late"]
    first = vae_train(*command, cwd=tmp_path)
    assert first.status == 1
    lines = first.stderr.splitlines()
    assert re.fullmatch(
        r"error: seed0_\w{8} failed: .*late.npz: there is no such file.*; again: vae-train dataset=arrays .* seed=0 .*",
        lines[0],
    )
    assert re.fullmatch(
        r"error: seed-1_\w{8} failed: seed=-1: .*; again: vae-train dataset=arrays .* seed=-1 .*", lines[1]
    )
    assert lines[2] == "all that failed again: vae-train -m sweep=outputs/sweeps/late retry=failed"
    shutil.copy(small_npz, tmp_path / "late.npz")
    skipped = vae_train(*command, cwd=tmp_path)
    assert (skipped.status, skipped.stderr) == (1, first.stderr)
    again = vae_train(*lines[2].split()[5:], cwd=tmp_path)
    assert (again.status, again.stderr) == (1, "\n".join([lines[1], lines[2], ""]))
    assert runs(tmp_path / "outputs/sweeps/late")["seed0"].status()["state"] == "finished"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-m bta=1,4", "unknown key 'bta'"),
        ("-m seed=-1,-2", "seed=-1: 0 or more"),
        ("sweep=nowhere", "sweep=nowhere: there is no sweep.yaml"),
        ("retry=failed", "retry=failed is for sweeps"),
        ("-m retry=all beta=1,2", "retry=all: failed is what can be retried"),
        ("-m beta=1,2 hydra.launcher.n_jobs=0", "hydra.launcher.n_jobs=0: 1 or more"),
        ("-m search=beta_gird", "unknown search 'beta_gird'; did you mean beta_grid?"),
    ],
)
def test_a_bad_command_is_one_line_and_leaves_nothing(tmp_path, line, message):
    done = vae_train(*line.split(), cwd=tmp_path)
    assert done.status == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert message in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"stdout.txt", "stderr.txt"}


def test_a_damaged_definition_is_named(tmp_path):
    (tmp_path / "sweep.yaml").write_text("jobs: 3")
    with pytest.raises(ConfigError, match=r"sweep\.yaml is damaged"):
        SweepFolder(tmp_path).jobs()


# ---- the summary ----------------------------------------------------------------------------------------------------


def test_the_summary_against_a_hand_computation(tmp_path):
    sweep, elbos = (
        SweepFolder(tmp_path / "mine"),
        {("1", "0"): -4.0, ("1", "1"): -2.0, ("1", "2"): -6.0, ("4", "0"): -9.5},
    )
    jobs = [Job(f"beta{beta}_seed{seed}_0", [], {"beta": beta, "seed": seed}) for beta, seed in elbos]
    refused = Job("beta-1_seed0_0", [], {"beta": "-1", "seed": "0"})
    sweep.ask_for([*jobs, refused], "vae-train -m")
    for job in [*jobs, refused]:
        sweep.run(job).path.mkdir()
    for job, elbo in zip(jobs, elbos.values(), strict=True):
        sweep.run(job).write_metrics(
            {"steps": 6, "epochs": 2, "waited": 0, "test": {"test/elbo": elbo, "test/kl": 1.0}}
        )
        sweep.run(job).write_status("finished", 6)
    sweep.run(refused).write_status("failed", 0, "beta=-1: a | weight\nis not negative")
    write_summary(sweep)
    assert (sweep.path / "summary.csv").read_text().splitlines() == [
        "beta,n,test/elbo,test/elbo sd,test/kl,test/kl sd",
        "1,3,-4.0,2.0,1.0,0.0",
        "4,1,-9.5,,1.0,",
        "-1,0,,,,",
    ]
    assert list(csv.reader((sweep.path / "jobs.csv").read_text().splitlines(keepends=True))) == [
        ["job", "state", "beta", "seed", "epochs", "steps", "test/elbo", "test/kl", "reason"],
        ["beta1_seed0_0", "finished", "1", "0", "2", "6", "-4.0", "1.0", ""],
        ["beta1_seed1_0", "finished", "1", "1", "2", "6", "-2.0", "1.0", ""],
        ["beta1_seed2_0", "finished", "1", "2", "2", "6", "-6.0", "1.0", ""],
        ["beta4_seed0_0", "finished", "4", "0", "2", "6", "-9.5", "1.0", ""],
        ["beta-1_seed0_0", "failed", "-1", "0", "", "0", "", "", "beta=-1: a | weight\\nis not negative"],
    ]
    told = (sweep.path / "summary.md").read_text()
    assert "5 jobs: 4 finished, 1 failed." in told
    assert "| 1 | 3 | -4.000 ± 2.000 | 1.000 ± 0.000 |" in told
    assert "beta=-1: a \\| weight is not negative |" in told
    assert named_best(results(sweep, sweep.jobs())) == "test/elbo -2.000 (beta1_seed1_0)"


# ---- killed ---------------------------------------------------------------------------------------------------------


def start(*arguments: str, cwd: Path) -> subprocess.Popen:
    """In a session of its own, as a terminal has it."""
    code = """
import sys
from vae_cli.cli.train import main
try:
    main()
finally:
    print("heavy:", [name for name in ("torch", "pytorch_lightning", "numpy") if name in sys.modules])
"""
    with (cwd / "out.txt").open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments], cwd=cwd, stdout=out, stderr=out, start_new_session=True
        )


def wait_for(condition, message: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


def wait_for_training(sweep: Path, jobs: int) -> None:
    wait_for(lambda: len(list(sweep.glob("*/checkpoints/last.ckpt"))) >= jobs, "training did not begin")


@pytest.mark.slow
def test_a_sweep_is_interrupted_killed_and_goes_on(tmp_path, small):
    """SIGINT stops it cleanly, SIGKILL does not end a job inside a step; the numbers are those of jobs alone."""
    command = ["-m", *small, "beta=1,4", *LONG, "name=mine", "hydra.launcher.n_jobs=2"]
    sweep = tmp_path / "outputs/sweeps/mine"
    for number in (signal.SIGINT, signal.SIGKILL):
        process = start(*command, cwd=tmp_path)
        before = {run.path: run.status().get("step", 0) for run in runs(sweep).values()}
        wait_for_training(sweep, 2)
        wait_for(lambda before=before: all(state_of(run) == "running" for run in runs(sweep).values()), "no job began")
        time.sleep(0.3)
        process.send_signal(number)
        assert process.wait(60) == (130 if number == signal.SIGINT else -9)
        wait_for(lambda: {state_of(run) for run in runs(sweep).values()} == {"interrupted"}, "jobs did not stop")
        assert all(run.status()["step"] >= before.get(run.path, 0) for run in runs(sweep).values())
        if number == signal.SIGINT:
            output = (tmp_path / "out.txt").read_text()
            assert "to go on: vae-train -m sweep=outputs/sweeps/mine" in output
            assert "heavy: []" in output, "the sweep itself needs no torch"
            assert not list(sweep.glob(".stop-*"))
    assert vae_train(*command, cwd=tmp_path).status == 0
    for beta in (1, 4):
        trained([*small, *LONG, f"beta={beta}"], tmp_path / f"alone{beta}")
        assert_same_run(tmp_path / f"alone{beta}", runs(sweep)[f"beta{beta}"].path)


@pytest.mark.slow
def test_a_job_that_is_killed_takes_no_other_with_it(tmp_path, small):
    command = ["-m", *small, "beta=1,4", *LONG, "name=mine"]
    sweep = tmp_path / "outputs/sweeps/mine"
    process = start(*command, cwd=tmp_path)
    wait_for_training(sweep, 1)
    os.kill(runs(sweep)["beta1"].status()["pid"], signal.SIGKILL)
    assert process.wait(60) == 1
    assert {name: state_of(run) for name, run in runs(sweep).items()} == {"beta1": "killed", "beta4": "finished"}
    output = (tmp_path / "out.txt").read_text()
    assert re.search(
        r"error: beta1_\w{8} killed: the process ended without a word .*; again: vae-train run=outputs", output
    )
    assert vae_train("sweep=outputs/sweeps/mine", cwd=tmp_path).status == 0
    trained([*small, *LONG, "beta=1"], tmp_path / "alone")
    assert_same_run(tmp_path / "alone", runs(sweep)["beta1"].path)


# ---- where jobs run -------------------------------------------------------------------------------------------------

LAUNCHERS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", ["hydra.launcher.n_jobs=2"]),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", ["hydra.launcher.timeout_min=5"]),
    "ray": ("ray", []),
}


FOUR = ["beta=1,4", "seed=0,1", *TWO_STEPS]


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "settings"), [("basic", []), ("local", ["hydra.launcher.n_jobs=2"])])
def test_the_same_numbers_wherever_jobs_run(tmp_path, small, launcher, settings):
    vae_train("-m", *small, *FOUR, "name=reference", cwd=tmp_path)
    done = vae_train("-m", *small, *FOUR, "name=other", f"hydra/launcher={launcher}", *settings, cwd=tmp_path)
    assert done.status == 0, done.stderr
    assert figures(tmp_path / "outputs/sweeps/reference") == figures(tmp_path / "outputs/sweeps/other")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_same_numbers_under_other_engines(tmp_path, small, launcher):
    module, settings = LAUNCHERS[launcher]
    pytest.importorskip(module)
    vae_train("-m", *small, *FOUR, "name=reference", cwd=tmp_path)
    process = start("-m", *small, *FOUR, "name=other", f"hydra/launcher={launcher}", *settings, cwd=tmp_path)
    assert process.wait(240) == 0, (tmp_path / "out.txt").read_text()
    assert figures(tmp_path / "outputs/sweeps/reference") == figures(tmp_path / "outputs/sweeps/other")


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "submitit_slurm"])
def test_a_launcher_that_is_not_installed_is_named(launcher):
    hydras = HydraException(
        f"Could not find 'hydra/launcher/{launcher}'\n\nAvailable options in 'hydra/launcher':\n\tbasic"
    )
    package = "hydra-joblib-launcher" if launcher == "joblib" else "hydra-submitit-launcher"
    assert explain(hydras, "train") == f"hydra/launcher={launcher} is not installed: pip install {package}"


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_ray_that_is_not_installed_is_named_and_leaves_nothing(tmp_path):
    done = vae_train("-m", "beta=1,4", "hydra/launcher=ray", cwd=tmp_path)
    assert done.status == 1
    assert done.stderr == "error: hydra/launcher=ray is not installed: pip install 'ray>=2.60,<3'\n"
    assert not (tmp_path / "outputs").exists()


def test_a_job_takes_the_emptiest_device(tmp_path):
    taken = [devices.claim(["0", "1"], 2, tmp_path) for _ in range(5)]
    assert [found and found[0] for found in taken] == ["0", "1", "0", "1", None]
    assert taken[1] is not None
    taken[1][1].release()
    again = devices.claim(["0", "1"], 2, tmp_path)
    assert again is not None
    assert again[0] == "1"
    assert devices.claim(["0", "1"], 2, tmp_path) is None


def test_a_process_keeps_its_device_and_waits_where_none_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_held", [])
    monkeypatch.setattr(devices, "_folder", lambda: tmp_path)
    monkeypatch.setattr(devices, "_WAIT", 0.01)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    busy = [devices.claim(["2", "3"], 1, tmp_path) for _ in range(2)]

    def one_ends(seconds):
        assert busy[1] is not None
        busy[1][1].release()

    monkeypatch.setattr(devices.time, "sleep", one_ends)
    assert devices.visible_devices() == ["2", "3"]
    devices.take_device(["2", "3"], 1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    devices.take_device(["2", "3"], 1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_as_many_at_once_as_there_is_room_for(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert [launching.jobs_at_once(None, 2), launching.jobs_at_once(4, 2)] == [6, 4]
    for none in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert launching.jobs_at_once(None, 2) == 1


def test_a_job_that_never_began_gives_way_to_one_of_the_same_words(tmp_path):
    sweep = SweepFolder(tmp_path)
    sweep.ask_for([Job("a_1", ["beta=1"]), Job("b_1", ["beta=2"])], "first")
    (tmp_path / "b_1").mkdir()
    (tmp_path / "b_1" / "config.yaml").touch()
    sweep.ask_for([Job("a_2", ["beta=1"]), Job("b_2", ["beta=2"])], "second")
    assert [job.name for job in sweep.jobs()] == ["b_1", "a_2", "b_2"]
    assert yaml.safe_load((tmp_path / "sweep.yaml").read_text())["commands"] == [
        "first",
        "second",
    ]


@pytest.mark.slow
def test_the_threads_of_a_job_are_recorded_and_it_gives_the_numbers_that_it_gives_alone(tmp_path, small):
    vae_train("-m", *small, "beta=1,4", *TWO_STEPS, "name=mine", "hydra.sweeper.threads=1", cwd=tmp_path)
    run = runs(tmp_path / "outputs/sweeps/mine")["beta4"]
    assert "threads: 1" in (run.path / "train.log").read_text()
    assert resumed(run.path).state == "finished"
