"""Config -> data, model, objective, experiment."""

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.resources import files
from typing import Any, get_type_hints

import torch
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from vae_cli.data.base import Data
from vae_cli.data.binarize import binarize, resolve
from vae_cli.data.module import DataModule
from vae_cli.errors import ConfigError
from vae_cli.experiment import Experiment
from vae_cli.monitors import BitsPerDimension, ImportanceWeightedBound, Monitor
from vae_cli.noise import stream
from vae_cli.types import (
    Binary,
    Condition,
    Corruption,
    Head,
    HeadFactory,
    LearningRate,
    Levels,
    Model,
    NetFactory,
    Objective,
    ObjectiveFactory,
    OptimizerFactory,
    Parts,
    PriorFactory,
    Real,
    Spec,
    StructureFactory,
    Support,
    Tokens,
    UnitInterval,
)


def build_data(config: DictConfig) -> DataModule:
    """Reads the data set and makes it ready; `dataset.binarize=auto` becomes the choice made, in `config` too.

    Raises:
        ConfigError: where files are missing or damaged, or the likelihood cannot model the data.

    """
    source = _made(config.dataset.source, "dataset.source")
    likelihood = _target(config.likelihood)
    config.dataset.binarize = resolve(config.dataset.binarize, source.support, likelihood.models)
    data = binarize(source, config.dataset.binarize)
    _check_likelihood(data, likelihood)
    sizes = {key: config.dataset[key] for key in ("batch_size", "eval_batch_size")}
    _check_types(DataModule, sizes, "dataset")
    condition: Condition = _made(config.condition, "condition")(data.spec)
    return DataModule(
        data.conditioned(condition.size),
        condition,
        **sizes,
        seed=config.seed,
    )


def build_model(config: DictConfig, data: Spec) -> Model:
    """The model that `config` describes, its weights drawn from the seed alone."""
    torch.manual_seed(config.seed)
    corruption: Corruption = _made(config.corruption, "corruption")
    encoder: NetFactory = corruption(_made(config.architecture.encoder, "architecture.encoder"))
    decoder: NetFactory = _made(config.architecture.decoder, "architecture.decoder")
    likelihood: HeadFactory = _made(config.likelihood, "likelihood")
    posterior: HeadFactory = _made(config.posterior, "posterior")
    prior: PriorFactory = _made(config.prior, "prior")
    structure: StructureFactory = _made(config.structure, "structure")
    _check_latent(config.latent_dim, data)
    try:
        return structure(data, Parts(config.latent_dim, encoder, decoder, likelihood, posterior, prior))
    except RuntimeError as error:
        if "allocate" in str(error):
            raise ConfigError(
                "the model does not fit into memory: choose a smaller architecture or latent_dim"
            ) from error
        raise


def build_experiment(config: DictConfig, data: DataModule) -> Experiment:
    """Model, objective and optimiser in one LightningModule.

    Raises:
        ConfigError: where a value does not fit its part, or two parts do not fit together.

    """
    model = build_model(config, data.spec)
    make_objective: ObjectiveFactory = _made(config.objective, "objective")
    objective: Objective = make_objective(data.spec, model)
    learning_rate: LearningRate = _made(config.lr_schedule, "lr_schedule")
    return Experiment(
        model,
        objective,
        _optimizer(config.optimizer),
        lr_factor=lambda step: learning_rate(step / len(data.train)),
        monitors=_monitors(config, data.spec),
        seed=config.seed,
    )


def rehearse(experiment: Experiment, data: DataModule) -> None:
    """The objective and the monitors once, on two validation examples, leaving no trace.

    Raises:
        ConfigError: where parts do not fit together in a way that only a pass over the data shows.

    """
    experiment.eval()
    with torch.no_grad(), stream(torch.device("cpu"), "rehearsal"):
        experiment.evaluate(data.val.peek(torch.arange(min(2, data.val.num_rows()))))
    experiment.train()


def _monitors(config: DictConfig, data: Spec) -> list[Monitor]:
    found: list[Monitor] = []
    if _target(config.likelihood).models == (Levels,):
        found.append(BitsPerDimension(data.shape.numel()))
    if config.logging.importance_samples:
        found.append(ImportanceWeightedBound(config.logging.importance_samples))
    return found


def _made(node: DictConfig, name: str) -> Any:
    """What a node of the config describes, its values of the types that the constructor asks for.

    Our own errors come as they are, not wrapped by Hydra.
    """
    _check_node(node, name)
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        raise


def _check_node(node: DictConfig, name: str) -> None:
    """`_check_types` of all that a node describes, what lies below it included."""
    values = {key: node[key] for key in node if not str(key).startswith("_")}
    _check_types(_target(node), values, name)
    for key, value in values.items():
        if isinstance(value, DictConfig) and "_target_" in value:
            _check_node(value, f"{name}.{key}")


def _check_types(target: Callable[..., Any], values: Mapping[Any, Any], name: str) -> None:
    """ConfigError for a number, word or switch that is of another type than the annotation says."""
    hints = get_type_hints(target.__init__ if isinstance(target, type) else target)
    for key, value in values.items():
        accepted, wanted = _ACCEPTED.get(hints.get(key), ((object,), ""))
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in (*accepted, object)):
            raise ConfigError(f"{name}.{key}={value}: {wanted} is needed")


_ACCEPTED: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a word"),
    bool: ((bool,), "true or false"),
    str | None: ((str, type(None)), "a word or null"),
    int | None: ((int, type(None)), "a whole number or null"),
}


def _optimizer(config: DictConfig) -> OptimizerFactory:
    lr = config.lr
    if not isinstance(lr, int | float) or isinstance(lr, bool) or not (0 < lr < math.inf):
        raise ConfigError(f"optimizer.lr={lr}: a learning rate is a positive number")
    _target(config)
    factory = instantiate(config, _convert_="all")
    try:
        factory([torch.nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer: {error}") from error
    return factory


def _check_likelihood(data: Data, likelihood: type[Head]) -> None:
    support = data.spec.support
    if type(support) in likelihood.models:
        return
    fitting = [name for name, head in _likelihoods().items() if type(support) in head.models]
    advice = f"choose likelihood={' or likelihood='.join(fitting)}" if fitting else "no likelihood here models them"
    if Binary in likelihood.models and isinstance(support, Levels | UnitInterval):
        advice += ", or dataset.binarize=dynamic"
    wanted = " or ".join(_plural(kind) for kind in likelihood.models)
    raise ConfigError(f"{likelihood.__name__} models {wanted}, and this data set holds {_describe(support)}: {advice}")


def _check_latent(latent_dim: int, data: Spec) -> None:
    coordinates = data.shape.numel()
    if latent_dim > coordinates:
        raise ConfigError(
            f"latent_dim={latent_dim}: x has {coordinates} coordinates, and a larger latent has nothing to tell of it: "
            f"use latent_dim={coordinates} or less"
        )


def _plural(kind: type) -> str:
    names = {
        Binary: "0 and 1",
        UnitInterval: "values in [0, 1]",
        Levels: "grey levels",
        Tokens: "tokens",
        Real: "real numbers",
    }
    return names[kind]


def _describe(support: Support) -> str:
    if isinstance(support, Levels | Tokens):
        return f"{support.count} {_plural(type(support))}"
    return _plural(type(support))


def _likelihoods() -> dict[str, type[Head]]:
    """Every likelihood in `conf/`, by the name that users type."""
    leaves = sorted(files("vae_cli.conf").joinpath("likelihood").iterdir(), key=lambda leaf: leaf.name)
    return {leaf.name.removesuffix(".yaml"): _target(yaml.safe_load(leaf.read_text())) for leaf in leaves}


def _target(leaf: Any) -> Any:
    """What a leaf names; ConfigError where there is no such thing."""
    target = str(leaf["_target_"])
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"_target_: {target} cannot be imported ({error}); your own modules are found in the folders of PYTHONPATH"
        ) from error
