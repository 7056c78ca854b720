"""Schedules: absolute optimiser step -> value."""

import sys

from vae_cli.types import Schedule

FINAL_STEP = sys.maxsize  # validation and test use the value that a schedule ends with


def constant(value: float) -> Schedule:
    """The same value at every step."""
    return lambda _step: value
