"""The types of what users set most. A leaf's own numbers are checked by its constructor."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, ListConfig


@dataclass
class TrainerConfig:
    """Budget, place and precision."""

    max_epochs: int = MISSING
    max_steps: int = MISSING
    patience: int | None = None
    accelerator: str = MISSING
    devices: Any = MISSING
    threads: Any = None  # a number, or auto; None: as torch finds them, in runs that know of no such key
    precision: str = MISSING
    gradient_clip_val: float | None = None


@dataclass
class LoggingConfig:
    """What is written, and when."""

    every_n_steps: int = MISSING
    validate_every_n_epochs: int = MISSING
    pictures_every_n_epochs: int = MISSING
    importance_samples: int = MISSING
    test_importance_samples: int = MISSING
    checkpoint_every_n_steps: int = MISSING
    progress: str = MISSING


PARTS = (
    "dataset",
    "architecture",
    "corruption",
    "likelihood",
    "posterior",
    "prior",
    "condition",
    "structure",
    "objective",
    "optimizer",
    "lr_schedule",
)


def check_latent_dim(value: Any) -> None:
    """ValueError for what is neither a whole number nor a list of them."""
    sizes = list(value) if isinstance(value, ListConfig) else [value]
    if not sizes or not all(isinstance(size, int) and not isinstance(size, bool) for size in sizes):
        raise ValueError(f"latent_dim={value}: a whole number is needed, or a list of them, [40,20]")


@dataclass
class TrainConfig:
    """Root of `vae-train`: one node a group, and the numbers that belong to no single part."""

    dataset: Any = MISSING
    architecture: Any = MISSING
    corruption: Any = MISSING
    likelihood: Any = MISSING
    posterior: Any = MISSING
    prior: Any = MISSING
    condition: Any = MISSING
    structure: Any = MISSING
    objective: Any = MISSING
    optimizer: Any = MISSING
    lr_schedule: Any = MISSING
    beta: float = MISSING
    latent_dim: Any = MISSING  # a whole number, or a list of them
    seed: int = MISSING
    compile: bool = MISSING
    matmul_precision: str = MISSING
    name: str = MISSING
    run: str | None = None
    init: str | None = None
    sweep: str | None = None
    retry: str | None = None
    trust: list[str] = field(default_factory=list)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
