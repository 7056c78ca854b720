"""How much the latent dimensions say about x, at every validation."""

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributions import kl_divergence

from vae_cli.callbacks.looking import looking
from vae_cli.callbacks.tensorboard import tensorboard_of
from vae_cli.data.base import evenly_spaced
from vae_cli.data.module import DataModule
from vae_cli.distributions.marginals import normal_marginals
from vae_cli.experiment import Experiment
from vae_cli.types import Site, Trace

_EXAMPLES = 1000  # of the validation split: enough to rank dimensions, cheap enough for every epoch
_ACTIVE = 1e-2  # Burda et al. (2016), section 5.2


class Latents(Callback):
    """val/active_units, and the KL of each dimension as the histogram val/kl_per_dimension/<site>."""

    def __init__(self) -> None:
        self.active: dict[str, tuple[int, int]] = {}  # by site, at the last validation: active units, dimensions

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log both, where there is a prior to compare with."""
        assert isinstance(pl_module, Experiment)
        if not pl_module.objective.bounds:
            return
        logger = tensorboard_of(trainer.logger)
        with looking(trainer, pl_module, "latents") as (experiment, data):
            trace = trace_of_many(experiment, data)
        self.active = {name: (active_units(site), site.q.mean.shape[-1]) for name, site in trace.sites.items()}
        if self.active:
            units = float(sum(active for active, _ in self.active.values()))
            logger.log_metrics({"val/active_units": units}, trainer.global_step)
        for name, site in trace.sites.items():
            kl = kl_per_dimension(site)
            if kl is not None and trainer.is_global_zero:
                logger.experiment.add_histogram(f"val/kl_per_dimension/{name}", kl.cpu(), trainer.global_step)


def trace_of_many(experiment: Experiment, data: DataModule) -> Trace:
    """A pass over evenly spaced examples of the validation split: folders often hold one class after another."""
    return experiment.model(data.val.peek(evenly_spaced(data.val.num_rows(), _EXAMPLES)))


def active_units(site: Site) -> int:
    """Dimensions u with Var_x(E_q[u]) > 0.01 (Burda et al. 2016, section 5.2)."""
    means = site.q.mean.flatten(0, -2)  # [B, Z]
    return int((means.var(0, correction=0) > _ACTIVE).sum())


def kl_per_dimension(site: Site) -> Tensor | None:
    """KL of each dimension's marginal to the prior's, averaged over the examples, [Z], nats; None if not Gaussian."""
    q, p = normal_marginals(site.q), normal_marginals(site.p)
    if q is None or p is None:
        return None
    return kl_divergence(q, p).flatten(0, -2).mean(0)
