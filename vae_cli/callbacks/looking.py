"""Looking at a model between two steps, without leaving a trace in training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pytorch_lightning import LightningModule, Trainer

from vae_cli.data.module import DataModule
from vae_cli.experiment import Experiment
from vae_cli.noise import stream


@contextmanager
def looking(trainer: Trainer, experiment: LightningModule, purpose: str) -> Iterator[tuple[Experiment, DataModule]]:
    """Evaluation mode, no gradients, and noise from the stream named `purpose`; all as it was before afterwards."""
    data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue] (Lightning sets it in fit)
    assert isinstance(data, DataModule)
    assert isinstance(experiment, Experiment)
    training = experiment.training
    experiment.eval()
    try:
        with torch.no_grad(), stream(experiment.device, purpose):
            yield experiment, data
    finally:
        experiment.train(training)
