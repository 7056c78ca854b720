"""Config -> data, model, objective, experiment."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig

from vae_cli.data.base import Data, Source, known_as
from vae_cli.data.binarize import binarize, resolve
from vae_cli.data.described import VALUES, in_words
from vae_cli.data.module import DataModule
from vae_cli.errors import ConfigError, is_out_of_memory
from vae_cli.experiment import Experiment
from vae_cli.leaves import leaves
from vae_cli.making import check_types, class_of, made, target_of
from vae_cli.monitors import BitsPerDimension, ImportanceWeightedBound, Monitor
from vae_cli.nodes import set_throughout
from vae_cli.noise import stream
from vae_cli.schedules import FINAL_STEP
from vae_cli.types import (
    Binary,
    Condition,
    ConditionFactory,
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
    Prior,
    PriorFactory,
    Spec,
    StructureFactory,
    Support,
    Terms,
    UnitInterval,
)


def build_data(config: DictConfig, recorded: Spec | None = None) -> DataModule:
    """Reads the data set and makes it ready; what is `auto` in its node becomes the choice made, in `config` too.

    Args:
        recorded: what the data said of itself when the run began; None for a new run.

    Raises:
        ConfigError: where files are missing or damaged, or the likelihood cannot model the data.

    """
    for key in ("path", "root") if recorded is None else ():
        if config.dataset.get(key):
            found = Path(config.dataset[key]).expanduser().absolute()  # a run may be used from other folders
            set_throughout(config.dataset, key, str(found))
    source: Source = made(config.dataset.source, "dataset.source", Source)
    source.check_trainable()
    if recorded is not None:
        source = known_as(recorded, source)
    likelihood = class_of(config.likelihood, "likelihood", HeadFactory)
    config.dataset.binarize = resolve(config.dataset.binarize, source.support, likelihood.models)
    for key, value in source.chosen.items():
        set_throughout(config.dataset, key, value)
    data = binarize(source, config.dataset.binarize)
    _check_likelihood(data, source.support, likelihood)
    condition: Condition = made(config.condition, "condition", ConditionFactory)(data.spec)
    condition.check(replace(data.spec, class_names=data.class_names))
    return loaded(data.conditioned(condition.size), condition, config.dataset, config.seed)


def loaded(data: Data, condition: Condition, dataset: DictConfig, seed: int) -> DataModule:
    """The data in batches of the sizes that its node says."""
    sizes = {key: dataset[key] for key in ("batch_size", "eval_batch_size")}
    check_types(DataModule, sizes, "dataset")
    return DataModule(data, condition, **sizes, seed=seed)


def build_model(config: DictConfig, data: Spec) -> Model:
    """The model that `config` describes, its weights drawn from the seed alone."""
    torch.manual_seed(config.seed)
    corruption: Corruption = made(config.corruption, "corruption", Corruption)
    encoder: NetFactory = corruption(made(config.architecture.encoder, "architecture.encoder", NetFactory))
    decoder: NetFactory = made(config.architecture.decoder, "architecture.decoder", NetFactory)
    inner: NetFactory = made(config.architecture.inner, "architecture.inner", NetFactory)
    likelihood: HeadFactory = made(config.likelihood, "likelihood", HeadFactory)
    posterior: HeadFactory = made(config.posterior, "posterior", HeadFactory)
    prior: PriorFactory = made(config.prior, "prior", PriorFactory)
    structure: StructureFactory = made(config.structure, "structure", StructureFactory)
    latent_dim = _latent_dim(config.latent_dim, data)
    _check_prior(class_of(config.posterior, "posterior", HeadFactory), class_of(config.prior, "prior", PriorFactory))
    try:
        return structure(data, Parts(latent_dim, encoder, decoder, likelihood, posterior, prior, inner))
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise ConfigError(
                "the model does not fit into memory: choose a smaller architecture, posterior, prior or latent_dim"
            ) from error
        raise


def build_experiment(config: DictConfig, data: DataModule) -> Experiment:
    """Model, objective and optimiser in one LightningModule.

    Raises:
        ConfigError: where a value does not fit its part, or two parts do not fit together.

    """
    model = build_model(config, data.spec)
    make_objective: ObjectiveFactory = made(config.objective, "objective", ObjectiveFactory)
    objective: Objective = make_objective(data.spec, model)
    learning_rate: LearningRate = made(config.lr_schedule, "lr_schedule", LearningRate)
    return Experiment(
        model,
        objective,
        _optimizer(config.optimizer),
        lr_factor=lambda step: learning_rate(step / len(data.train)),
        monitors={
            "val": _monitors(config, data.spec, objective, "importance_samples"),
            "test": _monitors(config, data.spec, objective, "test_importance_samples"),
        },
        seed=config.seed,
    )


def rehearse(experiment: Experiment, data: DataModule) -> list[str]:
    """The objective as at the end and as at the start of training, on two validation examples, leaving no trace.

    Returns:
        names of the terms that training adds up.

    Raises:
        ConfigError: where parts do not fit together in a way that only a pass over the data shows, or give a term that
            is no finite number.

    """
    buffers = {name: buffer.clone() for name, buffer in experiment.named_buffers()}
    with torch.no_grad(), stream(torch.device("cpu"), "rehearsal"):
        batch = data.val.peek(torch.arange(min(2, data.val.num_rows())))
        for training, step in ((False, FINAL_STEP), (True, 0)):
            experiment.train(training)
            terms = experiment.objective(experiment.model, batch, experiment.schedule_values(step))
            _refuse_non_finite(terms)
    for name, buffer in experiment.named_buffers():
        buffer.copy_(buffers[name])
    return list(terms)


def _refuse_non_finite(terms: Terms) -> None:
    """ConfigError that names the term, the parts of the bound before their sums."""
    for name, term in reversed(terms.items()):
        if not term.isfinite():
            raise ConfigError(
                f"{name} is {term.item()} before the first step: the values of x are too large for this model (scale "
                "them), or a weight of the objective or a scale of the likelihood is extreme"
            )


def _monitors(config: DictConfig, data: Spec, objective: Objective, key: str) -> list[Monitor]:
    """`key`: of the draws of the importance-weighted bound, in `logging`."""
    found: list[Monitor] = []
    if class_of(config.likelihood, "likelihood", HeadFactory).models == (Levels,):
        found.append(BitsPerDimension())
    if (samples := config.logging[key]) and not objective.bounds:
        raise ConfigError(f"logging.{key}={samples}: this objective trains no bound; use logging.{key}=0")
    if samples:
        likelihood: HeadFactory = made(config.likelihood, "likelihood", HeadFactory)
        found.append(ImportanceWeightedBound(samples, likelihood(data).param_shape.numel()))
    return found


def _optimizer(config: DictConfig) -> OptimizerFactory:
    lr = config.lr
    if not isinstance(lr, int | float) or isinstance(lr, bool) or not (0 < lr < math.inf):
        raise ConfigError(f"optimizer.lr={lr}: a learning rate is a positive number")
    factory: OptimizerFactory = made(config, "optimizer", OptimizerFactory)
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.ones(1)
    try:
        factory([parameter]).step()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"optimizer: {' '.join(str(error).split())}") from error
    return factory


def _check_likelihood(data: Data, stored: Support, likelihood: type[Head]) -> None:
    """ConfigError where it cannot model the data as read; `stored`: before binarisation."""
    support = data.spec.support
    if type(support) in likelihood.models:
        return
    fitting = [name for name, head in _choices("likelihood").items() if type(support) in head.models]
    advice = f"choose likelihood={' or likelihood='.join(fitting)}" if fitting else "no likelihood here models them"
    if Binary in likelihood.models and isinstance(support, Levels | UnitInterval):
        advice += ", or dataset.binarize=dynamic"
    if type(stored) in likelihood.models:
        advice += ", or dataset.binarize=none"
    wanted = " or ".join(VALUES[kind] for kind in likelihood.models)
    name = _name("likelihood", likelihood)
    raise ConfigError(f"likelihood={name} models {wanted}, and this data set holds {in_words(support)}: {advice}")


def _check_prior(posterior: type[Head], prior: type[Prior]) -> None:
    """ConfigError where no z that the posterior gives is one that the prior is a density of."""
    if {*posterior.models} & {*prior.models}:
        return
    fitting = {
        "prior": [name for name, other in _choices("prior").items() if {*other.models} & {*posterior.models}],
        "posterior": [name for name, other in _choices("posterior").items() if {*other.models} & {*prior.models}],
    }
    axis = min(fitting, key=lambda one: len(fitting[one]) or math.inf)  # the one with less to choose from
    other = "posterior" if axis == "prior" else "prior"
    raise ConfigError(
        f"posterior={_name('posterior', posterior)} gives {VALUES[posterior.models[0]]}, and "
        f"prior={_name('prior', prior)} is over {VALUES[prior.models[0]]}: choose "
        f"{axis}={f' or {axis}='.join(fitting[axis])}, or another {other}"
    )


def _latent_dim(typed: int | ListConfig, data: Spec) -> int | tuple[int, ...]:
    coordinates = data.shape.numel()
    sizes = tuple(typed) if isinstance(typed, ListConfig) else (typed,)
    for size in sizes:
        if size < 1:
            raise ConfigError(f"latent_dim={typed}: the latent needs at least 1 dimension")
        if size > coordinates:
            raise ConfigError(
                f"latent_dim={typed}: x has {coordinates} coordinates, and a larger latent has nothing to tell of it: "
                f"use latent_dim={coordinates} or less"
            )
    return sizes if isinstance(typed, ListConfig) else typed


def _choices(group: str) -> dict[str, Any]:
    """What every leaf of a group in `conf/` names, by the name that users type."""
    return {name: target_of(leaf) for name, leaf in leaves(group).items()}


def _name(group: str, target: Any) -> str:
    """That users type for it."""
    names = [name for name, other in _choices(group).items() if other is target]
    return names[0] if names else target.__name__
