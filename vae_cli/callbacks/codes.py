"""Where the validation examples lie in latent space, at the end of training: a scatter, and TensorBoard's PROJECTOR.

For an autoencoder, these are its codes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pytorch_lightning import Callback, Trainer
from torch import Tensor

from vae_cli.callbacks.bars import kl_bars
from vae_cli.callbacks.grid import is_image
from vae_cli.callbacks.latents import Posteriors, posteriors, rows_of_many
from vae_cli.callbacks.looking import looking
from vae_cli.callbacks.pictures import save_png
from vae_cli.callbacks.projector import write_projector
from vae_cli.callbacks.scatter import Cloud, scatter
from vae_cli.callbacks.tags import of_picture
from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.data.module import DataModule
from vae_cli.experiment import Experiment
from vae_cli.files import own_folder
from vae_cli.types import Batch


class Codes(Callback):
    """The images `kl`, of every latent dimension, and for a model with one latent `latents`; the projector's files."""

    def __init__(self, run: Path, images: Path) -> None:
        self._run, self._images = run, images

    def at_the_end(self, trainer: Trainer, experiment: Experiment, epochs: int) -> None:
        """Draw and write them."""
        if not trainer.is_global_zero:
            return
        with looking(trainer, experiment, "codes") as (_, data):
            rows = rows_of_many(data)
            found = posteriors(experiment, data, rows)
            batch = data.val.peek(rows)
        bounds = experiment.objective.bounds
        kls = {name: latent.kl for name, latent in found.items() if latent.kl is not None}
        if kls and bounds:
            self._keep("kl", kl_bars(kls, len(rows)), trainer)
        if len(found) != 1:
            return
        ((name, latent),) = found.items()
        self._keep("latents", scatter(cloud(name, latent, batch.y, bounds, data.class_names)), trainer)
        images = batch.x if is_image(data.spec.shape) else None
        write_projector(self._run, name, latent.means.cpu(), known(batch, data), images)

    def _keep(self, name: str, picture: Tensor, trainer: Trainer) -> None:
        own_folder(self._images)
        tensorboard_of(trainer.logger).experiment.add_image(of_picture(name), picture, trainer.global_step)
        save_png(picture, self._images / f"{name}.png")


def cloud(name: str, latent: Posteriors, labels: Tensor | None, bounds: bool, class_names: Sequence[str] = ()) -> Cloud:
    """The posterior means in the two dimensions that say most: by KL, or by variance where there is no bound."""
    means = latent.means
    kl = latent.kl if bounds else None
    weight, unit = (means.var(0, correction=0), "variance {:.3g}") if kl is None else (kl, "{:.2f} nats")
    dimensions = weight.argsort(descending=True, stable=True)[:2].sort().values.tolist()
    return Cloud(
        means[:, dimensions].cpu().numpy(),
        [f"{name}_{i} ({unit.format(weight[i])})" for i in dimensions],
        None if labels is None else labels.cpu().numpy(),
        standard_prior=bounds and latent.standard_prior,
        class_names=class_names,
    )


def known(batch: Batch, data: DataModule) -> Mapping[str, Sequence[str | int]]:
    """What is known of each validation example, by name: its label, its factors, its file, its row in the split."""
    columns: dict[str, Sequence[str | int]] = {}
    if batch.y is not None:
        columns["label"] = [_shown(str(data.class_names[label])) if label >= 0 else "" for label in batch.y.tolist()]
    if batch.factors is not None:
        columns |= {factor.name: batch.factors[:, i].tolist() for i, factor in enumerate(data.spec.factors)}
    assert batch.index is not None
    if (files := data.files) is not None:
        places = data.places[1][batch.index.cpu()].tolist()
        columns["file"] = [_shown(str(files[place])) for place in places]
    return {**columns, "row": batch.index.tolist()}


def _shown(name: str) -> str:
    """In a cell of a table whose cells end with tabs and lines."""
    return " ".join(name.split())
