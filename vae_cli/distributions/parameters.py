"""What a distribution is known by: parameters with names, from which its density follows as the words say."""

from functools import singledispatch

from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    Laplace,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from vae_cli.distributions.continuous_bernoulli import ContinuousBernoulli
from vae_cli.distributions.delta import Delta
from vae_cli.distributions.discretized_logistic import DiscretizedLogistic
from vae_cli.distributions.flow import Flow
from vae_cli.distributions.levels import CategoricalLevels
from vae_cli.distributions.rank_one_gaussian import RankOneGaussian
from vae_cli.distributions.von_mises_fisher import VonMisesFisher
from vae_cli.types import Site

Known = tuple[str, dict[str, Tensor]]


def parameters_of(distribution: Distribution) -> dict[str, Tensor]:
    """Its mean and what else it is made of, each [*batch, *event, ...]; nothing for a kind that has no entry below."""
    return _known(distribution)[1]


def posterior_of(site: Site) -> dict[str, Tensor]:
    """The parameters of q, [B, *Z, ...]; its batch shape is [B], or [1, B] below another latent variable."""
    axes = len(site.q.batch_shape)
    return {name: value.flatten(0, axes - 1) for name, value in parameters_of(site.q).items()}


def formula_of(distribution: Distribution) -> str:
    """The distribution by its parameters, in words; nothing for a kind that has no entry below."""
    return _known(distribution)[0]


@singledispatch
def _known(_distribution: Distribution) -> Known:
    return "", {}


@_known.register
def _(product: Independent) -> Known:
    return _known(product.base_dist)


@_known.register
def _(point: Delta) -> Known:
    return "all mass at the mean", {"mean": point.mean}


@_known.register
def _(gaussian: Normal) -> Known:
    return "each coordinate N(mean, scale^2)", {"mean": gaussian.loc, "scale": gaussian.scale}


@_known.register
def _(gaussian: MultivariateNormal) -> Known:
    return "N(mean, L L^T) with L = scale_tril", {"mean": gaussian.loc, "scale_tril": gaussian.scale_tril}


@_known.register
def _(gaussian: RankOneGaussian) -> Known:
    words = "N(mean, C), C^-1 = S^-1 (I + direction direction^T) S^-1 with S = diag(scale)"
    return words, {"mean": gaussian.loc, "scale": gaussian.scale, "direction": gaussian.direction}


@_known.register
def _(flow: Flow) -> Known:
    return "a flow of Gaussian noise, whose mean is an estimate from 32 draws", {"mean": flow.mean}


@_known.register
def _(spherical: VonMisesFisher) -> Known:
    words = "on the unit sphere, with density proportional to exp(concentration direction.z) (von Mises-Fisher)"
    concentration = spherical.concentration.unsqueeze(-1)
    return words, {"mean": spherical.mean, "direction": spherical.direction, "concentration": concentration}


@_known.register
def _(laplace: Laplace) -> Known:
    words = "each coordinate with density exp(-|x - mean| / scale) / (2 scale)"
    return words, {"mean": laplace.loc, "scale": laplace.scale}


@_known.register
def _(bernoulli: Bernoulli) -> Known:
    words = "each coordinate 1 with probability mean = sigmoid(logits), else 0"
    return words, {"mean": bernoulli.probs, "logits": bernoulli.logits}


@_known.register
def _(continuous: ContinuousBernoulli) -> Known:
    words = "each coordinate with density proportional to exp(logits x) for x in [0, 1]"
    return words, {"mean": continuous.mean, "logits": continuous.logits}


@_known.register
def _(logistic: DiscretizedLogistic) -> Known:
    words = (
        "each coordinate a level with the probability that sigmoid((x - loc) / scale) rises by from half a step below "
        "the level to half a step above it, the outer levels with all that lies beyond"
    )
    return words, {"mean": logistic.mean, "loc": logistic.loc, "scale": logistic.scale}


@_known.register
def _(mixture: MixtureSameFamily) -> Known:
    words, parameters = _known(mixture.component_distribution)
    mixing = mixture.mixture_distribution
    assert isinstance(mixing, Categorical)
    words = f"mixtures along the last axis, with weights softmax(logits), of: {words}"
    return words, {**parameters, "mean": mixture.mean, "logits": mixing.logits}


@_known.register
def _(levels: CategoricalLevels) -> Known:
    words = "each coordinate a level with probabilities softmax(logits) along the last axis, level 0 first"
    return words, {"mean": levels.mean, "logits": levels.logits}
