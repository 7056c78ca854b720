"""A node of the config -> what it names, made with its settings, which are checked first."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor

from vae_cli.errors import ConfigError
from vae_cli.stored import NAMING


def made(node: DictConfig, name: str, role: Any) -> Any:
    """What a node describes, its values of the types that the constructor asks for.

    As Hydra's `instantiate` does, in a third of its time, and errors come as they are: it is seen whose they are.

    Args:
        role: what is needed there, as an annotation: a class, or a `Callable` that a `_partial_` node gives.

    Raises:
        ConfigError: where the node describes something else, or lacks a setting.

    """
    content = _plain(node)
    _check_node(content, name, role)
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


def class_of(node: Any, name: str, role: Any) -> Any:
    """The class that a node names; ConfigError where it names none, or one of something else."""
    target, _ = _target_in_role(node, name, role)
    if not isinstance(target, type):
        raise ConfigError(f"{name}._target_={node['_target_']}: a class is needed")
    return target


def check_types(target: Callable[..., Any], values: Mapping[Any, Any], name: str) -> None:
    """ConfigError for a setting that the target does not have, or of another type than its annotation says."""
    known, hints = inspect.signature(target).parameters, _hints(target)
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


def _check_node(node: Any, name: str, role: Any) -> None:
    """`check_types` of all that a node describes, what lies below it included."""
    target, is_partial = _target_in_role(node, name, role)
    values = {key: value for key, value in node.items() if key not in NAMING}
    check_types(target, values, name)
    _check_settings(target, is_partial, values, name)
    hints = _hints(target)
    for key, value in values.items():
        if _is_role(hints.get(key)) or (isinstance(value, dict) and "_target_" in value):
            _check_node(value, f"{name}.{key}", hints.get(key, Any))


def _target_in_role(node: Any, name: str, role: Any) -> tuple[Any, bool]:
    """What a node names, and whether it is called later; ConfigError where that gives something else than is needed."""
    if not isinstance(node, dict | DictConfig) or "_target_" not in node:
        raise ConfigError(f"{name}={node}: this is no single value; set those below it, {name}.<key>=...")
    target, is_partial = target_of(node), node.get("_partial_", False)
    if not isinstance(is_partial, bool) or not callable(target):
        raise ConfigError(f"{name}._target_={node['_target_']}, {name}._partial_={is_partial}: this makes nothing")
    _check_role(target, is_partial, name, role)
    return target, is_partial


def _check_role(target: Any, is_partial: bool, name: str, role: Any) -> None:
    """ConfigError where the target gives something else; where a function does not say what it gives, it is trusted."""
    gives = target if isinstance(target, type) else _hints(target).get("return", Any)
    if role is Any:
        return
    makes = get_args(role)[-1] if is_partial and get_origin(role) is Callable else role
    if (makes is role) is is_partial or not _is_kind_of(gives, makes):
        raise ConfigError(
            f"{name}._target_={target.__module__}.{target.__name__}, {name}._partial_={str(is_partial).lower()}: "
            f"this is no {name.rpartition('.')[2]}; choose another {name.split('.')[0]}"
        )


def _is_kind_of(gives: Any, role: Any) -> bool:
    """Whether a class, or what a function says that it gives, is what a role asks for."""
    if gives is Any:  # which is a class since Python 3.11
        return True
    if isinstance(gives, type) and isinstance(role, type):
        return issubclass(gives, role)
    return gives == role


def _check_settings(target: Callable[..., Any], is_partial: bool, values: Mapping[Any, Any], name: str) -> None:
    """ConfigError for a setting that is missing, or that is not the user's to give."""
    for key, one in inspect.signature(target).parameters.items():
        is_own = one.kind is one.KEYWORD_ONLY or (one.kind is one.POSITIONAL_OR_KEYWORD and not is_partial)
        if is_own and one.default is one.empty and key not in values:
            raise ConfigError(f"{name}.{key}: a value is needed")
        if one.kind is one.POSITIONAL_OR_KEYWORD and is_partial and one.default is one.empty and key in values:
            raise ConfigError(f"{name}.{key}={values[key]}: this is no setting; leave it out")


def _is_role(hint: Any) -> bool:
    """Whether a setting of that annotation is described by a node of its own."""
    return get_origin(hint) is Callable or (isinstance(hint, type) and hint.__module__.startswith("vae_cli."))


def _hints(target: Any) -> dict[str, Any]:
    return get_type_hints(target.__init__ if isinstance(target, type) else target)


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
    int | Sequence[int]: (
        lambda value: _is_whole(value) or _is_list(_is_whole, value),
        "a whole number or a list of them",
    ),
    float | Tensor: (_is_number, "a number"),
    tuple[float | Tensor, float | Tensor]: (
        lambda value: _is_list(_is_number, value) and len(value) == 2,
        "a list of two numbers, [0.9,0.999],",
    ),
}
