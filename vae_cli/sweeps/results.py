"""What became of the jobs of a sweep so far, and which is the best."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vae_cli.sweeps.folder import Job, SweepFolder, end_of, state_of
from vae_cli.sweeps.table import tally

_RANKED_BY = ("test/iwae_", "test/elbo", "test/reconstruction")  # the first that there is; larger is better


@dataclass(frozen=True)
class Result:
    """What became of one job."""

    job: Job
    state: str
    reason: str | None
    steps: int
    epochs: int | None
    figures: Mapping[str, float]  # by tag; {} before it finished


def results(sweep: SweepFolder, jobs: Iterable[Job]) -> list[Result]:
    """What became of every job so far."""
    return [_result(sweep, job) for job in jobs]


def ranking(figures: Mapping[str, float]) -> str | None:
    """The tag of the figure by which jobs compare, larger is better."""
    return next((tag for start in _RANKED_BY for tag in figures if tag.startswith(start)), None)


def best(found: Sequence[Result]) -> tuple[str, Result] | None:
    """The figure by which finished jobs compare, and the best by it."""
    tag = ranking({tag: 0.0 for result in found for tag in result.figures})
    having = [result for result in found if tag in result.figures]
    return None if tag is None else (tag, max(having, key=lambda result: result.figures[tag]))


def counted(found: Sequence[Result]) -> str:
    """How many jobs are in which state."""
    return tally([result.state for result in found])


def _result(sweep: SweepFolder, job: Job) -> Result:
    run = sweep.run(job)
    state, status = state_of(run), run.status()
    if state != "finished":
        return Result(job, state, status.get("reason"), status.get("step", 0), None, {})
    if (end := end_of(run)) is None:
        reason = f"{run.path / 'metrics.json'} is gone or damaged: the same sweep again tests it again"
        return Result(job, "damaged", reason, status.get("step", 0), None, {})
    return Result(job, state, status.get("reason"), end.steps, end.epochs, end.figures)
