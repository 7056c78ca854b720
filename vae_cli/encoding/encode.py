"""The codes of examples by a finished run, written as they are made."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from vae_cli.data.module import DataModule
from vae_cli.data.ordered import ordered
from vae_cli.encoding.columns import Columns, columns
from vae_cli.encoding.npz import write_npz
from vae_cli.encoding.parquet import write_parquet
from vae_cli.errors import ConfigError
from vae_cli.loading import Run
from vae_cli.progress import Progress
from vae_cli.reuse import other_data, own_data, reopened
from vae_cli.runs import RunDirectory, place_data
from vae_cli.telling import warn

_WRITERS = {".npz": write_npz, ".parquet": write_parquet}


def encode(directory: RunDirectory, config: DictConfig, out: Path, progress: Progress) -> Iterator[str]:
    """Lines for the user, when all is written.

    Args:
        config: of `vae-encode`.
        out: the file, which ends as one of the writers asks.

    Raises:
        ConfigError: where it is no run, or the data cannot be had or is not what the model takes.
        OSError: that names `out`, where it cannot be written.

    """
    run = reopened(directory, config)
    if not run.model.latents:
        raise ConfigError(f"{directory.path}: this model has no latent variables, so there are no codes")
    data = _data(run, config.dataset)
    examples = ordered(data, config.split)
    for text in data.warnings:
        warn(f"warning: {text}")
    size = data.eval_batch_size
    batches = progress(examples.batches(size), "codes", math.ceil(len(examples) / size))
    found = (
        {**columns(run.model, batch, places, config.seed, config.sample), **_files(data.files, places)}
        for batch, places in zip(batches, examples.places.split(size), strict=True)
    )
    shapes: dict[str, list[int]] = {}
    names = {"factor_names": [factor.name for factor in data.spec.factors], "class_names": data.class_names}
    _WRITERS[out.suffix](out, len(examples), names, _noted(found, shapes))
    yield f"{out}: {len(examples)} examples ({config.split}); weights: {run.weights.title}"
    for name, shape in shapes.items():
        yield f"  {name:<20} {[len(examples), *shape]}"


def _files(names: Sequence[str] | None, places: Tensor) -> Columns:
    """`file` [B], the name of each example's own file, in words of one length for all files."""
    if names is None:
        return {}
    longest = max(map(len, names))
    return {"file": np.array([names[place] for place in places.tolist()], f"U{longest}")}


def _data(run: Run, dataset: DictConfig) -> DataModule:
    """A data set that was chosen, or the run's own, where that now lies."""
    if "source" in dataset:
        return other_data(run, dataset)
    place_data(run.config, {key: value for key, value in dataset.items() if value is not None})
    return own_data(run)


def _noted(batches: Iterable[Columns], shapes: dict[str, list[int]]) -> Iterator[Columns]:
    """The same, and the shape of a row of each array."""
    for batch in batches:
        shapes.update({name: list(values.shape[1:]) for name, values in batch.items()})
        yield batch
