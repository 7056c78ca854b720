"""What a command line is refused for before anything is made, by every command; what two commands write at once."""

import os
import sys
from importlib import import_module

import pytest
from hydra.core.global_hydra import GlobalHydra
from parts import often

from vae_cli import files
from vae_cli.files import replacing

OF_ALL = [
    "@likelihood=-1",
    "--shell-completion",
    "--nowhere",
    "--info=nothing",
    "--config-name=train",
    "--config-path=.",
    "--experimental-rerun=job.pickle",
    "--package=a",
    "--resolve",
    "-m --cfg=job",
    f"seed={'9' * 5000}",
    f"seed=[{'[' * 3000}",
    "hydra=1",
    "hydra.mode=MULTIRUN",
    "hydra.output_subdir=.hydra",
    "hydra.job.chdir=true",
    "hydra.verbose=true",
    "hydra/job_logging=default",
    "hydra.callbacks={a:{_target_:os.abort}}",
    "hydra.hydra_logging={}",
    "+hydra.sweep.subdir=a",
    "seed=${oc.decode:'['}",
    "seed=${nowhere:3}",
    "=3",
]
OF_TRAIN = [
    'posterior=${oc.decode:"3"}',
    "-m beta=range(3,1)",
    "-m beta=range(1,3,0)",
    "-m model=glob(nope*)",
    "-m seed=range(1,1000000000000)",
    "-m beta=interval(0,1)",
    "hydra.run.dir=a/b/c/d/e/f beta=-1",
    "-m seed=0,1 hydra.launcher.n_jobs=abc",
    "-m seed=0,1 hydra.launcher.n_jobs=[1]",
    "-m seed=0,1 hydra.sweeper.threads=x",
    "-m seed=0,1 hydra.sweeper.threads=-1",
    "-m seed=0,1 hydra.sweeper.jobs_per_gpu=0.5",
    "-m seed=0,1 hydra.sweeper.jobs_per_gpu=0",
    "-m seed=shuffle(range(1,1e12))",
    "-m seed=sort(range(1,1000000000000))",
    "-m seed=range(0,1,1e-300)",
]
OF_FINISHED = ["hydra.run.dir=a", "hydra.sweep.dir=a", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
ONE_OF_EACH = [("sample", "hydra.mode=MULTIRUN"), ("encode", "--nowhere"), ("export", "seed=${nowhere:3}")]
LINES = [
    *((name, line) for name in ("train", "eval") for line in OF_ALL),
    *often([(name, line) for name in ("sample", "encode", "export") for line in OF_ALL], ONE_OF_EACH),
    *(("train", line) for line in OF_TRAIN),
    *((name, line) for name in ("eval", "sample", "encode", "export") for line in OF_FINISHED),
    *(("runs", line) for line in ("nowhere", "--nowhere=1", "where=", f"where=beta>{'9' * 5000}", "plot=a", "x=beta")),
]


@pytest.mark.parametrize(("name", "line"), LINES, ids=lambda word: word[:40])
def test_a_refused_command_line_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capfd, name, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"vae-{name}", *line.split()])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as ended:
        import_module(f"vae_cli.cli.{name}").main()
    said = capfd.readouterr().err.splitlines()
    assert (ended.value.code, len(said)) == (1, 1), said
    assert said[0].startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_process_writes_is_refused_and_stays_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_WAIT", 0.1)
    with replacing(tmp_path / "out") as first:
        with pytest.raises(OSError, match="Another process writes it now"), replacing(tmp_path / "out"):
            pass
        first.write(b"whole")
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"whole"
