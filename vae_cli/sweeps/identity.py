"""Which job is which: the hash of what its config says, without where, how long and how loud it runs."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

_NOT_OF_THE_JOB = ("run", "sweep", "retry", "trust", "name", "logging")
BUDGET_AND_DEVICE = ("max_epochs", "max_steps", "patience", "accelerator", "devices", "threads")  # of `trainer`
PATHS = ("root", "path", "download")  # in whichever node of `dataset` they stand
_LONGEST = 80  # characters of a name that is for reading


def counts(key: str) -> bool:
    """Whether the value of a key makes another job."""
    first, _, last = key.partition(".")
    left_out = {"trainer": BUDGET_AND_DEVICE, "dataset": PATHS}.get(first, ())
    return first not in _NOT_OF_THE_JOB and last.rpartition(".")[2] not in left_out


def identity(config: DictConfig, swept: Mapping[str, str]) -> str:
    """Eight hexadecimal digits.

    Args:
        config: of the job, its interpolations resolvable.
        swept: values by key; one that does not count otherwise (`trainer.max_epochs=10,100`) counts where it is swept.

    """
    content = _counted(OmegaConf.to_container(config, resolve=True), "")
    beside = {key: value for key, value in swept.items() if not counts(key)}
    return digest([content, beside])


def digest(content: Any) -> str:
    """Eight hexadecimal digits of anything that JSON can write."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def readable(swept: Mapping[str, str]) -> str:
    """What differs between the jobs of a sweep, for the names of their folders: `beta_vae_beta4_seed1`.

    Letters, digits, '.', '_' and '-' alone: neither a shell nor Hydra sees more in it than a word.
    """
    parts = [_part(key, value) for key, value in swept.items()]
    return "_".join(parts)[:_LONGEST].strip("_-") or "job"


def _part(key: str, value: str) -> str:
    last = key.rpartition(".")[2]
    if re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", value):
        return f"{last}{float(value):g}".replace("+", "")
    word = re.sub(r"[^\w.-]+", "-", value).strip("-")
    return word if "." not in key and value.isidentifier() else f"{last}-{word}"


def _counted(node: Any, prefix: str) -> Any:
    if not isinstance(node, dict):
        return node
    return {key: _counted(value, f"{prefix}{key}.") for key, value in node.items() if counts(f"{prefix}{key}")}
