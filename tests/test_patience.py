"""Training ends where validation no longer gets better; what was interrupted on the way ends in the same place."""

import pytest
from conftest import resumed, scalars, trained, vae_train

from vae_cli.callbacks import patience as module
from vae_cli.callbacks.checkpoints import load_checkpoint
from vae_cli.runs import RunDirectory

NEVER_BETTER = ["optimizer.lr=0.5", "trainer.max_epochs=40"]  # far too large a step: the first validations are the best


def losses(path):
    return [value for _, value in scalars(path)["val/loss"]]


def waited(values):
    """Validations since the best, after each."""
    return [place - values.index(min(values[: place + 1])) for place in range(len(values))]


def test_it_ends_after_so_many_validations_without_a_better_one(small, tmp_path):
    trained([*small, *NEVER_BETTER, "trainer.patience=3"], tmp_path / "run")
    values = losses(tmp_path / "run")
    assert len(values) < 40
    assert waited(values)[-1] == 3
    assert max(waited(values)[:-1]) < 3
    metrics = RunDirectory(tmp_path / "run").metrics()
    assert (metrics["epochs"], metrics["waited"]) == (len(values), 3)
    assert RunDirectory(tmp_path / "run").status()["state"] == "finished"


def test_validations_before_the_end_of_a_warm_up_do_not_count(small, tmp_path):
    words = [*small, *NEVER_BETTER, "trainer.patience=2", "objective.warmup_steps=60"]  # nine epochs and a last one
    trained(words, tmp_path / "run")
    values = losses(tmp_path / "run")
    counted_from = max(values.index(min(values)), 8)
    assert len(values) - 1 - counted_from == 2
    assert waited(values[:9])[-1] > 2, "without the warm-up it would have ended"


def test_without_patience_the_budget_alone_ends_it(small, tmp_path):
    trained([*small, "optimizer.lr=0.5", "trainer.max_epochs=8"], tmp_path / "run")
    assert len(losses(tmp_path / "run")) == 8


@pytest.mark.parametrize("step", [6, 15, 24])
def test_interrupted_and_resumed_it_ends_where_it_would_have(small, tmp_path, monkeypatch, interrupt_at, step):
    words = [*small, *NEVER_BETTER, "trainer.patience=3"]
    trained(words, tmp_path / "whole")
    interrupt_at(step)
    assert trained(words, tmp_path / "run").state == "interrupted"
    monkeypatch.undo()
    assert resumed(tmp_path / "run").state == "finished"
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert RunDirectory(tmp_path / "run").metrics() == RunDirectory(tmp_path / "whole").metrics()


def test_a_run_that_has_ended_goes_on_with_more_patience_alone(small, tmp_path):
    trained([*small, *NEVER_BETTER, "trainer.patience=2"], tmp_path / "run")
    before = losses(tmp_path / "run")
    resumed(tmp_path / "run")
    assert losses(tmp_path / "run") == before

    def more(config):
        config.trainer.patience = 5

    resumed(tmp_path / "run", more)
    after = losses(tmp_path / "run")
    assert after[: len(before)] == before
    assert waited(after)[-1] == 5
    trained([*small, *NEVER_BETTER, "trainer.patience=5"], tmp_path / "whole")
    assert after == losses(tmp_path / "whole")


def test_the_count_is_in_every_checkpoint(small, tmp_path):
    trained([*small, *NEVER_BETTER, "trainer.patience=3"], tmp_path / "run")
    found = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert module.waited_in(found) == 3


def test_it_must_have_something_to_wait_for(small, tmp_path):
    for words, message in (
        (["trainer.patience=0"], "trainer.patience=0: 1 or more"),
        (["trainer.patience=2", "logging.validate_every_n_epochs=0"], "trainer.patience=2 waits for validations"),
    ):
        done = vae_train(*small, *words, cwd=tmp_path)
        assert (done.status, len(done.stderr.splitlines())) == (1, 1)
        assert message in done.stderr
