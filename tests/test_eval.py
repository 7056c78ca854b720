"""`vae-eval` as it is typed: what it prints, keeps and refuses."""

import json
import re
import shutil

import pytest
from conftest import command, small_overrides, trained, vae_train
from parts import often
from refusals import COMMON, COMPUTING, OWN_DATA, assert_refused, write_other
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vae_cli.runs import RunDirectory


@pytest.fixture(scope="module")
def original(small_npz, tmp_path_factory):
    path = tmp_path_factory.mktemp("eval") / "run"
    trained(small_overrides(small_npz), path)
    return path


@pytest.fixture
def run(original, tmp_path):
    return shutil.copytree(original, tmp_path / "run")


def evaluation(run):
    return json.loads((run / "metrics.json").read_text())["evaluation"]


def test_figures_are_printed_kept_and_shown(run, tmp_path):
    before = json.loads((run / "metrics.json").read_text())
    done = command("eval", "run=run", "metrics=[likelihood]", cwd=tmp_path)
    assert done.status == 0, done.stderr
    first, title, *lines = done.stdout.splitlines()
    assert first == f"test split, 11 examples; weights: {before['weights']}"
    assert title == "likelihood"
    assert done.stderr == ""
    after = json.loads((run / "metrics.json").read_text())
    found = after.pop("evaluation")["likelihood"]
    assert after == before, "what training found stays"
    assert found["protocol"]["examples"] == 11
    figures = {finding["name"]: finding["value"] for finding in found["findings"]}
    for name, value in figures.items():
        assert any(re.match(rf"  {name} +{value:.3f}( |$)", line) for line in lines), (name, value)
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    for name, value in figures.items():
        ((step, shown),) = [(event.step, event.value) for event in events.Scalars(f"eval/likelihood/{name}")]
        assert shown == pytest.approx(value, rel=1e-5, abs=1e-6)
        assert f"(step {step})" in before["weights"]


def test_the_same_command_gives_the_same_numbers_and_takes_their_place(run, tmp_path):
    found = []
    for _ in range(2):
        assert command("eval", "run=run", "metrics=[likelihood]", cwd=tmp_path).status == 0
        found.append(evaluation(run))
    assert found[0] == found[1]
    assert len(list(run.glob("*.eval_likelihood"))) == 1


def test_groups_keep_what_others_found(run, tmp_path):
    for name in ("likelihood", "latents"):
        assert command("eval", "run=run", f"metrics=[{name}]", cwd=tmp_path).status == 0
    assert list(evaluation(run)) == ["likelihood", "latents"]


def test_what_cannot_be_had_is_skipped_in_a_line(small, tmp_path):
    trained([*small, "model=ae"], tmp_path / "run")
    done = command("eval", "run=run", cwd=tmp_path)
    assert done.status == 0, done.stderr
    assert "likelihood: skipped: an autoencoder has no prior" in done.stdout
    assert "clustering" in evaluation(tmp_path / "run")


@pytest.mark.slow
def test_every_finished_run_of_a_sweep(small, tmp_path):
    vae_train("-m", *small, "trainer.max_epochs=1", "seed=0,1", "hydra.sweep.dir=sweep", cwd=tmp_path)
    first, second = sorted(path.parent for path in (tmp_path / "sweep").rglob("metrics.json"))
    (second / "checkpoints" / "best.ckpt").write_bytes(b"damaged")
    done = command("eval", "run=sweep", "metrics=[likelihood]", cwd=tmp_path)
    assert done.status == 1
    assert f"== {first.relative_to(tmp_path)} ==" in done.stdout
    assert "likelihood" in evaluation(first)
    assert "best.ckpt is damaged" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_in_use_is_left_alone(run, tmp_path):
    with RunDirectory(run).locked():
        done = command("eval", "run=run", cwd=tmp_path)
    assert done.status == 1
    assert "is in use by process" in done.stderr


BAD = {
    **COMMON,
    **COMPUTING,
    **OWN_DATA,
    "run=run metrics=[mig]": "metrics=[mig]: choose some of likelihood",
    "run=run metrics=[]": "metrics=[]: choose some of",
    "run=run metrics=[latents] latents=5": "latents=5: this is no single value",
    "run=run metrics=3": "metrics=3: a list is needed",
    "run=run split=all": "split=all: choose one of train, val, test",
    "run=run examples=0": "examples=0: 1 or more",
    "run=run memory=0": "memory=0: megabytes, 1 or more",
    "run=run metrix=[likelihood]": "unknown key 'metrix'; did you mean metrics?",
}


@pytest.mark.parametrize("line", often(BAD, list(BAD)[::2]))
def test_a_bad_command_is_one_line_and_leaves_nothing(run, small_npz, tmp_path, line):
    write_other(small_npz, tmp_path / "other.npz")
    assert_refused(tmp_path, "eval", line, BAD[line])
