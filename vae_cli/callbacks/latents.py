"""How much the latent dimensions say about x, at every validation."""

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributions import kl_divergence

from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.data.module import DataModule
from vae_cli.distributions.marginals import normal_marginals
from vae_cli.experiment import Experiment
from vae_cli.noise import stream
from vae_cli.types import Site, Trace

EXAMPLES = 1000  # the first of the validation split: enough to rank dimensions, cheap enough for every epoch
ACTIVE = 1e-2  # Burda et al. (2016), section 5.2


class Latents(Callback):
    """val/active_units, and the KL of each dimension as the histogram val/kl_per_dimension/<site>."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log both."""
        assert isinstance(pl_module, Experiment)
        logger = tensorboard_of(trainer.logger)
        trace = validation_trace(trainer, pl_module, EXAMPLES)
        active = {name: active_units(site) for name, site in trace.sites.items()}
        if active:
            logger.log_metrics({"val/active_units": float(sum(active.values()))}, trainer.global_step)
        for name, site in trace.sites.items():
            kl = kl_per_dimension(site)
            if kl is not None and trainer.is_global_zero:
                logger.experiment.add_histogram(f"val/kl_per_dimension/{name}", kl.cpu(), trainer.global_step)


def validation_trace(trainer: Trainer, experiment: Experiment, examples: int) -> Trace:
    """One pass over the first validation examples, in evaluation mode, from a stream of its own."""
    data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue] (Lightning sets it in fit)
    assert isinstance(data, DataModule)
    rows = torch.arange(min(examples, data.val.num_rows()))
    training = experiment.training
    experiment.eval()
    with torch.no_grad(), stream(experiment.device, "latents"):
        trace = experiment.model(data.val.peek(rows))
    experiment.train(training)
    return trace


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
