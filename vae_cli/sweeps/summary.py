"""What a sweep found: jobs.csv (a row a job), summary.csv (over seeds: mean, standard deviation, n), summary.md (both).

Made anew from the run directories whenever a job ends; each file is whole at every moment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vae_cli.files import replacing
from vae_cli.sweeps.folder import Job, SweepFolder, end_of, state_of
from vae_cli.sweeps.table import Table, csv_lines, markdown_rows, means, tally, with_deviations
from vae_cli.telling import clean

_RANKED_BY = ("test/iwae_", "test/elbo", "test/reconstruction")  # the first that there is; larger is better
_SEED = "seed"


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


def write_summary(sweep: SweepFolder) -> None:
    """The three files."""
    with sweep.locked():
        found = results(sweep, sweep.jobs())
        jobs, seeds = _job_table(found), _seed_table(found)
        texts = {
            "jobs.csv": _file(csv_lines(jobs)),
            "summary.csv": _file(csv_lines(seeds)),
            "summary.md": _markdown(sweep.path.name, found, seeds, jobs),
        }
        for name, text in texts.items():
            with replacing(sweep.path / name) as file:
                file.write(text.encode())


def _file(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


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


def _job_table(found: Sequence[Result]) -> Table:
    swept, tags = _swept(found), _tags(found)
    return [
        {
            "job": result.job.name,
            "state": result.state,
            **{key: result.job.swept.get(key) for key in swept},
            "epochs": result.epochs,
            "steps": result.steps,
            **{tag: result.figures.get(tag) for tag in tags},
            "reason": result.reason,
        }
        for result in found
    ]


def _seed_table(found: Sequence[Result]) -> Table:
    """A row for every setting, over its seeds: the mean and the standard deviation (n - 1) of every figure, and n."""
    swept, tags = [key for key in _swept(found) if key != _SEED], _tags(found)
    groups: dict[tuple[str | None, ...], list[Result]] = {}
    for result in found:
        groups.setdefault(tuple(result.job.swept.get(key) for key in swept), []).append(result)
    return [
        {
            **dict(zip(swept, setting, strict=True)),
            "n": sum(1 for one in group if one.figures),
            **means([one.figures for one in group], tags),
        }
        for setting, group in groups.items()
    ]


def _swept(found: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(key for result in found for key in result.job.swept))


def _tags(found: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(tag for result in found for tag in result.figures))


def _markdown(name: str, found: Sequence[Result], seeds: Table, jobs: Table) -> str:
    over = [with_deviations(row) for row in seeds]
    return "\n".join(
        [
            f"# {clean(name)}",
            "",
            f"{len(found)} jobs: {clean(counted(found))}. "
            "Figures in nats per example unless their name says otherwise.",
            "",
            "## Over seeds: mean ± standard deviation",
            "",
            *markdown_rows(over),
            "",
            "## Jobs",
            "",
            *markdown_rows(jobs),
            "",
        ]
    )
