"""Training ends where validation no longer gets better."""

import math
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vae_cli.experiment import MONITOR, Experiment
from vae_cli.schedules import FINAL_STEP


class Patience(Callback):
    """Counts validations since the best loss; as many as `patience` end training (None: none do).

    Those before every schedule has come to its end (warm-up) do not count, as in the code of Tomczak & Welling (2018).
    Stands before `Checkpoints` in the list of callbacks: a checkpoint then holds the count after its validation.
    """

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self.best, self.waited = math.inf, 0
        self.first: float | None = None  # losses; None before the first validation
        self.last: float | None = None
        self._validated: float | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the score; it counts when the epoch has ended."""
        assert isinstance(pl_module, Experiment)
        self._validated = pl_module.figures.get(MONITOR)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count, and end training where it is time to."""
        assert isinstance(pl_module, Experiment)
        if self._validated is None:
            return
        self.first, self.last = self._validated if self.first is None else self.first, self._validated
        if self._validated < self.best:
            self.best, self.waited = self._validated, 0
        elif _is_settled(pl_module, trainer.global_step):
            self.waited += 1
        self._validated = None
        trainer.should_stop = trainer.should_stop or (self._patience is not None and self.waited >= self._patience)

    def state_dict(self) -> dict[str, Any]:
        """All of them."""
        return {"best": self.best, "waited": self.waited, "first": self.first, "last": self.last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best, self.waited = state_dict["best"], state_dict["waited"]
        self.first, self.last = state_dict["first"], state_dict["last"]


def waited_in(checkpoint: dict[str, Any]) -> int:
    """The count in a checkpoint."""
    return checkpoint["callbacks"][Patience.__qualname__]["waited"]


def _is_settled(experiment: Experiment, step: int) -> bool:
    """Whether every schedule has come to the value that it ends with."""
    return experiment.schedule_values(step) == experiment.schedule_values(FINAL_STEP)
