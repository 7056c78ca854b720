"""A slip in YAML of the user's own is one line with file and line, and costs a sweep the one job that reads it."""

import sys

import pytest
import yaml

from vae_cli.cli import train

SLIPS = {
    "prior/tab": ("components: 3\n\tmean: 2\n", "line 2: a tab; YAML is indented with spaces"),
    "prior/brace": ("a: 1\nx: {a: 1\n", "line 2: a brace that is not closed"),
    "prior/bracket": ("x: [1, 2\ny: 3\n", "line 1: a bracket that is not closed"),
    "prior/bare": ("components: 3\n", "line 1: prior needs a _target_, as in"),
    "prior/listed": ("- 3\n", "line 1: prior needs a _target_, as in"),
    "prior/empty": ("", "line 1: prior needs a _target_, as in"),
    "model/bare": ("beta: 4\n", "line 1: the first line of a preset is '# @package _global_'"),
    "model/chooses": ("defaults:\n  - override /prior: vamp\n", "line 1: the first line of a preset is"),
    "model/typed": ("# @package _global_\ntrainer:\n  max_epochs: abc\n", "line 3: trainer.max_epochs: a whole number"),
    "model/unknown": ("# @package _global_\nbta: 4\n", "line 2: unknown key 'bta'; did you mean beta"),
    "model/lists": (
        "# @package _global_\ndefaults:\n  - prior: vamp\n",
        "line 3: '- override /prior: vamp' is how a preset chooses",
    ),
}


def refused(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["vae-train", *words])
    monkeypatch.setattr("vae_cli.cli.sweeping._launch", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        train.main()
    assert ended.value.code == 1


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's folder."""
    monkeypatch.chdir(tmp_path)
    for name, (text, _) in SLIPS.items():
        path = tmp_path / "own" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "own"


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_one_line_with_file_and_line(own, monkeypatch, capsys, name):
    refused(monkeypatch, "--config-dir", str(own), name.replace("/", "="))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {own / name}.yaml, {SLIPS[name][1]}")
    assert [path.name for path in own.parent.iterdir()] == ["own"], "nothing is made"


def test_a_bad_leaf_costs_a_sweep_its_own_job(own, monkeypatch, capsys):
    refused(monkeypatch, "-m", "--config-dir", str(own), "prior=tab,standard,bare", "hydra.sweep.dir=swept")
    jobs = yaml.safe_load((own.parent / "swept/sweep.yaml").read_text())["jobs"]
    assert [job["swept"]["prior"] for job in jobs.values()] == ["tab", "standard", "bare"]
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 2
    for line, name in zip(told, ("prior/tab", "prior/bare"), strict=True):
        assert f"failed: {own / name}.yaml, {SLIPS[name][1]}" in line
