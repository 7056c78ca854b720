"""vae-sample: draw from a finished run, and look at what it has learned."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from vae_cli.cli.choices import overrides_of
from vae_cli.cli.finished import ComputingConfig, for_every_run, run_finished
from vae_cli.cli.looping import shown
from vae_cli.errors import ConfigError
from vae_cli.runs import RunDirectory
from vae_cli.telling import say

# Each kind, with the root keys that it reads besides those of every command.
KINDS = {
    "samples": {"n", "temperature", "labels"},
    "reconstructions": {"n", "split"},
    "traversals": {"n", "split"},
    "interpolations": {"n", "split"},
    "class_grid": {"n", "temperature", "labels"},
    "manifold": {"n", "labels"},
    "impute": {"n", "split"},
}


@dataclass
class SampleConfig(ComputingConfig):
    """Root of `vae-sample`."""

    what: Any = MISSING
    n: int | None = None
    split: str = MISSING
    temperature: float = MISSING
    labels: list[Any] = field(default_factory=list)
    out: str | None = None
    dataset: Any = MISSING
    samples: Any = MISSING
    reconstructions: Any = MISSING
    traversals: Any = MISSING
    interpolations: Any = MISSING
    class_grid: Any = MISSING
    manifold: Any = MISSING
    impute: Any = MISSING


def main() -> None:
    """Entry point of `vae-sample`."""
    run_finished("sample", SampleConfig, _sample)


def _sample(config: DictConfig) -> int:
    words = list(config.what) if isinstance(config.what, ListConfig) else [config.what]
    if not words or not all(word in KINDS for word in words):
        raise ConfigError(f"what={','.join(map(str, words))}: choose some of {', '.join(KINDS)}")
    _refuse_unread(words)
    if config.out is not None and not RunDirectory(Path(config.run)).holds_a_run():
        raise ConfigError(f"out={config.out}: one folder is for one run, and run={config.run} holds several")
    return for_every_run(OmegaConf.merge(config, {"what": words}), _make)  # pyright: ignore[reportArgumentType]


def _refuse_unread(words: list[str]) -> None:
    """ConfigError for a key that was typed and that none of the kinds reads."""
    typed = {word.partition("=")[0].split(".")[0] for word in overrides_of(sys.argv[1:])}
    known = set().union(*KINDS.values()) | KINDS.keys()
    read = set().union(*(KINDS[word] for word in words)) | set(words)
    for key in sorted(typed & known - read):
        readers = [kind for kind, keys in KINDS.items() if key in keys or key == kind]
        raise ConfigError(f"{key} was given, and what={','.join(words)} does not read it: {', '.join(readers)} would")


def _make(directory: RunDirectory, config: DictConfig) -> None:
    from vae_cli.sampling.making import make

    with shown(config.progress) as progress:
        for line in make(directory, config, progress):
            say(line)
