"""One display for a sweep, fed from the status files of its jobs, so that it is the same wherever they run."""

import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from vae_cli.consoles import Words, console
from vae_cli.sweeps.folder import Job, SweepFolder
from vae_cli.sweeps.results import Result, best, counted, ranking, results
from vae_cli.telling import is_quiet, say

_LOOK = 0.5  # seconds between two looks
_TOLD = 30.0  # seconds between two lines on how far it is, where there is no terminal
_ENDS = ("finished", "failed", "interrupted")


class Display:
    """A line for every job that ends; on a terminal, how far the sweep is, the best
    job so far and the time left; elsewhere, on standard error, jobs that fail and now and then how far it is.

    Args:
        folder: of the sweep.
        jobs: all that were asked for.
        to_do: those of them that are run now.
    """

    def __init__(self, folder: SweepFolder, jobs: Sequence[Job], to_do: Sequence[Job]) -> None:
        self._folder, self._jobs = folder, jobs
        self._before = {job.name: self._changed(job) for job in to_do}
        self._waiting = list(to_do)
        self._out, self._err, self._over = sys.stdout, sys.stderr, threading.Event()
        self._told = time.monotonic()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._progress = Progress(
            Words("{task.description}"),
            BarColumn(),
            Words("{task.fields[best]}"),
            TimeElapsedColumn(),
            Words("left"),
            TimeRemainingColumn(),
            console=console(sys.stderr),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            disable=is_quiet() or not sys.stderr.isatty(),
            speed_estimate_period=24 * 3600,
        )
        self._task = self._progress.add_task("sweep", total=len(to_do), best="")

    def __enter__(self) -> "Display":
        """Begin to follow."""
        self._progress.start()
        self._out, self._err = sys.stdout, sys.stderr  # jobs in this process send theirs elsewhere
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A last look."""
        self._over.set()
        self._thread.join()
        self._look()
        self._progress.stop()

    def _follow(self) -> None:
        while not self._over.wait(_LOOK):
            self._look()

    def _look(self) -> None:
        moved = [job for job in self._waiting if self._changed(job) != self._before[job.name]]
        ended = [one for one in results(self._folder, moved) if one.state in _ENDS]
        for one in ended:
            self._waiting.remove(one.job)
            if one.state == "failed" and not self._out.isatty():
                say(f"failed: {one.job.name}: {one.reason}", to=self._err)
            if not is_quiet():
                say(line(one), to=self._out)
        if self._progress.disable and not is_quiet() and time.monotonic() - self._told > _TOLD:
            self._told = time.monotonic()
            say(f"sweep: {counted(results(self._folder, self._jobs))}", to=self._err)
        if ended or not self._progress.disable:
            found = results(self._folder, self._jobs)
            self._progress.update(
                self._task,
                completed=len(self._before) - len(self._waiting),
                description=counted(found),
                best=f"best {named_best(found)}" if best(found) else "",
            )

    def _changed(self, job: Job) -> int:
        try:
            return (self._folder.run(job).path / "status.json").stat().st_mtime_ns
        except FileNotFoundError:
            return 0


def line(result: Result) -> str:
    """What became of a job."""
    tag = ranking(result.figures)
    figure = "" if tag is None else f"{tag} {result.figures[tag]:.3f}"
    told = {"finished": figure, "failed": result.reason, "interrupted": f"after step {result.steps}"}
    return f"{result.job.name:<40} {result.state:<12} {told.get(result.state, '')}"


def named_best(found: Sequence[Result]) -> str | None:
    """The best figure so far, and whose it is."""
    if (winner := best(found)) is None:
        return None
    tag, result = winner
    return f"{tag} {result.figures[tag]:.3f} ({result.job.name})"
