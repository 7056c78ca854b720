"""Whether all of it holds on a GPU: every preset, resuming, NaN, where data lies, waiting, speed. See gpu_check.sh.

Each part runs in a process of its own. A check that fails is told and the others go on; one that ends its process (a
device-side assert) costs itself alone. What the time does not allow is skipped, and said to be.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from gpu_check.parts import PARTS
from gpu_check.results import FAILED, Result, counted, write
from gpu_check.running import run_part, work


def main() -> int:
    """Run the parts in turn; 1 where a check failed."""
    arguments = _arguments()
    if arguments.work:
        work(arguments.work, arguments.device, arguments.folder, arguments.until)
        return 0
    started = time.time()
    until = started + 60 * arguments.minutes - _TO_WRITE
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in dict.fromkeys(["machine", *(arguments.parts or PARTS)]):
            found = run_part(name, arguments.device, Path(folder), until)
            results += found
            print(f"{name}: {counted(found)}, {time.time() - started:.0f} s since the start", flush=True)
            for one in found:
                if one.state == FAILED:
                    print(f"  {one.name}: {one.words}", flush=True)
            if name == "machine" and found[0].state == FAILED:
                break
    write(results, arguments.device, time.time() - started, arguments.out)
    return int(any(one.state == FAILED for one in results))


_TO_WRITE = 10  # seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gpu_check.sh", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="what the time does not allow is skipped")
    parser.add_argument("--out", type=Path, default=Path("gpu_check"), help="folder of gpu_check.json and gpu_check.md")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    found = parser.parse_args()
    if unknown := [name for name in found.parts if name not in PARTS]:
        parser.error(f"no part {', '.join(unknown)}: choose some of {', '.join(PARTS)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
