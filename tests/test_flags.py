"""Flags that every command has: --version, -q, -v; and `python -m vae_cli`."""

import runpy
import sys
from importlib import import_module

import pytest

from vae_cli import __version__, telling
from vae_cli.cli.entry import COMMANDS

FAST = ["trainer.max_steps=2", "logging.pictures_every_n_epochs=0", "hydra.run.dir=run"]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Status, standard output and standard error."""

    def run(name, *words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", [f"/bin/vae-{name}", *words])
        with pytest.raises(SystemExit) as ended:
            import_module(f"vae_cli.cli.{name}").main()
        return ended.value.code, *capsys.readouterr()

    yield run
    telling.set_loudness(quiet=False, verbose=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_version_is_ours(command, name):
    assert command(name, "--version") == (0, f"vae-{name} {__version__}\n", "")


def test_quiet_and_verbose(command, small, tmp_path):
    words = [*small, *FAST, "model=annealed_vae"]  # its capacity outlasts two steps, which is a warning
    status, figures, said = command("train", "-q", *words)
    assert (status, said) == (0, "")
    assert figures.startswith("test ELBO")
    status, again, said = command("train", *words, "hydra.run.dir=usual")
    assert "warning: " in said
    status, again, said = command("train", "--verbose", *words, "hydra.run.dir=loud")
    assert again.splitlines()[:3] == figures.splitlines()[:3]
    log = (tmp_path / "loud" / "train.log").read_text().splitlines()
    told = [line.partition(" ")[2].partition(" ")[2] for line in log if "warning: " not in line]
    assert told
    assert all(line in said.splitlines() for line in told)
    assert said.count("warning: ") == 1
    status, _, said = command("eval", "-q", "run=nowhere")
    assert (status, said) == (1, "error: run=nowhere: there is no such folder\n")


def test_the_package_is_a_command(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["-m", "train", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("vae_cli", run_name="__main__")
    assert (ended.value.code, capsys.readouterr().out) == (0, f"vae-train {__version__}\n")
    monkeypatch.setattr(sys, "argv", ["-m", "trian"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("vae_cli", run_name="__main__")
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: 'trian' is no command: python -m vae_cli {train,encode,")


def test_what_does_not_fit_a_model_is_skipped_and_the_rest_is_made(command, small, tmp_path):
    assert command("train", "-q", *small, *FAST)[0] == 0
    status, said, _ = command("sample", "run=run", "what=[class_grid,samples,manifold]", "n=4")
    assert status == 0
    skipped = [line for line in said.splitlines() if "skipped" in line]
    assert [line.partition(":")[0] for line in skipped] == ["class_grid", "manifold"]
    assert {path.stem for path in (tmp_path / "run/samples").iterdir()} == {"samples"}
    status, said, err = command("sample", "run=run", "what=[class_grid,manifold]")
    assert status == 1
    assert said.count("skipped: ") == 2
    assert err == "error: what=class_grid,manifold: nothing of it fits this model or its data\n"
    status, said, err = command("sample", "run=run", "what=manifold")
    assert (status, said, len(err.splitlines())) == (1, "", 1)
