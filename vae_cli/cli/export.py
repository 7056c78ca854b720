"""vae-export: write the model of a finished run as files that need this package no more."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from vae_cli.cli.finished import FinishedConfig, run_finished, the_run
from vae_cli.errors import ConfigError
from vae_cli.exporting.files import FILES
from vae_cli.telling import say


@dataclass
class ExportConfig(FinishedConfig):
    """Root of `vae-export`."""

    out: str | None = None


def main() -> None:
    """Entry point of `vae-export`."""
    run_finished("export", ExportConfig, _export)


def _export(config: DictConfig) -> int:
    out = _out(config)
    directory = the_run(config)
    from vae_cli.exporting.export import export_run

    for line in export_run(directory, config, out):
        say(line)
    return 0


def _out(config: DictConfig) -> Path:
    """The folder to write; ConfigError where that cannot be, or would take the place of something else."""
    out = Path(config.run, "export") if config.out is None else Path(config.out)
    if not out.parent.is_dir():
        raise ConfigError(f"out={out}: there is no folder {out.parent}")
    if out.exists() and not (out.is_dir() and {place.name for place in out.iterdir()} <= {*FILES}):
        raise ConfigError(f"out={out} is there, and is no export that could be replaced: name another folder")
    return out
