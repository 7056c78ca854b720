"""Schedules: absolute optimiser step -> value."""

import sys

from vae_cli.types import Schedule

FINAL_STEP = sys.maxsize  # validation and test use the value that a schedule ends with


def linear(end: float, steps: int) -> Schedule:
    """From 0 to `end` over the first `steps` steps, `end` from then on."""
    return lambda step: end * min(1.0, step / steps)


def constant(value: float) -> Schedule:
    """The same value at every step."""
    return lambda _step: value
