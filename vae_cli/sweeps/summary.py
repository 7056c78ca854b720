"""What a sweep found: jobs.csv (a row a job), summary.csv (over seeds: mean, standard deviation, n), summary.md (both).

Made anew from the run directories whenever a job ends; each file is whole at every moment.
"""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vae_cli.files import replacing
from vae_cli.sweeps.folder import Job, SweepFolder, state_of

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
            "jobs.csv": _csv(jobs),
            "summary.csv": _csv(seeds),
            "summary.md": _markdown(sweep.path.name, found, seeds, jobs),
        }
        for name, text in texts.items():
            with replacing(sweep.path / name) as file:
                file.write(text.encode())


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
    states = [result.state for result in found]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _result(sweep: SweepFolder, job: Job) -> Result:
    run = sweep.run(job)
    state, status = state_of(run), run.status()
    metrics = run.metrics() if state == "finished" else {}
    steps = metrics.get("steps", status.get("step", 0))
    return Result(job, state, status.get("reason"), steps, metrics.get("epochs"), metrics.get("test", {}))


Table = list[dict[str, Any]]


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
        {**dict(zip(swept, setting, strict=True)), "n": sum(1 for one in group if one.figures), **_over(group, tags)}
        for setting, group in groups.items()
    ]


def _over(group: Sequence[Result], tags: Sequence[str]) -> dict[str, float | None]:
    row: dict[str, float | None] = {}
    for tag in tags:
        values = [result.figures[tag] for result in group if tag in result.figures]
        row[tag] = statistics.fmean(values) if values else None
        row[f"{tag} sd"] = statistics.stdev(values) if len(values) > 1 else None
    return row


def _swept(found: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(key for result in found for key in result.job.swept))


def _tags(found: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(tag for result in found for tag in result.figures))


def _csv(table: Table) -> str:
    if not table:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _markdown(name: str, found: Sequence[Result], seeds: Table, jobs: Table) -> str:
    over = [_with_deviations(row) for row in seeds]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"{len(found)} jobs: {counted(found)}. Figures in nats per example unless their name says otherwise.",
            "",
            "## Over seeds: mean ± standard deviation",
            "",
            *_rows(over),
            "",
            "## Jobs",
            "",
            *_rows(jobs),
            "",
        ]
    )


def _with_deviations(row: Mapping[str, Any]) -> dict[str, Any]:
    """A mean and its deviation in one cell."""
    cells = {}
    for key, value in row.items():
        deviation = row.get(f"{key} sd")
        if not key.endswith(" sd"):
            cells[key] = _cell(value) if deviation is None else f"{_cell(value)} ± {_cell(deviation)}"
    return cells


def _rows(table: Table) -> Iterator[str]:
    if not table:
        return
    yield f"| {' | '.join(table[0])} |"
    yield f"|{' --- |' * len(table[0])}"
    for row in table:
        yield f"| {' | '.join(_cell(value) for value in row.values())} |"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else str(value)
    return " ".join(str(value).split()).replace("|", "\\|")
