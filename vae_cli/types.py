"""The vocabulary of the whole project: what data says of itself, and what heads, priors, models and objectives are.

Shape legend: S samples, B batch, Z latent event, X data event; always in that order.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution, kl_divergence

# ---- what the data says of itself ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Binary:
    """Values 0 and 1."""


@dataclass(frozen=True)
class UnitInterval:
    """Reals between 0 and 1."""


@dataclass(frozen=True)
class Levels:
    """`count` evenly spaced grey levels between 0 and 1: level / (count - 1)."""

    count: int


@dataclass(frozen=True)
class Tokens:
    """Integers 0 .. count - 1 without order."""

    count: int


@dataclass(frozen=True)
class Real:
    """Any real number."""


@dataclass(frozen=True)
class UnitSphere:
    """Points at a distance of 1 from the origin; of latent variables alone."""


Support = Binary | UnitInterval | Levels | Tokens | Real | UnitSphere


@dataclass(frozen=True)
class Factor:
    """A known cause of x that takes the values 0 .. count - 1."""

    name: str
    count: int


@dataclass(frozen=True)
class Stored:
    """What training files hold, before pixels are made 0 and 1."""

    support: Support
    low: float  # the smallest and the largest value, in the units of the model
    high: float


@dataclass(frozen=True)
class Spec:
    """What a data set, or a latent variable, says of itself; `build` hands it on, and YAML never repeats it."""

    shape: Size  # of one event, without batch
    support: Support
    classes: int | None = None  # number of labels; None without labels
    factors: tuple[Factor, ...] = ()  # known causes of x, in the order of `Batch.factors`
    condition: Size | None = None  # shape of c; None without a condition
    size: int = 0  # training examples
    mean: Tensor | None = None  # of the training examples, [*X]
    examples: Callable[[int], Tensor] | None = None  # at most so many training examples, evenly spaced, [num, *X]
    class_names: tuple[str, ...] = ()  # () without labels, and of a run that kept none
    stored: Stored | None = None  # None of a run that did not keep it

    @property
    def named_classes(self) -> tuple[str, ...]:
        """A name for each class; their numbers where none were kept."""
        return self.class_names or tuple(map(str, range(self.classes or 0)))


class Batch(NamedTuple):
    """Some examples, on the device that computes."""

    x: Tensor  # [B, *X]
    y: Tensor | None = None  # [B], -1 where hidden
    c: Tensor | None = None  # [B, *C]
    # [B], row in its split. The name hides tuple.index, which nobody asks a batch for.
    index: Tensor | None = None  # pyright: ignore[reportIncompatibleMethodOverride]
    factors: Tensor | None = None  # [B, F], values of the known factors
    mask: Tensor | None = None  # [B, *X], 1 = counted by the likelihood (padding, given quadrants, missing values)

    @staticmethod
    def joined(batches: "Sequence[Batch]") -> "Batch":
        """The examples of several, one after another."""
        fields = zip(*batches, strict=True)
        return Batch(*(None if parts[0] is None else torch.cat(parts) for parts in fields))  # pyright: ignore[reportArgumentType]

    @property
    def dimensions(self) -> float:
        """How many numbers of an example the likelihood counts, averaged over the examples."""
        return self.x[0].numel() if self.mask is None else float(self.mask.sum()) / len(self.mask)

    def completed(self, made: Tensor) -> Tensor:
        """What a model makes of the examples, [..., B, *X], where the likelihood counts; x itself elsewhere."""
        return made if self.mask is None else torch.where(self.mask.bool(), made, self.x)

    def part(self, rows: slice | Tensor) -> "Batch":
        """Some of the examples."""
        return Batch(*(None if field is None else field[rows] for field in self))  # pyright: ignore[reportArgumentType]

    def split(self, size: int) -> list["Batch"]:
        """All of the examples, in order, at most so many in each."""
        return [self.part(slice(first, first + size)) for first in range(0, len(self.x), size)]


# ---- one forward pass ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """One latent variable: its draw and the two distributions it is judged by."""

    value: Tensor  # [S, B, *Z]
    q: Distribution  # batch shape broadcasts against [S, B]
    p: Distribution  # likewise

    def log_ratio(self) -> Tensor:
        """Log q(z) - log p(z) at the draw, [S, B], nats."""
        return (self.q.log_prob(self.value) - self.p.log_prob(self.value)).expand(self.value.shape[:2])

    def kl(self) -> Tensor:
        """KL(q || p), [S, B], nats: in closed form where torch knows one or we registered it, else `log_ratio`."""
        try:
            divergence = kl_divergence(self.q, self.p)
        except NotImplementedError:
            return self.log_ratio()
        return divergence.expand(self.value.shape[:2])


@dataclass(frozen=True)
class Trace:
    """All that one forward pass knows. Nothing writes to it."""

    batch: Batch
    sites: Mapping[str, Site]  # in the order in which they are drawn; empty for a plain density model
    px: Distribution  # batch shape [S, B], event shape X
    weights: Tensor | None = None  # [S, B], sums to 1 over S where classes are enumerated; None = Monte Carlo mean

    @cached_property
    def log_px(self) -> Tensor:
        """Ln p(x | z) of every draw, [S, B], nats; computed once."""
        return self.px.log_prob(self.batch.x)

    def average(self, per_sample: Tensor) -> Tensor:
        """Expectation over the samples, averaged over the batch: [S, B] -> 0-d."""
        if self.weights is None:
            return per_sample.mean()
        return (self.weights * per_sample).sum(0).mean()


Terms = dict[str, Tensor]  # 0-d; "loss" is minimised, all are logged
Schedule = Callable[[int], float]  # absolute optimiser step -> value
LearningRate = Callable[[float], float]  # epochs done, whole and part -> factor of the optimiser's learning rate
Infer = Callable[[Tensor, Tensor | None], Distribution]  # x, c -> q(z | x, c)
Penalty = Callable[[Trace], Tensor]  # [] or [B], larger is worse
Features = Mapping[str, Tensor]  # what the encoder says of each latent variable, by its name, [B, *F]
Values = Mapping[str, Tensor]  # of latent variables, by name, [S, B, *Z]


class Passes(Protocol):
    """Passes over a batch that has been read."""

    def __call__(self, num_samples: int, given: Values | None = None) -> Trace:
        """One with so many new draws of every latent variable; those that are `given` keep these values instead."""
        ...


@dataclass(frozen=True)
class Generated:
    """Draws from the model itself."""

    values: Values  # [S, num, *Z], those that others depend on first
    px: Distribution  # batch shape [S, num]


# ---- parts ---------------------------------------------------------------------------------------------------------


class Network(nn.Module, ABC):
    """Features to features. `trainer.precision` lowers the precision inside networks, and nowhere else."""

    @abstractmethod
    def forward(self, h: Tensor, c: Tensor | None = None) -> Tensor:
        """H [N, *in], c [N, *condition] -> [N, *out]; each network mixes c in its own way."""


class Staged(ABC):
    """A part that changes with the optimiser step while it is trained; everywhere else it is as it ends."""

    @abstractmethod
    def at(self, step: int) -> None:
        """Be as at that optimiser step from now on."""


class Head(nn.Module, ABC):
    """Turns features into a distribution. Likelihoods and posteriors are both heads."""

    models: tuple[type, ...]  # the supports that it is a distribution over
    param_shape: Size  # of the features that it takes
    embed_shape: Size  # of `embed(draw)`

    @abstractmethod
    def forward(self, h: Tensor) -> Distribution:
        """Features [*batch, *param_shape] -> a distribution with batch shape [*batch]."""

    def embed(self, draw: Tensor) -> Tensor:
        """A draw [*batch, *event] as the next network reads it, [*batch, *embed_shape]; by default unchanged."""
        return draw


class Prior(nn.Module, ABC):
    """p(z | c)."""

    models: tuple[type, ...] = (Real,)  # the supports that it is a distribution over
    uses_encoder = False  # whether its gradient reaches the encoder

    @abstractmethod
    def forward(self, c: Tensor | None, infer: Infer) -> Distribution:
        """C [B, *C] or None -> a distribution with batch shape [] or [B]; `infer` lets a prior use the encoder."""

    def pictures(self) -> Mapping[str, Tensor]:
        """Events of the shape of x that it is made of, [N, *X], by what they are called."""
        return {}


class Model(nn.Module, ABC):
    """A generative model with its inference network."""

    latents: tuple[str, ...]  # names of its latent variables, those that others depend on first; () for a plain density

    def forward(self, batch: Batch, num_samples: int = 1) -> Trace:
        """One pass: draw each latent `num_samples` times from its posterior and keep all that was computed."""
        return self.passes(batch, self.read(batch))(num_samples)

    @abstractmethod
    def read(self, batch: Batch) -> Features:
        """All that the encoder has to say of the batch; what each posterior is made of."""

    @abstractmethod
    def passes(self, batch: Batch, features: Features) -> Passes:
        """Passes over a batch that has been read; what does not depend on the draws is computed once for all."""

    @abstractmethod
    def inference_parts(self) -> Sequence[nn.Module]:
        """The parts that q(z | x) is made of; the parameters of all others are those of the generative model."""

    @abstractmethod
    def decode(self, values: Values, c: Tensor | None = None) -> Distribution:
        """Values of its latent variables, c [B, *C] -> p(x | z, c) with batch shape [S, B].

        Those that are not given are at the mean of their prior, given those that they depend on.
        """

    @abstractmethod
    def generate(self, num: int, c: Tensor | None = None, temperature: float = 1.0, samples: int = 1) -> Generated:
        """`num` draws of each latent variable from its prior, and p(x | z, c) there; c [num, *C].

        Draws carry gradients to priors whose draws can.

        Args:
            temperature: what the standard deviations of priors are multiplied with.
            samples: S, so many draws under each c.

        Raises:
            ConfigError: where another temperature than 1 has no meaning for a prior.

        """


class Objective(nn.Module, ABC):
    """What is minimised. Owns its critic, if it has one."""

    schedules: Mapping[str, Schedule]
    bounds = True  # whether it reports a bound on ln p(x), and so trains a model that samples can be drawn from

    @abstractmethod
    def forward(self, model: Model, batch: Batch, weights: Mapping[str, float | Tensor]) -> Terms:
        """The scalars of one batch, in nats per example; `weights` are the present values of the schedules."""


class Condition(ABC):
    """Says what c is."""

    size: Size | None  # shape of one c; None = no condition
    reads: str | None  # the field of a batch that c is made of
    words: str | None  # what c is, for users

    @abstractmethod
    def check(self, data: Spec) -> None:
        """ConfigError where c cannot be made of other data than that of training."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Batch:
        """The batch with `c` (and `mask`, where only part of x is to be modelled) filled in."""


# ---- factories: what `conf/` describes and `build` completes ---------------------------------------------------------

NetFactory = Callable[[Size, Size, Size | None], Network]  # (in, out, condition)
Corruption = Callable[[NetFactory], NetFactory]  # of what the encoder reads
HeadFactory = Callable[[Spec], Head]
PriorFactory = Callable[[Spec, Spec], Prior]  # latent (with its condition), data
ObjectiveFactory = Callable[[Spec, Model], Objective]
ConditionFactory = Callable[[Spec], Condition]
OptimizerFactory = Callable[..., torch.optim.Optimizer]


@dataclass(frozen=True)
class Parts:
    """The factories that a structure assembles into a model."""

    latent_dim: int | tuple[int, ...]  # of several latent variables, the one nearest to x first
    encoder: NetFactory
    decoder: NetFactory
    likelihood: HeadFactory
    posterior: HeadFactory
    prior: PriorFactory
    inner: NetFactory  # between latent variables: vector to vector


StructureFactory = Callable[[Spec, Parts], Model]
