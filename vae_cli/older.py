"""Settings that runs of before have no key for, as they then were."""

from typing import Any

_THEN: dict[str, dict[str, Any]] = {
    "vae_cli.data.arrays.arrays": {"levels": "bytes"},
    "vae_cli.data.image_folder.image_folder": {"bits": 16, "skip_broken": False},
    "vae_cli.heads.gaussian_posterior.LowRank": {"held_steps": 0},
}


def complete_older(config: dict[str, Any]) -> None:
    """Add to the nodes of the parts what they lack; settings of a data set's source stand in its own node too."""
    for node in config.values():
        source = node.get("source") if isinstance(node, dict) else None
        for described in (node, source):
            if isinstance(described, dict):
                for key, value in _THEN.get(str(described.get("_target_")), {}).items():
                    described.setdefault(key, value)
                    node.setdefault(key, value)
