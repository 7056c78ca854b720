"""What a run says in words where it trains well enough and will disappoint all the same."""

import platform
from collections.abc import Iterator, Mapping

import torch
from omegaconf import DictConfig

from vae_cli.schedules import FINAL_STEP
from vae_cli.types import Schedule

_UNTRAINED = 500  # steps; many a healthy model begins without active units and finds them later
_WITHOUT_BFLOAT16 = ("DEFAULT", "AVX2") if platform.machine() in ("x86_64", "AMD64") else ()  # as torch calls them
_FEW, _SHARE = 2, 10  # at most so many active units, and of so many each, are few: large latents are never full


def unfinished(schedules: Mapping[str, Schedule], last_step: int) -> Iterator[str]:
    """What to say of schedules that training ends before."""
    for name, schedule in schedules.items():
        reached, end = schedule(last_step - 1), schedule(FINAL_STEP)
        if reached != end:
            yield (
                f"{name} reaches {reached:g} by the last step ({last_step}) and would end at {end:g}, which validation "
                "and test use: train longer, or let it end sooner"
            )


def collapsed(
    config: DictConfig, schedules: Mapping[str, Schedule], active: Mapping[str, tuple[int, int]], step: int
) -> Iterator[str]:
    """What to say where z tells next to nothing of x after `step` steps (posterior collapse, Bowman et al. 2016).

    Nothing before `_UNTRAINED` steps, nor where a schedule goes on: `unfinished` has told of that.

    Args:
        active: by latent variable, its active units and its dimensions.
    """
    if step < _UNTRAINED or any(unfinished(schedules, step)):
        return
    for name, (units, dimensions) in active.items():
        if few(units, dimensions):
            yield (
                f"posterior collapse: {_told(units, dimensions)} of {name} {'are' if units > 1 else 'is'} active after "
                f"{step} steps, so the decoder hardly uses {name}: try {', '.join(_remedies(config))}, or a longer run"
            )


def diverged(config: DictConfig, first: float | None, best: float, last: float | None) -> Iterator[str]:
    """What to say where the last validation loss is worse than the first."""
    if first is None or last is None or last <= first:
        return
    remedies = [f"an optimizer.lr below {config.optimizer.lr:g}"]
    if config.trainer.gradient_clip_val is None:
        remedies.append("trainer.gradient_clip_val=100")
    yield (
        f"the validation loss ended at {last:.5g}, worse than it began ({first:.5g}), and its best is {best:.5g}: "
        f"training diverged or overfitted; the best weights are kept; try {', '.join(remedies)}, or a shorter run"
    )


def slow_precision(precision: str, device: str) -> Iterator[str]:
    """What to say where the processor has no instructions for the precision asked for."""
    if device == "cpu" and precision != "32-true" and torch.backends.cpu.get_cpu_capability() in _WITHOUT_BFLOAT16:
        yield (
            f"trainer.precision={precision}: this processor computes bfloat16 and float16 by way of float32, which can "
            "take several times as long as trainer.precision=32-true"
        )


def few(units: int, dimensions: int) -> bool:
    """Whether so few active units are posterior collapse."""
    return units <= min(_FEW, dimensions // _SHARE)


def verdict(name: str, units: int, dimensions: int) -> str:
    """What the number of active units of a latent variable means."""
    if units == dimensions:
        return f"no collapse: all {dimensions} dimensions of {name} are active"
    used = f"{_told(units, dimensions)} of {name} {'is' if units < 2 else 'are'} active"
    if few(units, dimensions):
        return f"posterior collapse: {used}, so the decoder hardly uses {name}"
    return f"partly collapsed: {used}; the others hardly depend on x"


def _told(units: int, dimensions: int) -> str:
    if dimensions == 1:
        return "not even the one dimension"
    return f"{units or 'none'} of the {dimensions} dimensions"


def _remedies(config: DictConfig) -> Iterator[str]:
    """Those that this config has a key for."""
    objective = config.objective
    if objective.get("beta", 0) > 0:
        yield f"a beta below {objective.beta:g}"
        if not objective.get("warmup_steps", 1):
            yield "objective.warmup_steps"
    if not objective.get("free_bits", 1):
        yield "objective.free_bits"
    if "capacity" in objective:
        yield f"an objective.capacity above {objective.capacity:g}"
    if "sigma" in config.likelihood:
        yield f"a likelihood.sigma below {config.likelihood.sigma:g}"
    yield "a smaller decoder"
