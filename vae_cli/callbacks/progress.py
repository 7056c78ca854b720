"""One line for the whole run: epochs, time left, ELBO = reconstruction - KL."""

import math
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TimeElapsedColumn, TimeRemainingColumn

from vae_cli.consoles import Words
from vae_cli.experiment import Experiment

_REFRESH_STEPS = 50


class ProgressBar(Callback):
    """Shows the latest validation figures, or the training ones before there are any."""

    def __init__(self, console: Console, max_steps: int) -> None:
        self._max_steps = max_steps
        self._progress = Progress(
            Words("{task.description}"),
            BarColumn(),
            Words("{task.fields[figures]}"),
            TimeElapsedColumn(),
            Words("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show it."""
        epochs, steps = trainer.max_epochs, trainer.num_training_batches
        budgets = [epochs * steps if epochs not in (None, -1) else math.inf]
        budgets += [self._max_steps] if self._max_steps != -1 else []
        total = min(budgets)
        self._task = self._progress.add_task("training", total=total, completed=trainer.global_step, figures="")
        self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move it, now and then: every refresh reads figures from the device."""
        if trainer.global_step % _REFRESH_STEPS == 0 or trainer.is_last_batch:
            assert isinstance(pl_module, Experiment)
            assert self._task is not None
            description = f"epoch {trainer.current_epoch + 1} step {trainer.global_step}"
            figures = _figures(pl_module)
            self._progress.update(self._task, completed=trainer.global_step, description=description, figures=figures)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take it away."""
        self._progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take it away."""
        self._progress.stop()


def _figures(experiment: Experiment) -> str:
    split = "val" if experiment.figures else "train"
    values = experiment.figures or {f"train/{name}": value for name, value in experiment.means_here().items()}
    names = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
    shown = [f"{title} {values[f'{split}/{key}']:.2f}" for key, title in names.items() if f"{split}/{key}" in values]
    return f"{split} " + "  ".join(shown) if shown else ""
