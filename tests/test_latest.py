"""`latest` stands for the newest run; completion by Tab knows paths and leaves the shell as it was."""

import json
import os
import shutil
import subprocess

import pytest

from vae_cli.cli.completion import _SCRIPT, suggestions
from vae_cli.cli.latest import latest
from vae_cli.cli.typed_paths import as_hydra_reads_them
from vae_cli.errors import ConfigError


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Runs by name, their state and the hour of their start."""
    monkeypatch.chdir(tmp_path)
    for name, state, hour in [
        ("b/old", "finished", "10"),
        ("sweeps/s/job", "finished", "12"),
        ("a/stopped", "interrupted", "13"),
        ("a/young er", "failed", "14"),
    ]:
        path = tmp_path / "outputs" / name
        path.mkdir(parents=True)
        times = {"started": f"2026-11-29T{hour}:00:00+00:00", "updated": "2026-11-29T20:00:00+00:00"}
        status = {"state": state, "reason": None, "step": 1, **times, "pid": 1}
        (path / "status.json").write_text(json.dumps(status))
    return tmp_path / "outputs"


def test_the_newest_that_can_be_used(outputs, capsys):
    assert latest("run", ("finished",)) == "outputs/sweeps/s/job"
    assert capsys.readouterr().err == "run=latest: outputs/sweeps/s/job\n"
    usable = {"run": ("finished", "failed"), "init": ("finished",)}
    assert as_hydra_reads_them(["run=latest", "init=latest", "out=latest"], usable) == [
        "run=outputs/a/young er",
        "init=outputs/sweeps/s/job",
        "out=latest",
    ]
    shutil.rmtree(outputs)
    with pytest.raises(ConfigError, match="run=latest: below outputs/ there is no run that is finished; name a folder"):
        latest("run", ("finished",))


def test_what_may_follow(outputs):
    assert suggestions("vae-train run=", "train") == ["run=latest", "run=outputs/"]
    assert suggestions("vae-eval metrics=[latents] run=outputs/a", "eval") == ["run=outputs/a/"]
    assert suggestions("vae-train init=outputs/a/st", "train") == ["init=outputs/a/stopped/"]
    assert "model=vampprior" in suggestions("vae-train model=va", "train")
    assert suggestions("vae-train beta=4 optimizer.l", "train") == ["optimizer.lr="]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_shell_keeps_its_own_word_breaks(outputs, tmp_path):
    fake = tmp_path / "vae-fake"
    fake.write_text('#!/bin/sh\necho "$COMP_LINE" > asked\necho run=outputs/a/\necho run=outputs/b/\necho run=x\n')
    fake.chmod(0o755)
    script = f"""before=$COMP_WORDBREAKS
{_SCRIPT}vae-fake
COMP_LINE='vae-fake beta=4 run=outputs/ more' COMP_POINT=28
_vae_completion vae-fake
[[ $before == "$COMP_WORDBREAKS" ]] && printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["outputs/a/", "outputs/b/"]
    assert (tmp_path / "asked").read_text() == "vae-fake beta=4 run=outputs/\n"
