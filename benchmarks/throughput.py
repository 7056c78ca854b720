"""Training speed beside the fastest of some bare PyTorch loops, and beside pythae where it is installed.

    python benchmarks/throughput.py [case ...] [--rounds 7] [--threads N] [--precision bf16-mixed]
        [--device cuda] [--compile]

Every round runs each contestant once, in turn, in this process; a ratio is that of two neighbours in one round, so that
what else the machine does at the time concerns both. Ours is a whole run, as the command line starts it: Lightning,
TensorBoard, checkpoints; its speed is read from the wall times in its event file. Validation and pictures are off,
since the others have none. x is 0/1 noise: speed does not depend on what the pixels show.
"""

import argparse
import functools
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestants import CASES, Case, bare_loop, ours, pythae_loop
from rich.console import Console
from rich.table import Table

WARM_UP = 100  # steps before the clock starts; ours logs every 50
Contestant = Callable[[int], float]  # steps -> images a second


def main() -> None:
    """Print one table a case."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    logging.disable(logging.INFO)
    console = Console()
    console.print(_machine(arguments))
    for name in arguments.cases or CASES:
        case = CASES[name]
        with tempfile.TemporaryDirectory() as folder:
            contestants = contestants_of(case, Path(folder), examples_of(case, Path(folder)), arguments)
            speeds = alternate(contestants, arguments.rounds, arguments.seconds, case.batch_size)
        console.print(_table(case, speeds))


def examples_of(case: Case, folder: Path) -> torch.Tensor:
    """Pixels in float32, which lie in the folder too, as x.npz."""
    x = np.random.default_rng(0).integers(0, 2, (case.examples, *case.shape)).astype(bool)
    np.savez(folder / "x.npz", x=x)
    return torch.from_numpy(x).float()


def contestants_of(case: Case, folder: Path, x: torch.Tensor, arguments: argparse.Namespace) -> dict[str, Contestant]:
    """Ours first; the bare loops are named so. Of the arguments it reads precision, compile and device."""
    words = [f"trainer.precision={arguments.precision}", f"compile={str(arguments.compile).lower()}"]
    words.append(f"trainer.accelerator={arguments.device}")
    found: dict[str, Contestant] = {"vae-train": lambda steps: ours(case, folder, steps, WARM_UP, words)}
    variants = {"fused Adam": {"fused": True, "channels_last": False}}
    if case.channels_last:
        variants["fused Adam, channels-last"] = {"fused": True, "channels_last": True}
    else:
        variants["foreach Adam"] = {"fused": False, "channels_last": False}
    common = {"low": arguments.precision == "bf16-mixed", "compiled": arguments.compile, "device": arguments.device}
    for name, variant in variants.items():
        found[f"bare loop, {name}"] = functools.partial(_bare, case, x, {**variant, **common})
    if pythae_loop is not None and arguments.device == "cpu":
        found["pythae"] = functools.partial(pythae_loop, case, folder, x)
    return found


def _bare(case: Case, x: torch.Tensor, variant: dict[str, Any], steps: int) -> float:
    return bare_loop(case, x, steps, WARM_UP, **variant)


def alternate(contestants: Mapping[str, Contestant], rounds: int, seconds: float, batch: int) -> dict[str, list[float]]:
    """Images a second of each, by round; each takes about `seconds` a round."""
    steps: dict[str, int] = {}
    for name, contestant in contestants.items():  # the first, untimed round also tells how many steps to take
        steps[name] = max(100, round(contestant(WARM_UP + 100) * seconds / batch / 50) * 50)
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            speeds[name].append(contestant(steps[name] + WARM_UP))
    return speeds


def _table(case: Case, speeds: Mapping[str, list[float]]) -> Table:
    table = Table(title=f"{case.title}: images a second", title_justify="left")
    for column in ("", "median", "vae-train is times as fast: median", "range"):
        table.add_column(column, justify="left" if column == "" else "right")
    bare = [name for name in speeds if name.startswith("bare")]
    fastest = max(bare, key=lambda name: statistics.median(speeds[name]))
    for name, values in speeds.items():
        ratios = [mine / theirs for mine, theirs in zip(speeds["vae-train"], values, strict=True)]
        cells = ("", "") if name == "vae-train" else spread(ratios)
        style = "bold" if name in ("vae-train", fastest) else None
        table.add_row(name, f"{statistics.median(values):,.0f}", *cells, style=style)
    return table


def spread(ratios: list[float]) -> tuple[str, str]:
    """Their median, and from which to which."""
    return f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"


def _machine(arguments: argparse.Namespace) -> str:
    return (
        f"torch {torch.__version__}, {arguments.device}, {torch.get_num_threads()} thread(s), "
        f"precision {arguments.precision}, {'compiled, ' if arguments.compile else ''}"
        f"{arguments.rounds} rounds, {time.strftime('%Y-%m-%d')}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each contestant in each round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--precision", choices=["32-true", "bf16-mixed"], default="32-true", help="pythae has 32-true alone"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="pythae has cpu alone")
    parser.add_argument("--compile", action="store_true", help="all but pythae")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
