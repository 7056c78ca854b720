"""vae-eval: judge a finished run."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig

from vae_cli.cli.finished import ComputingConfig, for_every_run, run_finished
from vae_cli.cli.looping import shown
from vae_cli.errors import ConfigError
from vae_cli.progress import foretold
from vae_cli.runs import RunDirectory
from vae_cli.telling import say, warn

GROUPS = ("likelihood", "latents", "disentanglement", "clustering", "probes")


@dataclass
class EvalConfig(ComputingConfig):
    """Root of `vae-eval`."""

    metrics: list[str] = field(default_factory=list)
    split: str = MISSING
    examples: int | None = None
    memory: int = MISSING
    again: bool = MISSING
    dataset: Any = MISSING
    likelihood: Any = MISSING
    latents: Any = MISSING
    disentanglement: Any = MISSING
    clustering: Any = MISSING
    probes: Any = MISSING


def main() -> None:
    """Entry point of `vae-eval`."""
    run_finished("eval", EvalConfig, _evaluate)


def _evaluate(config: DictConfig) -> int:
    unknown = [name for name in config.metrics if name not in GROUPS]
    if unknown or not config.metrics:
        raise ConfigError(f"metrics=[{','.join(config.metrics)}]: choose some of {', '.join(GROUPS)}")
    return for_every_run(config, _judge)


def _judge(directory: RunDirectory, config: DictConfig) -> None:
    from vae_cli.evaluation.judging import Voice, judge

    with shown(config.progress) as progress:
        judge(directory, config, foretold(progress, warn), Voice(say, warn))
