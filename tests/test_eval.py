"""`vae-eval` as it is typed: what it prints, keeps and refuses."""

import json
import os
import re
import shutil
import signal
import time

import pytest
from conftest import _SERVER, _main, command, small_overrides, trained, vae_train
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from parts import often
from refusals import COMMON, COMPUTING, OWN_DATA, assert_refused, write_other
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vae_cli.cli.eval import EvalConfig
from vae_cli.evaluation import likelihood
from vae_cli.evaluation.judging import Voice, judge
from vae_cli.progress import foretold, silent
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
        ((step, shown),) = [(event.step, event.value) for event in events.Scalars(f"via_vae-eval/likelihood/{name}")]
        assert shown == pytest.approx(value, rel=1e-5, abs=1e-6)
        assert f"(step {step})" in before["weights"]


def test_the_same_command_gives_the_same_numbers_and_takes_their_place(run, tmp_path):
    found = []
    for _ in range(2):
        assert command("eval", "run=run", "metrics=[likelihood]", "again=true", cwd=tmp_path).status == 0
        found.append(evaluation(run))
    assert found[0] == found[1]
    assert len(list(run.glob("*.eval_likelihood"))) == 1


def test_what_was_found_before_is_told_from_the_file(run, tmp_path):
    first = command("eval", "run=run", "metrics=[likelihood]", cwd=tmp_path)
    content = json.loads((run / "metrics.json").read_text())
    content["evaluation"]["likelihood"]["findings"][0]["value"] = 12345.0
    (run / "metrics.json").write_text(json.dumps(content))
    again = command("eval", "run=run", "metrics=[likelihood]", cwd=tmp_path)
    assert "likelihood (found before; again=true finds it anew)" in again.stdout
    assert "12345.000" in again.stdout
    for changed in ("again=true", "seed=1", "likelihood.ais.steps=5"):
        anew = command("eval", "run=run", "metrics=[likelihood]", changed, cwd=tmp_path)
        assert "12345.000" not in anew.stdout
    assert "found before" not in first.stdout


def test_a_group_that_was_interrupted_goes_on_after_its_last_part(run, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    ConfigStore.instance().store(name="eval_schema", node=EvalConfig)
    with initialize_config_module("vae_cli.conf", version_base="1.3"):
        words = [f"run={run}", "metrics=[likelihood]", "accelerator=cpu", "likelihood.ais.steps=5"]
        config = compose("eval", words)
    whole = likelihood._gaps
    monkeypatch.setattr(likelihood, "_gaps", interrupted)
    said, remarks = [], []
    with pytest.raises(KeyboardInterrupt):
        judge(RunDirectory(run), config, silent, Voice(said.append, remarks.append))
    assert remarks == ["interrupted: what was printed is kept; missing: likelihood. The same command again finds that"]
    assert list(RunDirectory(run).metrics()["begun"]["likelihood"]) == ["bounds", "annealed"]
    monkeypatch.setattr(likelihood, "_gaps", whole)
    monkeypatch.setattr(likelihood, "_anneal", interrupted)  # it is not needed again
    again = []
    judge(RunDirectory(run), config, silent, Voice(again.append, remarks.append))
    assert again[1] == "likelihood (begun before; again=true finds it anew)"
    assert again[2 : len(said)] == said[2:]
    assert "begun" not in RunDirectory(run).metrics()
    kept = evaluation(run)["likelihood"]["findings"]
    monkeypatch.undo()
    config.again = True
    judge(RunDirectory(run), config, silent, Voice(again.append, remarks.append))
    assert evaluation(run)["likelihood"]["findings"] == kept
    assert OmegaConf.to_container(config.likelihood) == evaluation(run)["likelihood"]["settings"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_stopped_in_its_slow_part_it_keeps_what_was_done(run, tmp_path, number):
    words = ("run=run", "metrics=[latents,likelihood]", "likelihood.ais.steps=3000", "likelihood.gaps.steps=5")
    process = _SERVER.Process(target=_main, args=("eval", words, tmp_path, None))
    process.start()
    deadline = time.monotonic() + 120
    while "begun" not in RunDirectory(run).metrics():
        assert process.is_alive(), (tmp_path / "stderr.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.join(30)
    assert process.exitcode == (-number if number == signal.SIGKILL else 128 + number)
    said = "interrupted: what was printed is kept; missing: likelihood. The same command again finds that\n"
    assert (tmp_path / "stderr.txt").read_text() == ("" if number == signal.SIGKILL else said)
    kept = json.loads((run / "metrics.json").read_text())
    assert (list(kept["evaluation"]), list(kept["begun"]["likelihood"])) == (["latents"], ["bounds"])
    kept["begun"]["likelihood"]["bounds"]["findings"][0]["value"] = 12345.0  # is not found anew
    (run / "metrics.json").write_text(json.dumps(kept))
    again = command("eval", *words, cwd=tmp_path)
    assert again.status == 0
    assert "latents (found before; again=true finds it anew)" in again.stdout
    assert "likelihood (begun before; again=true finds it anew)" in again.stdout
    after = json.loads((run / "metrics.json").read_text())
    assert "begun" not in after
    assert after["evaluation"]["likelihood"]["findings"][0]["value"] == 12345.0
    assert "ais" in {finding["name"] for finding in after["evaluation"]["likelihood"]["findings"]}
    assert not [path.name for path in run.iterdir() if path.name.endswith((".part", ".parts"))]


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
    assert "is in use by another process: wait for it" in done.stderr


def test_a_loop_that_will_take_long_is_told_after_a_second(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("vae_cli.progress.time.monotonic", lambda: next(clock))
    told = []
    loop = foretold(silent, told.append)
    assert list(loop(range(600), "long", 600)) == list(range(600))
    assert list(loop(range(5), "short", 5)) == list(range(5))
    assert told == ["long: about 20 min"]


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
