"""A part in a process of its own, which writes down what it is about to check, and then what it found.

So a process that dies or hangs costs the check that it was at; another takes up the rest.
"""

import json
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpu_check.parts import PARTS, Check, Passed, Place, Skipped
from gpu_check.results import FAILED, PASSED, SKIPPED, Result

_GRACE = 5  # seconds after the end of time in which a check may still end by itself


def run_part(part: str, device: str, folder: Path, until: float) -> list[Result]:
    """Every check of a part; none is left out."""
    if device == "cpu" and PARTS[part].on_cuda_alone:
        return [Result(part, part, SKIPPED, 0.0, PARTS[part].on_cuda_alone)]
    notes, log = folder / f"{part}.jsonl", folder / f"{part}.log"
    command = [sys.executable, "-m", "gpu_check", "--work", part, "--device", device]
    command += ["--folder", str(folder), "--until", str(until)]
    while time.time() < until:
        before, told = _count(notes), log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            status = process.wait(max(0, until - time.time()) + _GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            break
        if status == 0:
            break
        _note_death(notes, part, f"its process ended with status {status}: {_last_line(log, told)}")
        if _count(notes) == before:
            break
    _note_death(notes, part, "it had not ended when the time was over")
    return _results(notes, log, part)


def work(part: str, device: str, folder: Path, until: float) -> None:
    """Run the checks that have no result yet, one after another, until there is no time for another."""
    notes, checks = folder / f"{part}.jsonl", PARTS[part].checks()
    if not notes.exists():
        _note(notes, {"names": list(checks)})
    done = {one["name"] for one in _read(notes) if "state" in one}
    place, longest = Place(device, folder), 0.0
    for name, check in checks.items():
        if name in done:
            continue
        left, needed = until - time.time(), longest or PARTS[part].seconds
        if left < needed:
            words = f"{max(0, left):.0f} s were left, and it may take {needed:.0f} s"
            _note(notes, asdict(Result(part, name, SKIPPED, 0.0, words)))
            continue
        _note(notes, {"begun": name})
        result = _checked(part, name, check, place)
        longest = max(result.seconds, longest)
        _note(notes, asdict(result))
        if result.state == FAILED and _is_lost(device):
            sys.exit(1)


def _checked(part: str, name: str, check: Check, place: Place) -> Result:
    started = time.perf_counter()
    try:
        found, state = check(place), PASSED
    except Skipped as why:
        found, state = Passed(str(why)), SKIPPED
    except Exception as error:
        traceback.print_exc()
        found, state = Passed(f"{type(error).__name__}: {_first_lines(error)}"), FAILED
    seconds = round(time.perf_counter() - started, 2)
    return Result(part, name, state, seconds, found.words, dict(found.figures or {}))


def _is_lost(device: str) -> bool:
    """Whether the device answers no more, as after an assert in a kernel: only another process can go on."""
    if device != "cuda":
        return False
    import torch

    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def _last_line(log: Path, start: int = 0) -> str:
    """Of what was written after the first `start` bytes."""
    text = log.read_bytes()[start:].decode(errors="replace")
    return (text.strip().splitlines() or ["it said nothing"])[-1][:200]


def _note(notes: Path, content: dict[str, Any]) -> None:
    with notes.open("a") as file:
        file.write(json.dumps(content) + "\n")


def _read(notes: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


def _count(notes: Path) -> int:
    return len(_read(notes))


def _note_death(notes: Path, part: str, words: str) -> None:
    """That of the check which was begun and has no result."""
    read = _read(notes)
    done = {one["name"] for one in read if "state" in one}
    for one in read:
        if "begun" in one and one["begun"] not in done:
            _note(notes, asdict(Result(part, one["begun"], FAILED, 0.0, words)))


def _results(notes: Path, log: Path, part: str) -> list[Result]:
    read = _read(notes)
    found = {one["name"]: Result(**one) for one in read if "state" in one}
    names = next((one["names"] for one in read if "names" in one), [])
    if not names and log.exists():
        return [Result(part, part, FAILED, 0.0, f"it did not begin: {_last_line(log)}")]
    return [found.get(name) or Result(part, name, SKIPPED, 0.0, "no time was left") for name in names or [part]]
