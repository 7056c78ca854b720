"""vae-train: train, log and resume variational autoencoders from the command line; and use what was trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae_cli.loading import Run

__version__ = "0.1.0"


def load_run(
    path: str | Path, *, checkpoint: str = "best", trust: Sequence[str] = (), accelerator: str = "auto"
) -> "Run":
    """The model of a run directory; see `vae_cli.loading.load_run`. (torch is imported when it is called.)"""
    from vae_cli.loading import load_run

    return load_run(path, checkpoint=checkpoint, trust=trust, accelerator=accelerator)
