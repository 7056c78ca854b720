"""q(z | x): flows of a Gaussian, steered by further features of x (Kingma et al. 2016, algorithm 1).

The encoder gives means, standard deviations, and a context h that every step of the flow reads. A step is
autoregressive in the direction from noise to z, so that a draw and its density, which are all that training asks for,
take one pass of one masked network. The density at another z takes a pass for each group of dimensions that a step
treats in turn: all Z of them in inverse autoregressive flows, two in the coupled splines.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Size, Tensor, nn
from torch.distributions import AffineTransform, Distribution, Transform
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.lazy import LazyTransform
from zuko.transforms import ComposedTransform, MonotonicRQSTransform

from vae_cli.distributions.flow import Flow, antithetic_probes
from vae_cli.errors import ConfigError
from vae_cli.heads.bounded import bounded_scale, softly_limited
from vae_cli.types import Head, Real, Spec

_PAIRS = 16  # of probes for the mean
_OPEN = 2.0  # what is added to the argument of a gate
_RANGES = {"transforms": (1, 1000), "width": (1, 10**5), "depth": (0, 1000), "context": (1, 10**5), "bins": (2, 1000)}

Step = Callable[..., LazyTransform]  # dimensions, length of the context, order=... -> context -> noise to z


class _FlowPosterior(Head):
    """What both flows have in common; `step` is made once for each of the transforms."""

    models = (Real,)

    def __init__(self, spec: Spec, step: Step, *, transforms: int, context: int) -> None:
        super().__init__()
        size = spec.shape.numel()
        self.embed_shape = spec.shape
        self.param_shape = Size((2 * size + context,))
        self.steps = nn.ModuleList(step(size, context, order=order) for order in _turning(size, transforms))
        self.register_buffer("_probes", antithetic_probes(_PAIRS, size), persistent=False)
        self._probes: Tensor
        self._size = size

    def forward(self, h: Tensor) -> Distribution:
        """[*batch, 2 Z + context]: means, log standard deviations, context."""
        mean, log_sigma, context = h.tensor_split([self._size, 2 * self._size], dim=-1)
        gaussian = AffineTransform(mean, bounded_scale(log_sigma), event_dim=1)
        return Flow(self._chain(gaussian, [step(context) for step in self.steps]), mean, self._probes)

    @abstractmethod
    def _chain(self, gaussian: Transform, steps: Iterable[Transform]) -> ComposedTransform:
        """From noise to z; `gaussian`: eps -> mu + sigma eps."""


class InverseAutoregressive(_FlowPosterior):
    """z_t = s_t z_t-1 + (1 - s_t) m_t with gates s_t and m_t read off h and the dimensions before (ibid., eq. 14).

    z_0 ~ N(mu, diag sigma^2). Gates begin near 1 and the order of the dimensions turns round at every step, as theirs.
    That the product of all gates stays above e^-10, so that any z can be traced back to its noise, is ours.

    Args:
        transforms: steps.
        width: units of each hidden layer of a step's network.
        depth: its hidden layers.
        context: numbers in h.
    """

    def __init__(self, spec: Spec, *, transforms: int, width: int, depth: int, context: int) -> None:
        _check(transforms=transforms, width=width, depth=depth, context=context)
        step = _step(partial(_gated, transforms=transforms), [Size(), Size()], width, depth)
        super().__init__(spec, step, transforms=transforms, context=context)

    def _chain(self, gaussian: Transform, steps: Iterable[Transform]) -> ComposedTransform:
        return ComposedTransform(gaussian, *steps)


class Spline(_FlowPosterior):
    """z = mu + sigma s(eps), s a chain of rational-quadratic splines on [-5, 5] (Durkan et al. 2019, section 3).

    Coupled: half of the dimensions are mapped by splines read off h, the others by splines read off h and that half,
    and the halves change places at every step. Of the paper's two kinds this one is fast in both directions. In theirs
    the first half stays as it is; that h maps it too, and that mu and sigma come last, so that splines map standard
    noise, is ours.

    Args:
        transforms: steps.
        bins: pieces of a spline.
        width: units of each hidden layer of a step's network.
        depth: its hidden layers.
        context: numbers in h.
    """

    def __init__(self, spec: Spec, *, transforms: int, bins: int, width: int, depth: int, context: int) -> None:
        _check(transforms=transforms, bins=bins, width=width, depth=depth, context=context)
        shapes = [Size((bins,)), Size((bins,)), Size((bins - 1,))]  # widths, heights, slopes between pieces
        step = partial(_step(MonotonicRQSTransform, shapes, width, depth), passes=2)
        super().__init__(spec, step, transforms=transforms, context=context)

    def _chain(self, gaussian: Transform, steps: Iterable[Transform]) -> ComposedTransform:
        return ComposedTransform(*steps, gaussian)


def _step(univariate: Callable[..., Transform], shapes: list[Size], width: int, depth: int) -> Step:
    return partial(
        MaskedAutoregressiveTransform,
        univariate=univariate,
        shapes=shapes,
        hidden_features=[width] * depth,
        activation=nn.ELU,
    )


def _turning(size: int, transforms: int) -> Iterator[Tensor]:
    """The order of the dimensions and its reverse, in turn."""
    order = torch.arange(size)
    for number in range(transforms):
        yield order.flip(0) if number % 2 else order


def _gated(m: Tensor, opening: Tensor, transforms: int) -> Transform:
    log_gate = softly_limited(transforms * F.logsigmoid(opening + _OPEN)) / transforms
    gate = log_gate.exp()
    return AffineTransform((1 - gate) * m, gate)


def _check(**numbers: int) -> None:
    """ConfigError for one out of its range."""
    for name, value in numbers.items():
        least, most = _RANGES[name]
        if not (least <= value <= most):
            raise ConfigError(f"posterior.{name}={value}: {least} to {most}")
