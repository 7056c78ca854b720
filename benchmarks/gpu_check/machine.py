"""Which machine this is, and whether it has the device that was asked for."""

import platform
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from packaging.requirements import Requirement

from gpu_check.parts import Check, Passed, Place
from vae_cli import __version__

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def machine() -> dict[str, Check]:
    """One check."""
    return {"machine": _machine}


def _machine(place: Place) -> Passed:
    if place.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"torch {torch.__version__} finds no CUDA device here; --device cpu runs all of it without")
    found = {
        "card": torch.cuda.get_device_name() if place.device == "cuda" else f"no card: {_processor()}",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if place.device == "cuda" else None,
        "cudnn": torch.backends.cudnn.version() if place.device == "cuda" else None,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "vae-train": __version__,
    }
    packages = {one.name: _installed(one.name) for one in _required()}
    outside = [f"{one} ({packages[one.name]})" for one in _required() if not _fits(one, packages[one.name])]
    words = f"outside of pyproject.toml's ranges: {', '.join(outside)}" if outside else "every package in range"
    return Passed(words, {**found, "packages": packages})


def _required() -> list[Requirement]:
    return [Requirement(one) for one in tomllib.loads(_PROJECT.read_text())["project"]["dependencies"]]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _fits(wanted: Requirement, found: str | None) -> bool:
    return found is not None and wanted.specifier.contains(found, prereleases=True)


def _processor() -> str:
    if sys.platform != "linux":
        return platform.processor()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
