"""The parts in the order in which they run, what matters most first. Imports no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a check computes, and a folder for its runs."""

    device: str  # cuda or cpu
    folder: Path


@dataclass(frozen=True)
class Passed:
    """What a check found, in a few words and as figures."""

    words: str = ""
    figures: Mapping[str, Any] | None = None


class Skipped(Exception):  # noqa: N818 (no error)
    """There is nothing to check here; the text says why."""


Check = Callable[[Place], Passed]


def presets() -> list[str]:
    """Every choice of `model`."""
    leaves = files("vae_cli.conf").joinpath("model").iterdir()
    return sorted(leaf.name.removesuffix(".yaml") for leaf in leaves if leaf.name.endswith(".yaml"))


@dataclass(frozen=True)
class Part:
    """A function of a module that gives checks by name, imported where they run."""

    module: str
    function: str
    seconds: float  # that one check may take on a GPU machine, before any was timed
    on_cuda_alone: str = ""  # why there is nothing to check on a CPU

    def checks(self) -> dict[str, Check]:
        """By name, in the order in which they run."""
        return getattr(import_module(f"gpu_check.{self.module}"), self.function)()


PARTS = {
    "machine": Part("machine", "machine", 5),
    "laws": Part("laws", "laws", 10),
    "waiting": Part("waiting", "waiting", 5, "torch watches over waiting on CUDA alone: see tests/test_waiting.py"),
    "presets": Part("training", "in_float32", 5),
    "agreement": Part("agreement", "agreement", 5, "there is no second device to compare the CPU with"),
    "bf16": Part("training", "in_bfloat16", 5),
    "speed": Part("speed", "in_float32", 40),
    "compiled": Part("training", "compiled", 60),
    "bf16 speed": Part("speed", "in_bfloat16", 40),
}
