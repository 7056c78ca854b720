"""Samples, reconstructions and traversals: to TensorBoard, and as PNG under `images/`."""

from pathlib import Path

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from vae_cli.callbacks.grid import grid, is_image
from vae_cli.callbacks.latents import kl_per_dimension
from vae_cli.callbacks.looking import looking
from vae_cli.callbacks.tags import of_picture
from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.experiment import Experiment
from vae_cli.files import own_folder, replacing
from vae_cli.inference.traverse import along
from vae_cli.types import Batch, Prior, Spec

_ROWS = 8
_STEPS = 10  # of a traversal
_WIDEST = 3.0  # traversals cover 99.7 % of a standard normal prior
_MOST_DIMENSIONS = 10
_MOST_IMAGES = 100  # of what a prior is made of


class Pictures(Callback):
    """Every `every_n_epochs` epochs and at the end.

    samples: means of p(x | z) at draws of z from the prior, under the conditions of the examples in `reconstructions`.
    Where only part of x is modelled, the rest is as in the example.
    reconstructions: a row of validation examples, below it their reconstructions, and so on.
    traversals: one row a latent dimension, in order of KL; the others stay at the first example's posterior mean.
    What a prior is made of, where that looks like x: pseudo_inputs.
    """

    def __init__(self, directory: Path, every_n_epochs: int) -> None:
        self._directory, self._every_n_epochs = directory, every_n_epochs

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw where it is time to."""
        if (trainer.current_epoch + 1) % self._every_n_epochs == 0:
            self._draw(trainer, pl_module)

    def at_the_end(self, trainer: Trainer, experiment: Experiment, epochs: int) -> None:
        """Draw, unless the last epoch did."""
        if epochs % self._every_n_epochs:
            self._draw(trainer, experiment)

    def _draw(self, trainer: Trainer, experiment: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        with looking(trainer, experiment, "pictures") as (module, data):
            if not is_image(data.spec.shape):
                return
            columns = columns_for(data.spec)
            pictures = draw(module, data.examples(columns * _ROWS // 2), columns)
        own_folder(self._directory)
        for name, picture in pictures.items():
            tensorboard_of(trainer.logger).experiment.add_image(of_picture(name), picture, trainer.global_step)
            save_png(picture, self._directory / f"{name}.png")


def draw(experiment: Experiment, batch: Batch, columns: int) -> dict[str, Tensor]:
    """The pictures by name, [C, H, W], uint8: reconstructions, and where a bound was trained the others."""
    model = experiment.model
    trace = model(batch)
    shape = batch.x.shape[1:]
    pictures = {"reconstructions": grid(in_pairs(batch.x, batch.completed(trace.px.mean[0]), columns), shape, columns)}
    if not experiment.objective.bounds:
        return pictures
    for part in model.modules():
        shown = part.pictures() if isinstance(part, Prior) else {}
        pictures |= {name: grid(images[:_MOST_IMAGES], shape, columns) for name, images in shown.items()}
    pictures["samples"] = grid(batch.completed(model.generate(len(batch.x), batch.c).px.mean[0]), shape, columns)
    if len(trace.sites) == 1:
        ((name, site),) = trace.sites.items()
        kl = kl_per_dimension(site)
        if kl is not None:
            dimensions = kl.argsort(descending=True)[:_MOST_DIMENSIONS]
            steps = torch.linspace(-_WIDEST, _WIDEST, _STEPS, device=kl.device).expand(len(dimensions), -1)
            z = along(site.q.mean[0], dimensions, steps).flatten(0, 1)
            first = batch.part(slice(1))
            c = None if first.c is None else first.c.expand(len(z), *first.c.shape[1:])
            pictures["traversals"] = grid(first.completed(model.decode({name: z[None]}, c).mean[0]), shape, _STEPS)
    return pictures


def columns_for(data: Spec) -> int:
    """About ten, and a multiple of the number of classes, so that a column is of one class."""
    if data.classes is None or data.classes > 16:
        return 10
    return data.classes * max(1, 10 // data.classes)


def in_pairs(above: Tensor, below: Tensor, columns: int) -> Tensor:
    """Images [N, ...] and as many others, row by row in turn: one row of the first, below it one of the second, ..."""
    rows = zip(_rows(above, columns), _rows(below, columns), strict=True)
    return torch.cat([row for pair in rows for row in pair])


def _rows(images: Tensor, columns: int) -> list[Tensor]:
    """Images [N, ...] in rows of that many, the last filled up with grey."""
    missing = images.new_full((-len(images) % columns, *images.shape[1:]), 0.5)
    return list(torch.cat([images, missing]).split(columns))


def save_png(picture: Tensor, path: Path) -> None:
    """[C, H, W], uint8, C = 1 or 3."""
    with replacing(path) as file:
        Image.fromarray(picture.permute(1, 2, 0).squeeze(-1).cpu().numpy()).save(file, format="png")
