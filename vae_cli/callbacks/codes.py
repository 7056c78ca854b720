"""Where the validation examples lie in latent space, at the end of training: a scatter, and TensorBoard's PROJECTOR.

For an autoencoder, these are its codes.
"""

from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from vae_cli.callbacks.grid import is_image
from vae_cli.callbacks.latents import kl_per_dimension, trace_of_many
from vae_cli.callbacks.looking import looking
from vae_cli.callbacks.pictures import save_png
from vae_cli.callbacks.projector import write_projector
from vae_cli.callbacks.scatter import Cloud, scatter
from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.distributions.marginals import normal_marginals
from vae_cli.types import Batch, Site, Spec

_TAG = "scatter/val"  # the first groups are open in TensorBoard, by name: these stay reconstructions and samples


class Codes(Callback):
    """The image scatter/val, also as latents.png, and the files of the projector, for a model with one latent."""

    def __init__(self, run: Path, images: Path) -> None:
        self._run, self._images = run, images

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw and write them."""
        if not trainer.is_global_zero:
            return
        with looking(trainer, pl_module, "codes") as (experiment, data):
            trace = trace_of_many(experiment, data)
            if len(trace.sites) != 1:
                return
            ((name, site),) = trace.sites.items()
            picture = scatter(cloud(name, site, trace.batch, experiment.objective.bounds))
        self._images.mkdir(exist_ok=True)
        tensorboard_of(trainer.logger).experiment.add_image(_TAG, picture, trainer.global_step)
        save_png(picture, self._images / "latents.png")
        images = trace.batch.x if is_image(data.spec.shape) else None
        write_projector(self._run, name, _means(site).cpu(), known(trace.batch, data.spec), images)


def cloud(name: str, site: Site, batch: Batch, bounds: bool) -> Cloud:
    """The posterior means in the two dimensions that say most: by KL, or by variance where there is no bound."""
    means = _means(site)
    kl = kl_per_dimension(site) if bounds else None
    weight, unit = (means.var(0, correction=0), "variance {:.3g}") if kl is None else (kl, "{:.2f} nats")
    dimensions = weight.argsort(descending=True, stable=True)[:2].sort().values.tolist()
    return Cloud(
        means[:, dimensions].cpu().numpy(),
        [f"{name}_{i} ({unit.format(weight[i])})" for i in dimensions],
        None if batch.y is None else batch.y.cpu().numpy(),
        standard_prior=bounds and _is_standard(site),
    )


def known(batch: Batch, data: Spec) -> dict[str, list[int]]:
    """What is known of each example, by name: its label, its factors, its row in the validation split."""
    columns: dict[str, list[int]] = {} if batch.y is None else {"label": batch.y.tolist()}
    if batch.factors is not None:
        columns |= {factor.name: batch.factors[:, i].tolist() for i, factor in enumerate(data.factors)}
    assert batch.index is not None
    return {**columns, "row": batch.index.tolist()}


def _means(site: Site) -> Tensor:
    return site.q.mean.flatten(0, -2)  # [B, Z]


def _is_standard(site: Site) -> bool:
    prior = normal_marginals(site.p)
    return prior is not None and bool((prior.mean == 0).all() and torch.all(prior.stddev == 1))
