"""Where the files of a stored data set may be fetched from: not from where its config says, which others may write."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from vae_cli.leaves import leaves

_FOLDER = "vae_cli.data.folder.DataFolder"


def fetch_as_ours(dataset: DictConfig, *, typed_root: bool) -> None:
    """Mirrors become those of our own leaf with that folder and these checksums; none where there is no such leaf.

    None as well where the config leads to a root of its own: files come only where the user asked for them.

    Args:
        dataset: the node of a stored config, its interpolations resolved.
        typed_root: whether the user named the root in this command.

    """
    for folder in _folders(dataset):
        ours = typed_root or folder.get("root") is None
        folder["mirrors"] = _mirrors(OmegaConf.to_container(folder)) if ours else []


def _mirrors(folder: Any) -> list[str]:
    published = (leaf["source"].get("folder") for leaf in leaves("dataset").values())
    for own in published:
        if own and all(own[key] == folder.get(key) for key in ("name", "checksums")):
            return own["mirrors"]
    return []


def _folders(node: Any) -> Iterator[DictConfig]:
    """Every folder of published files below a node."""
    if isinstance(node, DictConfig):
        if node.get("_target_") == _FOLDER:
            yield node
        for key in node:
            yield from _folders(node[key])
    elif isinstance(node, ListConfig):
        for child in node:
            yield from _folders(child)
