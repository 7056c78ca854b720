"""How far a run is, on standard error: a line that moves on a terminal, a line now and then elsewhere."""

import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TimeRemainingColumn

from vae_cli.consoles import Words
from vae_cli.experiment import Experiment
from vae_cli.telling import warn

_REFRESH_STEPS = 50
_BAR = 12  # columns: all of the line then fits in 80
_EVERY = 30.0  # seconds between two lines


class ProgressBar(Callback):
    """Epoch and step, time left, and the ELBO and KL of the latest validation, or of training before there is one."""

    def __init__(self, console: Console, max_steps: int) -> None:
        self._max_steps = max_steps
        self._progress = Progress(
            Words("{task.description}"),
            BarColumn(bar_width=_BAR),
            TimeRemainingColumn(compact=True),
            Words("left"),
            Words("{task.fields[figures]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show it."""
        total = steps_in(trainer, self._max_steps)
        self._task = self._progress.add_task("training", total=total, completed=trainer.global_step, figures="")
        self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move it, now and then: every refresh reads figures from the device."""
        if trainer.global_step % _REFRESH_STEPS == 0 or trainer.is_last_batch:
            assert isinstance(pl_module, Experiment)
            assert self._task is not None
            self._progress.update(
                self._task, completed=trainer.global_step, description=place_of(trainer), figures=figures_of(pl_module)
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take it away."""
        self._progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take it away."""
        self._progress.stop()


class ProgressLines(Callback):
    """The same where nothing can move, a line every half minute: in a file, a pipe, the log of a cluster.

    Args:
        now: seconds on a clock that only goes forward.
    """

    def __init__(self, max_steps: int, now: Callable[[], float] = time.monotonic) -> None:
        self._max_steps, self._now = max_steps, now
        self._begun, self._first_step, self._told = 0.0, 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._begun = self._told = self._now()
        self._first_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A line, where the last one is long ago."""
        now = self._now()
        if now - self._told < _EVERY:
            return
        assert isinstance(pl_module, Experiment)
        self._told = now
        left = (steps_in(trainer, self._max_steps) - trainer.global_step) * (now - self._begun)
        seconds = left / (trainer.global_step - self._first_step)
        time_left = "" if math.isinf(seconds) else f", {timedelta(seconds=round(seconds))} left"
        warn(f"{place_of(trainer)}{time_left}  {figures_of(pl_module)}")


def steps_in(trainer: Trainer, max_steps: int) -> float:
    """Steps of the whole budget, which limits epochs, steps or both."""
    epochs, steps = trainer.max_epochs, trainer.num_training_batches
    by_epochs = math.inf if epochs in (None, -1) else epochs * steps
    return min(by_epochs, math.inf if max_steps == -1 else max_steps)


def place_of(trainer: Trainer) -> str:
    """Epoch, of how many, and step."""
    of = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
    return f"epoch {trainer.current_epoch + 1}{of} step {trainer.global_step}"


def figures_of(experiment: Experiment) -> str:
    """ELBO and KL in one or two words; for what has neither, the loss."""
    split = "val" if experiment.figures else "train"
    values = experiment.figures or {f"train/{name}": value for name, value in experiment.means_here().items()}
    names = {"elbo": "ELBO", "kl": "KL"} if f"{split}/elbo" in values else {"loss": "loss"}
    shown = [f"{title} {values[f'{split}/{key}']:.5g}" for key, title in names.items() if f"{split}/{key}" in values]
    return f"{split} " + " ".join(shown) if shown else ""
