"""Samples, reconstructions and traversals: to TensorBoard, and as PNG under `images/`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from vae_cli.callbacks.grid import is_image
from vae_cli.callbacks.latents import kl_per_dimension
from vae_cli.callbacks.looking import looking
from vae_cli.callbacks.sheet import Sheet, pixels_of
from vae_cli.callbacks.tables import errors_by_column, pairs_of_columns
from vae_cli.callbacks.tags import of_picture
from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.experiment import Experiment
from vae_cli.files import own_folder, replacing
from vae_cli.inference.traverse import prior_quantiles, ranked, values_told, walked
from vae_cli.types import Batch, Binary, Model, Prior, Site, Spec, Support, Tokens

_ROWS = 8
_STEPS = 10  # of a traversal
_WIDEST = 3.0  # traversals cover 99.7 % of a standard normal prior
_MOST_DIMENSIONS = 10
_MOST_IMAGES = 100  # of what a prior is made of
_MOST_ROWS = 1000  # examples that are no images


class Pictures(Callback):
    """Every `every_n_epochs` epochs and at the end.

    samples: means of p(x | z) at draws of z from the prior, under the conditions of the examples in `reconstructions`.
    Where only part of x is modelled, the rest is as in the example.
    reconstructions: a row of validation examples, below it their reconstructions, and so on.
    traversals: one row a latent dimension, in order of KL; the others stay at the first example's posterior mean,
    whatever the prior. What a prior is made of, where that looks like x: pseudo_inputs.
    Of examples that are no images: errors by column, and pairs of columns, of examples beside draws of the model.
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
            if is_image(data.spec.shape):
                columns = columns_for(data.spec)
                pictures = draw(module, data.examples(columns * _ROWS // 2), columns)
            else:
                pictures = draw_rows(module, data.examples(_MOST_ROWS), data.spec.support)
        own_folder(self._directory)
        for name, picture in pictures.items():
            tensorboard_of(trainer.logger).experiment.add_image(of_picture(name), picture, trainer.global_step)
            save_png(picture, self._directory / f"{name}.png")


def draw(experiment: Experiment, batch: Batch, columns: int) -> dict[str, Tensor]:
    """The pictures by name, [C, H, W], uint8: reconstructions, and where a bound was trained the others."""
    shape = batch.x.shape[1:]
    return {name: pixels_of(sheet, shape) for name, sheet in _sheets(experiment, batch, columns)}


def draw_rows(experiment: Experiment, batch: Batch, support: Support) -> dict[str, Tensor]:
    """Likewise of examples that are rows of numbers: errors by column, and pairs of columns beside draws of them."""
    if isinstance(support, Tokens):
        return {}
    model = experiment.model
    made = batch.completed(model(batch).px.mean[0])
    pictures = {"errors": errors_by_column(batch.x.flatten(1), made.flatten(1))}
    if experiment.objective.bounds and not isinstance(support, Binary):
        draws = batch.completed(model.generate(len(batch.x), batch.c).px.sample()[0])
        pictures["pairs"] = pairs_of_columns(batch.x.flatten(1), draws.flatten(1))
    return pictures


def _sheets(experiment: Experiment, batch: Batch, columns: int) -> Iterator[tuple[str, Sheet]]:
    model = experiment.model
    trace = model(batch)
    pairs = in_pairs(batch.x, batch.completed(trace.px.mean[0]), columns)
    yield "reconstructions", Sheet(pairs, columns, ["x", "model"] * (len(pairs) // columns // 2))
    if not experiment.objective.bounds:
        return
    for part in model.modules():
        for name, images in part.pictures().items() if isinstance(part, Prior) else ():
            yield name, _stretched(name, images[:_MOST_IMAGES], columns)
    yield "samples", Sheet(batch.completed(model.generate(len(batch.x), batch.c).px.mean[0]), columns)
    if trace.sites:
        yield "traversals", _traversals(model, batch, trace.sites)


def _stretched(name: str, images: Tensor, columns: int) -> Sheet:
    """What a prior is made of may be nearly black: from the lowest value to the highest, which the title says."""
    low, high = float(images.min()), float(images.max())
    title = f"{name}: black is {low:.3g}, white is {high:.3g}"
    return Sheet((images - low) / max(high - low, torch.finfo(images.dtype).tiny), columns, title=title)


def _traversals(model: Model, batch: Batch, sites: Mapping[str, Site]) -> Sheet:
    """Between far quantiles of the prior, which for a standard normal one are -3 and 3, in even steps."""
    kls = {name: kl_per_dimension(site) for name, site in sites.items()}
    known = {name: kl for name, kl in kls.items() if kl is not None}
    means = {name: site.q.mean.flatten(0, -2).var(0, correction=0) for name, site in sites.items()}
    dimensions = ranked(known if len(known) == len(sites) else means)[:_MOST_DIMENSIONS]
    one = batch.part(slice(1))
    levels = torch.special.ndtr(torch.tensor([-_WIDEST, _WIDEST], device=batch.x.device))
    ends = prior_quantiles(model, one, levels)
    low, high = torch.stack([ends[each.latent][each.index] for each in dimensions]).unbind(1)  # [D]
    share = torch.linspace(0, 1, _STEPS, device=batch.x.device)
    values = torch.lerp(low[:, None], high[:, None], share)
    columns, ranges = values_told(values, [f"{one:.2f}" for one in share.tolist()])
    measure = "KL in nats" if len(known) == len(sites) else "variance of the means"
    walk = "from the lowest value (0) to the highest (1) of each row" if ranges[0] else "its value"
    rest = "the rest at the posterior mean of the first validation example"
    rest += ", what depends on it at the mean of its prior" if len(sites) > 1 else ""
    title = f"one latent dimension a row ({measure}); columns: {walk}; {rest}"
    rows = [f"{each.title}{more}" for each, more in zip(dimensions, ranges, strict=True)]
    return Sheet(walked(model, one, dimensions, values).flatten(0, 1), _STEPS, rows, columns, title)


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
