"""Schedules: absolute optimiser step -> value; and learning rates: epochs done -> factor."""

import sys
from bisect import bisect
from itertools import accumulate

from vae_cli.errors import ConfigError
from vae_cli.types import LearningRate, Schedule

FINAL_STEP = sys.maxsize  # validation and test use the value that a schedule ends with


def linear(end: float, steps: int) -> Schedule:
    """From 0 to `end` over the first `steps` steps, `end` from then on."""
    return lambda step: end * min(1.0, step / steps)


def cyclical(end: float, steps: int, cycles: int) -> Schedule:
    """`cycles` times: from 0 to `end` over `steps` steps, then `end` for as many (Fu et al. 2019, R = 0.5).

    After the last cycle it stays `end`: one cycle is a linear warm-up.
    """
    return lambda step: end * min(1.0, (step % (2 * steps) if step < 2 * steps * cycles else steps) / steps)


def constant(value: float) -> Schedule:
    """The same value at every step."""
    return lambda _step: value


def unchanged() -> LearningRate:
    """The learning rate of the optimiser throughout."""
    return lambda _epochs: 1.0


def powers_of_three(*, stages: int) -> LearningRate:
    """10^(-i / 7) during 3^i epochs, i = 0 .. stages - 1; the last stays (Burda et al. 2016: 8 stages)."""
    if not (1 <= stages <= 20):
        raise ConfigError(f"lr_schedule.stages={stages}: 1 to 20 (the 20th begins after 581,130,733 epochs)")
    ends = list(accumulate(3**i for i in range(stages - 1)))
    return lambda epochs: 10 ** (-bisect(ends, epochs) / 7)
