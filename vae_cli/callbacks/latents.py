"""How much the latent dimensions say about x, at every validation."""

from dataclasses import dataclass

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributions import kl_divergence

from vae_cli.callbacks.looking import looking
from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.data.base import evenly_spaced
from vae_cli.data.module import DataModule
from vae_cli.distributions.marginals import normal_marginals
from vae_cli.experiment import Experiment
from vae_cli.metrics.active import active_units
from vae_cli.metrics.enough import FEWEST
from vae_cli.types import Site

_EXAMPLES = 1000  # of the validation split: enough to rank dimensions, cheap enough for every epoch
_LARGEST = 1e19  # nats: TensorBoard's histograms end soon after


@dataclass(frozen=True)
class Posteriors:
    """What one latent variable says of some examples."""

    means: Tensor  # of q(z | x), [B, Z]
    kl: Tensor | None  # of each dimension's marginal to the prior's, averaged over the examples, [Z], nats
    standard_prior: bool  # whether p(z) = N(0, I)

    @property
    def active(self) -> int:
        """How many dimensions depend on x."""
        return int(active_units(self.means).sum())


class Latents(Callback):
    """val/active_units, and the KL of each dimension as the histogram val/kl_per_dimension/<site>.

    Units are counted where there are enough validation examples to see them vary.
    """

    def __init__(self) -> None:
        self.active: dict[str, tuple[int, int]] = {}  # by site, at the last validation: active units, dimensions

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log both, where there is a prior to compare with."""
        assert isinstance(pl_module, Experiment)
        if not pl_module.objective.bounds:
            return
        logger = tensorboard_of(trainer.logger)
        with looking(trainer, pl_module, "latents") as (experiment, data):
            found = posteriors(experiment, data, rows_of_many(data))
        enough = data.val.num_rows() >= FEWEST
        self.active = {name: (latent.active, latent.means.shape[1]) for name, latent in found.items() if enough}
        if self.active:
            units = float(sum(active for active, _ in self.active.values()))
            logger.log_metrics({"val/active_units": units}, trainer.global_step)
        for name, latent in found.items():
            if latent.kl is not None and trainer.is_global_zero:
                kl = latent.kl.clamp(max=_LARGEST).cpu()
                logger.experiment.add_histogram(f"val/kl_per_dimension/{name}", kl, trainer.global_step)


def rows_of_many(data: DataModule) -> Tensor:
    """Evenly spaced rows of the validation split: folders often hold one class after another."""
    return evenly_spaced(data.val.num_rows(), _EXAMPLES)


def posteriors(experiment: Experiment, data: DataModule, rows: Tensor) -> dict[str, Posteriors]:
    """By latent variable, from as many examples at a time as an evaluation takes."""
    passes = [_of_a_pass(experiment, data, part) for part in rows.split(data.eval_batch_size)]
    return {name: _together([found[name] for found in passes], len(rows)) for name in passes[0]}


def _of_a_pass(experiment: Experiment, data: DataModule, rows: Tensor) -> dict[str, Posteriors]:
    return {name: _of_a_site(site) for name, site in experiment.model(data.val.peek(rows)).sites.items()}


def _of_a_site(site: Site) -> Posteriors:
    prior = normal_marginals(site.p)
    standard = prior is not None and bool((prior.mean == 0).all() and torch.all(prior.stddev == 1))
    return Posteriors(site.q.mean.flatten(0, -2), kl_per_dimension(site), standard)


def _together(parts: list[Posteriors], examples: int) -> Posteriors:
    kls = [part.kl * len(part.means) for part in parts if part.kl is not None]
    kl = torch.stack(kls).sum(0) / examples if kls else None
    return Posteriors(torch.cat([part.means for part in parts]), kl, all(part.standard_prior for part in parts))


def kl_per_dimension(site: Site) -> Tensor | None:
    """KL of each dimension's marginal to the prior's, averaged over the examples, [Z], nats; None if not Gaussian."""
    q, p = normal_marginals(site.q), normal_marginals(site.p)
    if q is None or p is None:
        return None
    return kl_divergence(q, p).flatten(0, -2).mean(0)
