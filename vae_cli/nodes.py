"""Nodes of a config."""

from typing import Any

from omegaconf import DictConfig


def set_throughout(node: DictConfig, name: str, value: Any) -> None:
    """Set a key wherever it stands in a node or below: in the config of a run, nothing refers to anything."""
    for key, child in node.items():
        if key == name:
            node[name] = value
        elif isinstance(child, DictConfig):
            set_throughout(child, name, value)
