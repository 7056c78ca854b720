"""Inside a training step the host waits for the device nowhere: batch, loss, gradients, optimiser, callbacks."""

from functools import partial
from unittest.mock import patch

import torch

from gpu_check.commands import trained
from gpu_check.parts import Check, Passed, Place, presets
from vae_cli.loop import StepLoop

_STEPS, _FIRST = 8, 3  # the first ones make workspaces, and the last one saves


def waiting() -> dict[str, Check]:
    """Every preset."""
    return {name: partial(_without_waiting, name) for name in presets()}


def _without_waiting(name: str, place: Place) -> Passed:
    """The watch that torch keeps over synchronising calls, as an error, around whole steps that log nothing."""
    advance, watched = StepLoop.advance, 0

    def watching(loop: StepLoop, data_fetcher: object) -> None:
        nonlocal watched
        step = loop.trainer.global_step
        inside = _FIRST <= step < _STEPS - 1
        torch.cuda.set_sync_debug_mode("error" if inside else "default")
        try:
            advance(loop, data_fetcher)  # pyright: ignore[reportArgumentType]
        finally:
            torch.cuda.set_sync_debug_mode("default")
        watched += inside

    quiet = ["logging.every_n_steps=1000", "logging.pictures_every_n_epochs=0", "logging.validate_every_n_epochs=0"]
    words = [f"model={name}", f"trainer.max_steps={_STEPS}", *quiet]
    with patch.object(StepLoop, "advance", watching):
        trained(place, f"waiting_{name}", words)
    assert watched == _STEPS - 1 - _FIRST, f"{watched} steps were watched"
    return Passed("", {"steps": watched})
