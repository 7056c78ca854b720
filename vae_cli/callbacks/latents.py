"""How much the latent dimensions say about x, at every validation."""

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributions import kl_divergence

from vae_cli.callbacks.looking import looking
from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.distributions.marginals import normal_marginals
from vae_cli.experiment import Experiment
from vae_cli.types import Site

EXAMPLES = 1000  # the first of the validation split: enough to rank dimensions, cheap enough for every epoch
ACTIVE = 1e-2  # Burda et al. (2016), section 5.2


class Latents(Callback):
    """val/active_units, and the KL of each dimension as the histogram val/kl_per_dimension/<site>."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log both, where there is a prior to compare with."""
        assert isinstance(pl_module, Experiment)
        if not pl_module.objective.bounds:
            return
        logger = tensorboard_of(trainer.logger)
        with looking(trainer, pl_module, "latents") as (experiment, data):
            trace = experiment.model(data.val.peek(torch.arange(min(EXAMPLES, data.val.num_rows()))))
        active = {name: active_units(site) for name, site in trace.sites.items()}
        if active:
            logger.log_metrics({"val/active_units": float(sum(active.values()))}, trainer.global_step)
        for name, site in trace.sites.items():
            kl = kl_per_dimension(site)
            if kl is not None and trainer.is_global_zero:
                logger.experiment.add_histogram(f"val/kl_per_dimension/{name}", kl.cpu(), trainer.global_step)


def active_units(site: Site) -> int:
    """Dimensions u with Var_x(E_q[u]) > 0.01 (Burda et al. 2016, section 5.2)."""
    means = site.q.mean.flatten(0, -2)  # [B, Z]
    return int((means.var(0, correction=0) > ACTIVE).sum())


def kl_per_dimension(site: Site) -> Tensor | None:
    """KL of each dimension's marginal to the prior's, averaged over the examples, [Z], nats; None if not Gaussian."""
    q, p = normal_marginals(site.q), normal_marginals(site.p)
    if q is None or p is None:
        return None
    return kl_divergence(q, p).flatten(0, -2).mean(0)
