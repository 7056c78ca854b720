"""A clean end when somebody asks for one: between two steps, two batches of an evaluation, two parts of one batch."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vae_cli.data.loader import Loader
from vae_cli.experiment import Experiment

_GRACE = 10.0  # seconds that a validation has to end by itself: only then are the last steps of the epoch saved


class Interrupted(Exception):  # noqa: N818 (not an error: somebody asked)
    """The run stopped where it can go on."""


class Interruption:
    """Whether SIGINT or SIGTERM came; a second SIGINT ends the process at once."""

    def __init__(self, at_once: Callable[[], None]) -> None:
        self.signal: signal.Signals | None = None
        self._came = 0.0
        self._at_once = at_once

    @contextmanager
    def handlers(self) -> Iterator[None]:
        """Listen while inside."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Take the two signals (again: Lightning puts its own handler for SIGTERM before ours when it starts)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def asked(self, trainer: Trainer, grace: float = 0.0) -> bool:
        """Whether any process was asked to stop, so many seconds ago: all of them must call this at the same places."""
        due = self.signal is not None and time.monotonic() - self._came >= grace
        return trainer.strategy.reduce_boolean_decision(due, all=False)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is signal.SIGINT and number == signal.SIGINT:
            self._at_once()
            os._exit(128 + number)
        if self.signal is None:
            self._came = time.monotonic()
        self.signal = signal.Signals(number)


class Pauses(Callback):
    """Raises `Interrupted` before a batch of validation or test, or within one, where that was asked for.

    Several processes stop before a batch alone, all before the same one. One of them may have a batch more than others,
    before which none asks.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """A process that is alone also stops within a batch."""
        assert isinstance(pl_module, Experiment)
        if trainer.world_size == 1:
            pl_module.pause = lambda: self._pause(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning has a handler of its own for SIGTERM, which would end the process."""
        self._interruption.listen()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Likewise."""
        self._interruption.listen()

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Between two batches."""
        self._pause_before(trainer, trainer.val_dataloaders, batch_idx)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Between two batches."""
        self._pause_before(trainer, trainer.test_dataloaders, batch_idx)

    def _pause_before(self, trainer: Trainer, loader: Any, number: int) -> None:
        assert isinstance(loader, Loader)
        if number < loader.batches_of_every_process:
            self._pause(trainer)

    def _pause(self, trainer: Trainer) -> None:
        if self._interruption.asked(trainer, 0.0 if trainer.testing else _GRACE):
            raise Interrupted
