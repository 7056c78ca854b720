"""A config that is stored: plain values, which name parts of ours or of modules that the user trusts, and nothing else.

The file may come from somebody else. Nothing that it names is looked up before all of it was checked.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vae_cli.errors import ConfigError
from vae_cli.leaves import leaves
from vae_cli.schema import PARTS

NAMING = ("_target_", "_partial_")  # keys of a node that say what it is made into; all others are its settings
_Place = tuple[str, ...]  # the keys that lead to a node
_SCALARS = (str, bool, int, float, type(None))


def plain(config: DictConfig) -> dict[str, Any]:
    """The config as it is stored, every interpolation resolved.

    Raises:
        ConfigError: where a value would be one again when it is read.

    """
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    check_plain(content)
    return {str(key): value for key, value in content.items()}


def check_plain(content: Any, place: _Place = ()) -> None:
    """ConfigError for what is no number, word, switch, list or mapping, and for what OmegaConf would resolve."""
    if isinstance(content, dict):
        for key, value in content.items():
            if not isinstance(key, str):
                raise ConfigError(f"{_dotted((*place, str(key)))}: the key is no word")
            check_plain(key, (*place, key))
            check_plain(value, (*place, key))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            check_plain(value, (*place, str(number)))
    elif type(content) not in _SCALARS:
        raise ConfigError(f"{_dotted(place)}={content!r}: a number, word, switch, list or mapping is needed")
    elif isinstance(content, str) and "${" in content:
        raise ConfigError(f"{_dotted(place)}={content!r}: what is stored is resolved and holds no ${{; write the value")


def check_names(content: Any, trust: Collection[str], where: str) -> None:
    """Refuse a part that is neither one that our own leaves have at its place, nor defined in a module of `trust`.

    Names are compared whole: a prefix would let `torch.hub` in through `torch`. Inside a part of the user's own, ours
    may stand wherever that wants them.

    Args:
        content: plain values from the root of a config.
        trust: modules that the user named in this command; no other is imported.
        where: it stands, for users.

    Raises:
        ConfigError: for a part that is refused, and for keys with an underscore that no part of ours has.

    """
    door = _Door(trust, where)
    _check_below(content, (), door, inside_users=False)
    if names := list(dict.fromkeys(door.strangers)):
        modules = ",".join(dict.fromkeys(name.rpartition(".")[0] for name in names))
        are, them = ("is", "it") if len(names) == 1 else ("are", "them")
        raise ConfigError(
            f"{where} names {', '.join(names)}, which {are} none of ours: if you wrote {them}, add trust=[{modules}]"
        )


@dataclass(frozen=True)
class _Door:
    """Which names of a file may pass."""

    trust: Collection[str]
    where: str
    strangers: list[str] = field(default_factory=list)  # that only `trust` would let pass

    def admits_as_users(self, node: Mapping[str, Any], place: _Place, inside_users: bool) -> bool:
        """Whether a part is the user's own, not one of ours; ConfigError where it is neither."""
        target, partial = node.get("_target_", ""), node.get("_partial_", True)
        if not isinstance(target, str) or not isinstance(partial, bool):
            raise ConfigError(
                f"{self.where}: _target_={target!r} _partial_={partial!r} of {_dotted(place)}: the name of a part and "
                "true or false are needed"
            )
        if target in _own().get(place, ()):
            return False
        module, _, name = target.rpartition(".")
        if (inside_users and target in _everywhere()) or (module in self.trust and _defined_in(module, name)):
            return True
        if target in _everywhere():
            raise ConfigError(
                f"{self.where} names {target} as {_dotted(place)}, where none of ours is that: restore it"
            )
        self.strangers.append(target)
        return True


def _check_below(node: Any, place: _Place, door: _Door, inside_users: bool) -> None:
    if isinstance(node, list):
        for number, value in enumerate(node):
            _check_below(value, (*place, str(number)), door, inside_users)
    elif isinstance(node, dict):
        if unknown := [key for key in node if key.startswith("_") and key not in NAMING]:
            raise ConfigError(f"{door.where} sets {_dotted((*place, unknown[0]))}, which nothing reads: leave it out")
        if any(key in node for key in NAMING):
            inside_users = door.admits_as_users(node, place, inside_users)
        for key, value in node.items():
            _check_below(value, (*place, key), door, inside_users)


@cache
def always_named() -> dict[_Place, str]:
    """The places at which every leaf of ours names something, with an example of it."""
    found: dict[_Place, str] = {}
    for part in PARTS:
        named = [dict(_targets(leaf, (part,))) for leaf in leaves(part).values()]
        found.update({place: target for place, target in named[0].items() if all(place in one for one in named)})
    return found


@cache
def _own() -> dict[_Place, set[str]]:
    """What our leaves name at each place."""
    found: dict[_Place, set[str]] = {}
    for part in PARTS:
        for leaf in leaves(part).values():
            for place, target in _targets(leaf, (part,)):
                found.setdefault(place, set()).add(target)
    return found


@cache
def _everywhere() -> set[str]:
    return set().union(*_own().values())


def _targets(node: Any, place: _Place) -> Iterator[tuple[_Place, str]]:
    for key, value in node.items():
        if key == "_target_":
            yield place, value
        elif isinstance(value, dict):
            yield from _targets(value, (*place, key))


def _defined_in(module: str, name: str) -> bool:
    """Whether the module or package itself defines the name; what it imported from elsewhere is not vouched for."""
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise ConfigError(f"trust=[{module}] cannot be imported ({error}); it is looked for in PYTHONPATH") from error
    home = str(getattr(found, "__module__", ""))
    return getattr(found, "__qualname__", None) == name and (home == module or home.startswith(f"{module}."))


def _dotted(place: _Place) -> str:
    return ".".join(place) or "it"
