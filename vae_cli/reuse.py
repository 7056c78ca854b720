"""A finished run in use again: loaded as a command asks, with its own data or with other data as its model takes it."""

from dataclasses import replace

import torch
from omegaconf import DictConfig, OmegaConf

from vae_cli.allocator import keep_freed_memory
from vae_cli.build import build_data, loaded
from vae_cli.data.base import Source, known_as, scale_of
from vae_cli.data.binarize import binarize, resolve
from vae_cli.data.described import in_words
from vae_cli.data.module import DataModule
from vae_cli.data.telling import outside
from vae_cli.errors import ConfigError
from vae_cli.loading import Run, load_run
from vae_cli.making import made
from vae_cli.nodes import set_throughout
from vae_cli.precision import lower_networks, set_float32_precision
from vae_cli.runs import RunDirectory
from vae_cli.types import Binary, Levels, Real, Spec, Support, UnitInterval


def reopened(directory: RunDirectory, config: DictConfig) -> Run:
    """Its model, computing as the command's `checkpoint`, `trust`, `accelerator` and `precision` say."""
    run = load_run(
        directory.path, checkpoint=config.checkpoint, trust=list(config.trust), accelerator=config.accelerator
    )
    keep_freed_memory()
    set_float32_precision("highest")
    if config.precision == "bf16-mixed":
        lower_networks(run.model, run.device.type, torch.bfloat16)
    return run


def own_data(run: Run) -> DataModule:
    """What it was trained on; pixels that were drawn anew at every access have one draw for good.

    Raises:
        ConfigError: where the files hold something else now.

    """
    config = OmegaConf.create(OmegaConf.to_container(run.config, resolve=True))
    assert isinstance(config, DictConfig)
    config.dataset.binarize = _drawn_once(config.dataset.binarize)
    data = build_data(config, run.data)
    if data.fingerprint != run.weights.data:
        raise ConfigError(
            f"run={run.directory.path}: the data is not what this run was trained on (checksum "
            f"{data.fingerprint}, then {run.weights.data}): restore the files, or name where they lie with "
            "dataset.root= or dataset.path="
        )
    return data.to(run.device)


def other_data(run: Run, dataset: DictConfig) -> DataModule:
    """Another data set, which may be too small to train on, with the condition, the classes and the scale of the run.

    Args:
        dataset: a leaf of `conf/dataset`. Its `binarize=auto` makes pixels 0 and 1 where the model takes those: as the
            run did, or by draws where it had nothing to do.

    Raises:
        ConfigError: where x has another shape or other values than the model takes, or its condition reads what this
            data does not have.

    """
    _as_in_training(run, dataset)
    source: Source = known_as(run.data, made(dataset.source, "dataset.source", Source))
    choice = resolve(dataset.binarize, source.support, (type(run.data.support),))
    if (dataset.binarize, choice, run.config.dataset.binarize) == ("auto", "dynamic", "threshold"):
        choice = "threshold"
    _check_taken(run.data, source, choice)
    data, scale = binarize(source, _drawn_once(choice)), scale_of(source.support)
    run.condition.check(replace(data.spec, class_names=data.class_names))
    range_differs = outside(run.data.stored, source.summary.low / scale, source.summary.high / scale)
    data = replace(data, warnings=(*source.warnings, *range_differs))
    return loaded(data.conditioned(run.condition.size), run.condition, dataset, run.config.seed).to(run.device)


def _drawn_once(binarize: str) -> str:
    """Nothing is drawn anew outside training."""
    return "static" if binarize == "dynamic" else binarize


def _as_in_training(run: Run, dataset: DictConfig) -> None:
    """Settings of the data that are left to be found are those of the run."""
    stored, shape = run.data.stored, run.data.shape
    found = {key: run.config.dataset.get(key, "auto") for key in ("levels", "bits")}
    if stored is not None and isinstance(stored.support, Levels):
        found["levels"] = stored.support.count
    if len(shape) == 3 and shape[0] in (1, 3):
        found["channels"] = shape[0]
    for key, value in found.items():
        if dataset.get(key) == "auto":
            set_throughout(dataset, key, value)


_TAKEN_TOO: dict[type, tuple[type, ...]] = {UnitInterval: (Binary, Levels), Real: (Binary, UnitInterval)}
"""Narrower values that a model of wider ones takes, in the same units; a file of few numbers may hold no others."""


def _check_taken(taken: Spec, source: Source, choice: str) -> None:
    support: Support = source.support if choice == "none" else Binary()
    fits = support == taken.support or isinstance(support, _TAKEN_TOO.get(type(taken.support), ()))
    if not fits or source.train.shape != taken.shape:
        raise ConfigError(
            f"this model takes {in_words(taken.support)} in the shape {list(taken.shape)}, and this data set gives "
            f"{in_words(support)} in the shape {list(source.train.shape)}"
        )
