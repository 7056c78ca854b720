"""Every leaf of `conf/`, so that a new component is tested by being named."""

from collections.abc import Container, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch.distributions import Distribution, Independent, Normal

from vae_cli.distributions.marginals import normal_marginals
from vae_cli.distributions.sphere import HypersphericalUniform
from vae_cli.types import Binary, Head, Levels, Real, Spec, Support, UnitInterval, UnitSphere

CONF = Path(__file__).parent.parent / "conf"
GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "__pycache__")


def often(values: Iterable[Any], default: Container[Any]) -> list[Any]:
    """Parameters of a test; those that are not in `default` wait for `-m slow`."""
    return [one if one in default else _slow(one) for one in values]


def _slow(one: Any) -> Any:
    return pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.slow)


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def leaf(group: str, choice: str) -> DictConfig:
    """Its own copy of what the file says."""
    return _leaf(group, choice).copy()


@cache
def _leaf(group: str, choice: str) -> DictConfig:
    config = OmegaConf.load(CONF / group / f"{choice}.yaml")
    assert isinstance(config, DictConfig)
    if group != "model":  # a leaf may be another one with some keys changed
        for base in config.pop("defaults", ["_self_"]):
            config = config if base == "_self_" else OmegaConf.merge(leaf(group, base), config)
    return config


def targets(node: Any) -> list[dict[str, Any]]:
    """Every mapping with a `_target_` below a node."""
    if not isinstance(node, dict):
        return []
    return ([node] if "_target_" in node else []) + [found for child in node.values() for found in targets(child)]


def small_architecture(choice: str) -> list[str]:
    """Overrides that make a net of that kind as small as it can be."""
    config = leaf("architecture", choice)
    found = ["architecture.width=8"] if "width" in config else []
    lists = [key for key in ("channels", "hidden") if key in config]
    found += [f"architecture.{key}=[{','.join(['4'] * len(config[key]))}]" for key in lists]
    if "channels" in config:
        found.append("architecture.activation=silu")  # so few units of relu can all be dead
    return found + (["architecture.depth=1"] if choice == "gated_mlp" else [])


@cache
def chosen_by(model: str) -> dict[str, Any]:
    """What a preset sets: a choice for each axis that it names, and root keys. To be read alone."""
    found: dict[str, Any] = {}
    content = OmegaConf.to_container(leaf("model", model))
    assert isinstance(content, dict)
    for base in content.pop("defaults", []):
        if isinstance(base, dict):
            found |= {key.removeprefix("override /"): choice for key, choice in base.items()}
        elif base != "_self_":
            found |= chosen_by(base)
    return found | content


def small_model(model: str) -> list[str]:
    """Overrides that make a preset as small as it can be, with as many latent variables, up to two, as it has."""
    chosen = chosen_by(model)
    sizes = "[3,2]" if isinstance(chosen.get("latent_dim"), list) else "3"
    return [f"model={model}", f"latent_dim={sizes}", *small_architecture(chosen.get("architecture", "mlp"))]


def head(group: str, choice: str, shape: tuple[int, ...]) -> Head:
    """A likelihood or a posterior over events of that shape."""
    config = leaf(group, choice)
    return instantiate(config)(Spec(torch.Size(shape), a_support_of(get_object(config["_target_"])))).eval()


def a_support_of(kind: type[Head]) -> Support:
    known: dict[type, Support] = {
        Binary: Binary(),
        Levels: Levels(256),
        UnitInterval: UnitInterval(),
        Real: Real(),
        UnitSphere: UnitSphere(),
    }
    return known[kind.models[0]]


def a_prior_over(part: Head) -> Distribution:
    """Of the simplest kind, batch shape [], float64."""
    zeros = torch.zeros(part.embed_shape, dtype=torch.float64)
    if part.models == (UnitSphere,):
        return HypersphericalUniform(zeros)
    return Independent(Normal(zeros, torch.ones_like(zeros)), 1)


HEADS = [("likelihood", choice) for choice in choices("likelihood")]
POSTERIORS = [choice for choice in choices("posterior") if choice != "delta"]  # those with a density
HEADS += [("posterior", choice) for choice in POSTERIORS]


def _is_gaussian(choice: str) -> bool:
    part = head("posterior", choice, (2,))
    return normal_marginals(part(torch.zeros(part.param_shape))) is not None


GAUSSIANS = [choice for choice in POSTERIORS if _is_gaussian(choice)]
