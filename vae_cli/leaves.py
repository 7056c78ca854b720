"""Our own leaves of `conf/` as plain data, their interpolations as they stand there."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader  # seven times as fast
except ImportError:  # of a PyYAML that was built without libyaml
    from yaml import SafeLoader


@cache
def leaves(group: str) -> dict[str, dict[str, Any]]:
    """Every leaf of a group, by the name that users type. To be read alone."""
    entries = sorted(files("vae_cli.conf").joinpath(group).iterdir(), key=lambda entry: entry.name)
    texts = {entry.name.removesuffix(".yaml"): entry.read_text() for entry in entries if entry.name.endswith(".yaml")}
    return {name: yaml.load(text, SafeLoader) for name, text in texts.items()}
