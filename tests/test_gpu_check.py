"""benchmarks/gpu_check.sh without a GPU: every preset is in it, a check runs, and none takes others along."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from parts import choices

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from gpu_check.parts import PARTS, Place
from gpu_check.training import preset


@pytest.mark.parametrize("part", ["waiting", "presets", "agreement", "bf16"])
def test_every_preset_is_in_it(part):
    assert {*choices("model")} <= {*PARTS[part].checks()}


def test_a_preset_trains_three_steps_and_is_evaluated(tmp_path):
    found = preset("vae", "32-true", [], Place("cpu", tmp_path)).figures
    assert found["test"]["test/elbo"] < 0
    for group in ("likelihood", "latents"):
        assert group in found["evaluation"]


DEADLY = r"""
import os
from gpu_check.parts import Passed, Skipped

def checks():
    return {"fine": fine, "wrong": wrong, "deadly": deadly, "absent": absent, "fine too": fine}

def fine(place):
    return Passed("as it should be", {"device": place.device})

def wrong(place):
    raise AssertionError("a | figure\nis wrong")

def deadly(place):
    os.write(2, b"as it says\n")
    os._exit(134)

def absent(place):
    raise Skipped("there is none")
"""


def test_a_check_that_fails_or_ends_its_process_costs_itself_alone(tmp_path):
    folder = tmp_path / "gpu_check"
    shutil.copytree(BENCHMARKS / "gpu_check", folder)
    (folder / "deaths.py").write_text(DEADLY)
    (folder / "machine.py").write_text(
        "from gpu_check.parts import Passed\ndef machine():\n    return {'machine': lambda place: Passed('a toy')}\n"
    )
    with (folder / "parts.py").open("a") as file:
        file.write('\nPARTS = {"machine": PARTS["machine"], "deaths": Part("deaths", "checks", 1)}\n')
    command = [sys.executable, "-m", "gpu_check", "--device", "cpu", "--out", "out"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert done.returncode == 1, done.stderr
    results = json.loads((tmp_path / "out" / "gpu_check.json").read_text())["results"]
    states = {one["name"]: (one["state"], one["words"]) for one in results}
    assert states == {
        "machine": ("passed", "a toy"),
        "fine": ("passed", "as it should be"),
        "wrong": ("failed", "AssertionError: a | figure is wrong"),
        "deadly": ("failed", "its process ended with status 134: as it says"),
        "absent": ("skipped", "there is none"),
        "fine too": ("passed", "as it should be"),
    }
    table = (tmp_path / "out" / "gpu_check.md").read_text()
    assert "| deaths | 2 passed, 2 failed, 1 skipped |" in table
    assert "| deaths: wrong | failed | AssertionError: a / figure is wrong |" in table


def test_what_the_time_does_not_allow_is_skipped_by_name(tmp_path):
    command = [sys.executable, "-m", "gpu_check", "--device", "cpu", "--minutes", "0", "--out", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(BENCHMARKS)}, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    states = [one["state"] for one in json.loads((tmp_path / "gpu_check.json").read_text())["results"]]
    assert {*states} == {"skipped"}
