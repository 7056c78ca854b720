"""Make what was asked for of one run, and keep it."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig

from vae_cli.errors import ConfigError
from vae_cli.evaluation.subject import Subject
from vae_cli.files import refuse_link
from vae_cli.progress import Progress
from vae_cli.reuse import reopened
from vae_cli.runs import RunDirectory, place_data
from vae_cli.sampling.request import Request
from vae_cli.sampling.result import Result, keep

Kind = Callable[[Request, DictConfig], Result]


def make(directory: RunDirectory, config: DictConfig, progress: Progress) -> Iterator[str]:
    """Lines for the user, as files are written.

    Args:
        config: of `vae-sample`.

    Raises:
        ConfigError: where it is no run, its data cannot be had, or it can give nothing of what was asked for; of
            several kinds, those that it cannot give are told, and the others made.

    """
    run = reopened(directory, config)
    place_data(run.config, {key: value for key, value in config.dataset.items() if value is not None})
    subject = Subject(run, config.split, None, config.seed, progress=progress)
    request = Request(subject, config.n, config.temperature, list(config.labels))
    folder = directory.path / "samples" if config.out is None else Path(config.out)
    with directory.locked() if config.out is None else nullcontext():  # what is only read may lie where none can write
        refuse_link(directory.path / "samples")
        refused: list[str] = []
        for name in config.what:
            kind: Kind = getattr(import_module(f"vae_cli.sampling.{name}"), name)
            try:
                result = kind(request, config[name])
            except ConfigError as error:
                refused.append(f"{name}: skipped: {error}")
                if len(config.what) == 1:
                    raise
                yield refused[-1]
                continue
            yield from keep(result, name, folder, run.data)
        if len(refused) == len(config.what):
            raise ConfigError(f"what={','.join(config.what)}: nothing of it fits this model or its data")
