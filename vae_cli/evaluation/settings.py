"""A group's node of the config -> its settings, of the types and in the ranges that the group asks for."""

from dataclasses import fields
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from vae_cli.errors import ConfigError
from vae_cli.making import check_types

T = TypeVar("T")


def settings_of(kind: type[T], node: DictConfig, group: str) -> T:
    """A dataclass filled from a node that has its keys; ConfigError for a value of another type."""
    if not isinstance(node, DictConfig):
        raise ConfigError(f"{group}={node}: this is no single value; set those below it, {group}.<key>=...")
    values: dict[str, Any] = {field.name: node[field.name] for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    check_types(kind, values, group)
    plain = {
        key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value for key, value in values.items()
    }
    return kind(**plain)


def at_least(smallest: int, group: str, **values: int) -> None:
    """ConfigError for one that is smaller."""
    for name, value in values.items():
        if value < smallest:
            raise ConfigError(f"{group}.{name}={value}: {smallest} or more")
