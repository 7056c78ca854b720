"""Settings that runs of before have no key for, as they then were."""

from typing import Any

_THEN: dict[str, dict[str, Any]] = {
    "vae_cli.data.arrays.arrays": {"levels": "bytes"},
    "vae_cli.data.image_folder.image_folder": {"bits": 16, "skip_broken": False},
}


def complete_older(config: dict[str, Any]) -> None:
    """Add to the node of the data what it lacks."""
    dataset = config.get("dataset")
    source = dataset.get("source") if isinstance(dataset, dict) else None
    if not isinstance(dataset, dict) or not isinstance(source, dict):
        return
    for key, value in _THEN.get(str(source.get("_target_")), {}).items():
        dataset.setdefault(key, value)
        source.setdefault(key, value)
