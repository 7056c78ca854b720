"""One rule for paths wherever they are typed, and commands that are printed name what they mean."""

import json
import shlex
import sys
from importlib import import_module

import pytest
from conftest import trained
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from vae_cli import load_run
from vae_cli.cli.choices import parsed
from vae_cli.cli.typed_paths import PATHS, as_hydra_reads_them, shell_word

NAMES = [
    "plain",
    "with space",
    "quote's",
    'two"',
    "a=b",
    "comma,brace{}[]",
    "back\\slash",
    "Größe",
    "数",
    "5",
    "true",
    "a\\'",
]


def read(word, *flags):
    (override,) = parsed([as_hydra_reads_them([*flags, word], {})[-1]])
    return override.value()


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_taken_as_it_is_typed(key, name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/of")
    assert read(f"{key}={name}") == name
    assert read(f"{key}=~/{name}") == f"/home/of/{name}"


@given(st.text(st.characters(min_codepoint=32, exclude_characters="/\x7f", exclude_categories=["C"]), min_size=1))
def test_what_is_printed_can_be_pasted(name):
    (word,) = shlex.split(shell_word("run", f"outputs/{name}"))
    assert read(word) == f"outputs/{name}"
    (word,) = shlex.split(shell_word("run", name))
    assert read(word) == name


def test_quotes_for_hydra_go_on_working():
    assert read("run='a b'") == "a b"
    assert read("run=null") is None
    assert read("name=Größe") == "Größe"
    assert as_hydra_reads_them(["-m", "dataset.path=a=b.npz,c.npz"], {}) == ["-m", "dataset.path='a=b.npz',c.npz"]
    assert as_hydra_reads_them(["beta=4", "a b"], {}) == ["beta=4", "a b"]


def test_a_folder_of_configs_may_begin_with_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of")
    assert as_hydra_reads_them(["--config-dir=~/c"], {}) == ["--config-dir=/home/of/c"]
    assert as_hydra_reads_them(["--config-dir", "~/c"], {}) == ["--config-dir", "/home/of/c"]


@pytest.fixture
def run(tmp_path, small):
    trained([*small, "trainer.max_steps=2", "logging.pictures_every_n_epochs=0"], tmp_path / "a run")
    return tmp_path / "a run"


def of(name, monkeypatch, *words):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", [f"vae-{name}", *words])
    with pytest.raises(SystemExit) as ended:
        import_module(f"vae_cli.cli.{name}").main()
    return ended.value.code or 0


def test_a_run_that_cannot_be_written_into(run, tmp_path, monkeypatch, capsys):
    """HOME is the parent of the run."""

    def refuse(lock, *_, **__):
        raise PermissionError(13, "Permission denied", lock.lock_file)

    before = sorted(run.rglob("*"))
    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert of("sample", monkeypatch, "run=~/a run", "out=~/pictures") == 0
    assert of("encode", monkeypatch, "run=~/a run", "out=~/codes.npz") == 0
    assert (tmp_path / "pictures" / "samples.npz").exists()
    assert (tmp_path / "codes.npz").exists()
    capsys.readouterr()
    assert of("eval", monkeypatch, "run=~/a run", "metrics=[latents]") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: {run} cannot be written into (Permission denied): copy the folder, and name the copy"
    assert sorted(run.rglob("*")) == before
    assert load_run("~/a run").directory.path == run


def test_names_may_have_letters_of_any_script(tmp_path, small, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*small, "trainer.max_steps=1", "logging.pictures_every_n_epochs=0", "hydra.run.dir=~/o/a=b, c"]
    assert of("train", monkeypatch, *words, "name=Größe") == 0
    assert json.loads((tmp_path / "o/a=b, c/status.json").read_text())["state"] == "finished"
