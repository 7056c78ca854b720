"""A finished run, to be used: its model with trained weights, and what is known of its data.

Shape legend: S samples, B batch, Z latent event, X data event.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.distributions import Distribution

from vae_cli.accelerator import accelerator_of
from vae_cli.build import build_model
from vae_cli.callbacks.checkpoints import load_checkpoint
from vae_cli.callbacks.content import check_weights
from vae_cli.classes import typed
from vae_cli.data.binarize import binarized
from vae_cli.data.described import described
from vae_cli.data.module import DataModule
from vae_cli.data.telling import outside
from vae_cli.errors import ConfigError
from vae_cli.inference.likelihood import bounds
from vae_cli.making import class_of, made
from vae_cli.noise import by_example, digests, stream
from vae_cli.runs import RunDirectory
from vae_cli.types import Batch, Condition, ConditionFactory, Generated, Model, ObjectiveFactory, Spec

Values = Tensor | np.ndarray | Sequence[Any]


@dataclass(frozen=True)
class Weights:
    """Of one checkpoint."""

    state: Mapping[str, Tensor]  # of the whole experiment
    step: int
    title: str  # which ones they are, for users
    data: str  # fingerprint of what they were trained on


def weights_of(directory: RunDirectory, checkpoint: str, key: str) -> Weights:
    """The weights of a run: `best` by validation loss (of a run that kept none, the last), or `last`.

    Args:
        key: under which the user typed the folder.

    Raises:
        ConfigError: where there are none, or the file is damaged.

    """
    if checkpoint not in ("best", "last"):
        raise ConfigError(f"checkpoint={checkpoint}: best or last")
    names = {"best": "best validation loss", "last": "last"}
    for name in dict.fromkeys((checkpoint, "last")):
        path = directory.checkpoints / f"{name}.ckpt"
        if path.is_file():
            content = load_checkpoint(path)
            step, data = content["global_step"], content[DataModule.__qualname__]["fingerprint"]
            return Weights(content["state_dict"], step, f"{names[name]} (step {step})", data)
    raise ConfigError(f"{key}={directory.path}: no checkpoint there; name the folder of a run")


class Run:
    """A trained model and what it was trained on. Nothing here needs the data itself.

    Inputs are arrays or tensors in the units of the model: 0 and 1, grey levels as level / (count - 1), real numbers.
    What a condition is made of is needed where there is one: labels y [B] (the names of classes as words, or their
    numbers 0, 1, ...), factors [B, F], or x itself [B, *X], of which what is given counts.
    """

    def __init__(self, directory: RunDirectory, config: DictConfig, data: Spec, weights: Weights, device: str) -> None:
        self.directory, self.config, self.data, self.weights = directory, config, data, weights
        self.device = torch.device(device, torch.cuda.current_device()) if device == "cuda" else torch.device(device)
        self.bounds: bool = class_of(
            config.objective, "objective", ObjectiveFactory
        ).bounds  # False for autoencoders, which have no prior
        self.condition: Condition = made(config.condition, "condition", ConditionFactory)(data)
        self._binarize: str = config.dataset.binarize
        with torch.random.fork_rng(devices=[]):
            self.model: Model = build_model(config, data)
        _load(self.model, weights, directory.path)
        self.model.eval().requires_grad_(False).to(self.device)

    @property
    def reads(self) -> str | None:
        """What its condition is made of: `y`, `factors`, `x`, or None."""
        return self.condition.reads

    def batch(self, x: Values, y: Values | None = None, factors: Values | None = None) -> Batch:
        """Examples as the model takes them, x [B, *X].

        Where the run was trained on grey values drawn as 0 and 1 (or by a threshold), values in [0, 1] become 0 and 1
        as `vae-encode` makes them: by a draw that follows from the example alone.

        Raises:
            ConfigError: where x has another shape or is not finite, or what the condition is made of is missing.

        """
        values = torch.as_tensor(x, dtype=torch.float32, device=self.device)
        if values.shape[1:] != self.data.shape:
            wanted = ", ".join(map(str, self.data.shape))
            raise ConfigError(f"x has shape {list(values.shape)}: this model takes [examples, {wanted}]")
        _check_finite(values)
        if len(values):
            low, high = (float(end) for end in values.aminmax())
            for text in outside(self.data.stored, low, high) if {low, high} - {0.0, 1.0} else ():
                warnings.warn(text, stacklevel=3)
            if self._binarize != "none" and low >= 0 and high <= 1:
                values = binarized(values, self._binarize)
        return self._conditioned(values, y, factors)

    def encode(self, x: Values, y: Values | None = None, factors: Values | None = None) -> dict[str, Distribution]:
        """q(z | x) of every latent variable by name, batch shape [B] (each below another given a draw of that one).

        Draws follow from the example alone, as those of `vae-encode`.
        """
        batch = self.batch(x, y, factors)
        with by_example(digests(batch), 0, "codes"):
            return {name: site.q for name, site in self.model(batch).sites.items()}

    def decode(
        self,
        z: Values | Mapping[str, Values],
        y: Values | None = None,
        factors: Values | None = None,
        x: Values | None = None,
    ) -> Distribution:
        """Z [S, B, *Z] -> p(x | z), batch shape [S, B]; of a model with several latent variables, each by its name.

        Raises:
            ConfigError: where what the condition is made of is missing, or the model has no latent variables.

        """
        if not self.model.latents:
            raise ConfigError(
                f"{self.directory.path}: no latent variables, so nothing to decode; generate gives p(x | c)"
            )
        named = z if isinstance(z, Mapping) else {"z": z}
        values = {name: torch.as_tensor(one, dtype=torch.float32, device=self.device) for name, one in named.items()}
        (batch,) = {one.shape[1] for one in values.values()}
        return self.model.decode(values, self._conditions(batch, y, factors, x).c)

    def generate(
        self,
        num: int,
        y: Values | None = None,
        factors: Values | None = None,
        x: Values | None = None,
        *,
        seed: int = 0,
        temperature: float = 1.0,
    ) -> Generated:
        """`num` draws of z from the prior, and p(x | z) there, batch shape [1, num]; its mean makes papers' pictures.

        Args:
            temperature: what the standard deviations of the prior are multiplied with.

        Raises:
            ConfigError: for an autoencoder.

        """
        if not self.bounds:
            raise ConfigError(f"{self.directory.path}: an autoencoder has no prior, so nothing can be drawn from it")
        c = self._conditions(num, y, factors, x).c
        with stream(self.device, seed, "generate"):
            return self.model.generate(num, c, temperature)

    def sample(
        self,
        num: int,
        y: Values | None = None,
        factors: Values | None = None,
        x: Values | None = None,
        *,
        seed: int = 0,
        temperature: float = 1.0,
    ) -> Tensor:
        """`num` draws of x from the model, noise of p(x | z) included, [num, *X]; what is given of x stays."""
        px = self.generate(num, y, factors, x, seed=seed, temperature=temperature).px
        with stream(self.device, seed, "sample"):
            return self._conditions(num, y, factors, x).completed(px.sample()[0])

    def log_prob(
        self,
        x: Values,
        y: Values | None = None,
        factors: Values | None = None,
        *,
        samples: int = 500,
        seed: int = 0,
        memory: int = 10**9,
    ) -> Tensor:
        """An estimate of ln p(x) from below for every example: the importance-weighted bound, [N], nats, float64.

        Args:
            samples: exactly so many draws for each example, which depend on it and on the seed alone.
            memory: bytes that one pass may take, about.

        Raises:
            ConfigError: for an autoencoder.

        """
        if not self.bounds:
            raise ConfigError(f"{self.directory.path}: an autoencoder has no prior, so no bound on ln p(x)")
        if samples < 1:
            raise ConfigError(f"samples={samples}: 1 or more")
        batch = self.batch(x, y, factors)
        if len(batch.x) == 0:
            raise ConfigError("x holds no examples")
        return bounds(self.model, batch, samples, seed=seed, memory=memory).importance_weighted

    def _conditions(self, num: int, y: Values | None, factors: Values | None, x: Values | None) -> Batch:
        """So many examples with their conditions; x is zero where these do not read it."""
        if self.reads != "x":
            return self._conditioned(torch.zeros((num, *self.data.shape), device=self.device), y, factors)
        if x is None:
            raise ConfigError("this model was trained with a condition: x is needed, of which what is given counts")
        batch = self.batch(x)
        if len(batch.x) != num:
            raise ConfigError(f"{num} examples have {len(batch.x)} rows of x")
        return batch

    def _conditioned(self, x: Tensor, y: Values | None, factors: Values | None) -> Batch:
        numbers = self._classes(y)
        known = [None if one is None else torch.as_tensor(one, device=self.device).long() for one in (numbers, factors)]
        for name, one in zip(("y", "factors"), known, strict=True):
            if one is not None and len(one) != len(x):
                raise ConfigError(f"{len(x)} examples have {len(one)} rows of {name}")
        batch = Batch(x, known[0], factors=known[1])
        if self.condition.reads is not None and getattr(batch, self.condition.reads) is None:
            raise ConfigError(f"this model was trained with a condition: {self.condition.reads} is needed")
        return self.condition(batch)

    def _classes(self, y: Values | None) -> Values | None:
        """The numbers of classes that are given by their names or numbers; ConfigError for what is no class."""
        if y is None or isinstance(y, Tensor):
            return y
        words = np.asarray(y)
        return typed(words.tolist(), self.data.named_classes, "y") if words.dtype.kind == "U" else y


def load_run(
    path: str | Path, *, checkpoint: str = "best", trust: Sequence[str] = (), accelerator: str = "auto"
) -> Run:
    """The model of a run directory, ready to encode, decode, sample and score.

    Args:
        checkpoint: `best` by validation loss, or `last`.
        trust: modules of your own that its config names.
        accelerator: `auto` (a GPU where there is one), `cpu` or `cuda`.

    Raises:
        ConfigError: where it is no run, is damaged, of another version, or names something that is not trusted.

    """
    directory = RunDirectory(Path(path).expanduser())
    config, record = directory.read_config(list(trust))
    data = recorded_data(directory, record)
    return Run(
        directory, config, data, weights_of(directory, checkpoint, "run"), accelerator_of(accelerator, "accelerator")
    )


def _check_finite(x: Tensor) -> None:
    """ConfigError that names the first value that is no finite number."""
    if not x.isfinite().all():
        row, *place = (~x.isfinite()).nonzero()[0].tolist()
        value = float(x[(row, *place)])
        raise ConfigError(
            f"x holds {value} in row {row}, column {','.join(map(str, place))}: finite numbers are needed"
        )


def recorded_data(directory: RunDirectory, record: Mapping[str, Any]) -> Spec:
    """What the data said of itself when the run began; ConfigError where the record is damaged."""
    try:
        return described(record["data"])
    except (ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise ConfigError(f"{directory.path / 'config.yaml'} is damaged: it does not describe the data") from error


def _load(model: Model, weights: Weights, path: Path) -> None:
    """ConfigError where they are those of another model."""
    own = {name.removeprefix("model."): value for name, value in weights.state.items() if name.startswith("model.")}
    try:
        check_weights(own, model)
        model.load_state_dict(own)
    except ValueError as error:
        raise ConfigError(f"{path}: its weights do not fit its config ({error}); restore what was changed") from error
