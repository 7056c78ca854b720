"""A node of the config -> what it names, made with its settings, which are checked first."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor

from vae_cli.errors import ConfigError
from vae_cli.stored import NAMING


def made(node: DictConfig, name: str) -> Any:
    """What a node describes, its values of the types that the constructor asks for.

    As Hydra's `instantiate` does, in a third of its time, and errors come as they are: it is seen whose they are.
    """
    content = _plain(node)
    _check_node(content, name)
    return _made(content)


def _plain(node: Any) -> Any:
    """What is checked is what is made: nothing resolves in between."""
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True) if OmegaConf.is_config(node) else node


def _made(value: Any) -> Any:
    if not isinstance(value, dict) or "_target_" not in value:
        return value
    target, settings = target_of(value), {key: _made(one) for key, one in value.items() if key not in NAMING}
    return partial(target, **settings) if value.get("_partial_") else target(**settings)


def target_of(leaf: Any) -> Any:
    """What a leaf names; ConfigError where there is no such thing."""
    target = str(leaf["_target_"])
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"_target_: {target} cannot be imported ({error}); your own modules are found in the folders of PYTHONPATH"
        ) from error


def check_types(target: Callable[..., Any], values: Mapping[Any, Any], name: str) -> None:
    """ConfigError for a setting that the target does not have, or of another type than its annotation says."""
    function = target.__init__ if isinstance(target, type) else target
    known = inspect.signature(function).parameters
    hints = get_type_hints(function)
    for key, value in values.items():
        if key not in known and not any(one.kind is one.VAR_KEYWORD for one in known.values()):
            raise ConfigError(
                f"{name}.{key}={value}: {target.__name__} has no such setting; leave it out, or choose another "
                f"{name.split('.')[0]}"
            )
        if any(map(_is_too_large, value if _is_list(_is_number, value) else [value])):
            raise ConfigError(
                f"{name}.{key}={value}: too large: whole numbers stay below 2 to the power of 63, others below 1.7e38"
            )
        fits, wanted = _ACCEPTED.get(hints.get(key), (lambda _: True, ""))
        if not fits(value):
            raise ConfigError(f"{name}.{key}={value}: {wanted} is needed")


def _check_node(node: Any, name: str) -> None:
    """`check_types` of all that a node describes, what lies below it included."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigError(f"{name}={node}: this is no single value; set those below it, {name}.<key>=...")
    values = {key: value for key, value in node.items() if key not in NAMING}
    check_types(target_of(node), values, name)
    for key, value in values.items():
        if isinstance(value, dict) and "_target_" in value:
            _check_node(value, f"{name}.{key}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_whole(value)


def _is_too_large(value: Any) -> bool:
    """For 64 bits, or for the 32 that hold a real number; what is not finite is for each part to judge."""
    return (_is_whole(value) and abs(value) >= 2**63) or (isinstance(value, float) and 2.0**127 < abs(value) < math.inf)


def _is_list(of: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, list | ListConfig) and all(map(of, value))


def _is_mapping_of_words(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for pair in value.items() for one in pair)


_ACCEPTED: dict[Any, tuple[Callable[[Any], bool], str]] = {
    int: (_is_whole, "a whole number"),
    float: (_is_number, "a number"),
    str: (lambda value: isinstance(value, str), "a word"),
    bool: (lambda value: isinstance(value, bool), "true or false"),
    Sequence[str]: (partial(_is_list, lambda value: isinstance(value, str)), "a list of words, [a,b],"),
    Mapping[str, str]: (_is_mapping_of_words, "names with a word each, {a:b},"),
    str | None: (lambda value: value is None or isinstance(value, str), "a word or null"),
    int | None: (lambda value: value is None or _is_whole(value), "a whole number or null"),
    bool | None: (lambda value: value is None or isinstance(value, bool), "true, false or null"),
    Sequence[int]: (lambda value: _is_list(_is_whole, value), "a list of whole numbers, [32,64],"),
    tuple[float | Tensor, float | Tensor]: (
        lambda value: _is_list(_is_number, value) and len(value) == 2,
        "a list of two numbers, [0.9,0.999],",
    ),
}
