"""Where numbers are computed."""

import torch

from vae_cli.errors import ConfigError


def accelerator_of(name: str, key: str) -> str:
    """`auto` takes CUDA where there is a device, else the CPU; sums in float64 rule out Apple's GPUs.

    Args:
        key: under which the user typed the name.

    Raises:
        ConfigError: where a GPU is asked for and there is none.

    """
    found = torch.cuda.is_available()
    if name in ("gpu", "cuda") and not found:
        raise ConfigError(f"{key}={name}: there is no CUDA device; use auto or cpu")
    return "cuda" if found and name != "cpu" else "cpu"
