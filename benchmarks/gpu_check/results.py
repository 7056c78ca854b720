"""What was found, as one JSON and one table."""

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Result:
    """Of one check."""

    part: str
    name: str
    state: str
    seconds: float
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def counted(results: Sequence[Result]) -> str:
    """As in `25 passed, 1 failed`."""
    states = Counter(one.state for one in results)
    return ", ".join(f"{states[state]} {state}" for state in (PASSED, FAILED, SKIPPED) if states[state])


def write(results: Sequence[Result], device: str, seconds: float, folder: Path) -> None:
    """gpu_check.json with everything, gpu_check.md to read; the table is printed too."""
    machine = next((one.figures for one in results if one.name == "machine"), {})
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "date": time.strftime("%Y-%m-%d"),
        "device": device,
        "seconds": round(seconds, 1),
        "machine": machine,
        "results": [asdict(one) for one in results],
    }
    (folder / "gpu_check.json").write_text(json.dumps(content, indent=1) + "\n")
    table = "\n".join(_lines(results, machine, seconds))
    (folder / "gpu_check.md").write_text(table + "\n")
    print(table)
    print(f"written: {folder / 'gpu_check.json'}, {folder / 'gpu_check.md'}", file=sys.stderr)


def _lines(results: Sequence[Result], machine: Mapping[str, Any], seconds: float) -> list[str]:
    title = ", ".join(f"{key} {machine[key]}" for key in ("torch", "cuda", "python") if machine.get(key))
    parts = {part: [one for one in results if one.part == part] for part in dict.fromkeys(one.part for one in results)}
    lines = [
        f"{machine.get('card', 'no card')}; {title}; {time.strftime('%Y-%m-%d')}; {seconds:.0f} s",
        "",
        "| part | checks | seconds | |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {part} | {counted(found)} | {sum(one.seconds for one in found):.0f} | {_remark(found)} |"
        for part, found in parts.items()
    ]
    told: dict[tuple[str, str, str], list[str]] = {}  # by part, state and words
    for one in results:
        if one.state != PASSED:
            told.setdefault((one.part, one.state, one.words), []).append(one.name)
    if told:
        lines += ["", "| not passed | | |", "| --- | --- | --- |"]
        lines += [
            f"| {part}: {_names(names)} | {state} | {_cell(words)} |" for (part, state, words), names in told.items()
        ]
    return lines


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _FEW else f"{len(names)} checks"


def _remark(found: Sequence[Result]) -> str:
    """What few checks found, each by itself."""
    if len(found) > _FEW:
        return ""
    return _cell("; ".join(f"{one.name}: {one.words}" for one in found if one.state == PASSED and one.words))


_FEW = 8


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")
