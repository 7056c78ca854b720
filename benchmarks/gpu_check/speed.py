"""Training speed of a whole run beside a bare loop, in turn in one process; see throughput.py."""

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path

from contestants import CASES
from throughput import alternate, contestants_of, examples_of, spread

from gpu_check.parts import Check, Passed, Place

_ROUNDS, _SECONDS = {"cuda": 5, "cpu": 3}, 1.0  # of each contestant in each round


def in_float32() -> dict[str, Check]:
    """An MLP and convolutions."""
    return {name: partial(_speed, name, "32-true") for name in _CASES}


def in_bfloat16() -> dict[str, Check]:
    """The same, their networks in bfloat16."""
    return {name: partial(_speed, name, "bf16-mixed") for name in _CASES}


_CASES = ("mlp", "conv")


def _speed(name: str, precision: str, place: Place) -> Passed:
    case = CASES[name]
    arguments = argparse.Namespace(precision=precision, compile=False, device=place.device)
    with tempfile.TemporaryDirectory() as folder:
        contestants = contestants_of(case, Path(folder), examples_of(case, Path(folder)), arguments)
        contestants.pop("pythae", None)
        speeds = alternate(contestants, _ROUNDS[place.device], _SECONDS, case.batch_size)
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    bare = max((name for name in middle if name != "vae-train"), key=lambda name: middle[name])
    ratios = [mine / theirs for mine, theirs in zip(speeds["vae-train"], speeds[bare], strict=True)]
    ratio, interval = spread(ratios)
    words = f"{middle['vae-train']:,.0f} images a second, {ratio} ({interval}) times the {bare}"
    return Passed(words, {"images_a_second": speeds, "ratios": ratios, "beside": bare})
