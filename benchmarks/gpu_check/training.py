"""Every preset trains three steps and is evaluated; one is used by every other command."""

from collections.abc import Sequence
from functools import partial

import torch

from gpu_check.commands import evaluated, trained, used
from gpu_check.parts import Check, Passed, Place, presets

COMPILED = ("vae", "conv_hvae", "vampprior")


def in_float32() -> dict[str, Check]:
    """All presets, then the other commands."""
    return {**_each(presets(), "32-true", []), "sample, encode, export": _others}


def in_bfloat16() -> dict[str, Check]:
    """All presets, their networks in bfloat16."""
    return _each(presets(), "bf16-mixed", [])


def compiled() -> dict[str, Check]:
    """Some presets with torch.compile, in both precisions."""
    words = ["compile=true"]
    in_both = {name: {**_each(COMPILED, name, words)} for name in ("32-true", "bf16-mixed")}
    return {f"{preset}, {name}": check for name, checks in in_both.items() for preset, check in checks.items()}


def _each(names: Sequence[str], precision: str, words: Sequence[str]) -> dict[str, Check]:
    return {name: partial(preset, name, precision, words) for name in names}


def preset(name: str, precision: str, words: Sequence[str], place: Place) -> Passed:
    """Three steps, with validation, test and pictures; then what vae-eval finds."""
    folder = "_".join([name, precision, *words])
    directory, outcome = trained(place, folder, [f"model={name}", f"trainer.precision={precision}", *words])
    assert outcome.state == "finished", outcome.state
    assert outcome.step == 3, outcome.step
    lines = evaluated(directory, place, precision)
    if place.device == "cuda":
        torch.cuda.synchronize()  # what a kernel has to say is said here
    return Passed("", {"test": outcome.figures, "evaluation": lines})


def _others(place: Place) -> Passed:
    directory, _ = trained(place, "used", ["model=vae"])
    return Passed("", {"lines": used(directory, place)})
