"""YAML files of the user's own, in `--config-dir` or `hydra.searchpath`: what is wrong in one, by file and line."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from vae_cli.cli.choices import PRESETS, own_folders

_HEADER = "# @package _global_"
_BROKEN = {
    "found character '\\t' that cannot start any token": "a tab; YAML is indented with spaces",
    "expected ',' or '}', but got": "a brace that is not closed",
    "expected ',' or ']', but got": "a bracket that is not closed",
}


def slip(error: BaseException) -> str | None:
    """Where and why a file is no YAML; None for another error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, yaml.MarkedYAMLError):
        cause = cause.__cause__
    if cause is None:
        return None
    mark = (cause.context_mark if (cause.context or "").startswith("while parsing a flow") else None) or (
        cause.problem_mark
    )
    problem = str(cause.problem)
    what = next((told for sign, told in _BROKEN.items() if problem.startswith(sign)), problem)
    return what if mark is None else f"{mark.name}, line {mark.line + 1}: {what}"


def preset_slip(text: str) -> str | None:
    """What Hydra says of a preset of the user's own that fits nothing; None of other errors."""
    if (named := re.match(r"In '([^']+)': ", text)) is None or (path := own_file(named[1])) is None:
        return None
    group = named[1].partition("/")[0]
    if group in PRESETS and not _is_global(path):
        return f"{path}, line 1: the first line of a preset is {_HEADER!r}, or its keys are not those of the root"
    if lost := re.search(r"Could not find '[^/']+/([^/']+)/([^']+)'", text):
        line = _line_with(path, rf"\b{re.escape(lost[1])}\s*:")
        return f"{path}, line {line}: '- override /{lost[1]}: {lost[2]}' is how a preset chooses"
    if lost := re.search(r"Could not override '([^']+)'", text):
        return f"{path}, line {_line_with(path, re.escape(lost[1]))}: there is no {lost[1]} to override"
    return None


def located(text: str, key: str, choices: Sequence[str]) -> str:
    """The text, after file and line where a chosen file of the user's own sets the key."""
    for choice in choices:
        group, _, name = choice.partition("=")
        if (path := own_file(f"{group}/{name}")) is None:
            continue
        within = key if _is_global(path) else key.removeprefix(f"{group}.") if key.startswith(f"{group}.") else None
        if within is not None and (line := line_of(path, within)) is not None:
            return f"{path}, line {line}: {text}"
    return text


def own_file(name: str) -> Path | None:
    """Of a config, `group/choice`, that is in a folder of the user's own; None for ours."""
    paths = [folder / f"{name}.yaml" for folder in own_folders()]
    return next((path for path in paths if path.is_file()), None)


def line_of(path: Path, key: str) -> int | None:
    """Where the file sets a dotted key, counted from 1."""
    node, line = yaml.compose(path.read_text(), yaml.SafeLoader), None
    for part in key.split("."):
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        found = [(name.start_mark.line + 1, value) for name, value in pairs if name.value == part]
        if not found:
            return None
        line, node = found[0]
    return line


def _is_global(path: Path) -> bool:
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    return any(re.match(r"#\s*@package\s+_global_\s*$", line) for line in comments)


def _line_with(path: Path, pattern: str) -> int:
    lines = path.read_text().splitlines()
    return next((number for number, line in enumerate(lines, 1) if re.search(pattern, line)), 1)
