"""What a sweep found: jobs.csv (a row a job), summary.csv (over seeds: mean, standard deviation, n), summary.md (both).

Made anew from the run directories whenever a job ends; each file is whole at every moment. Which jobs differ in the
seed alone is decided as `vae-runs over=seed` decides it: by the configs as they stand, budget included, so that a job
which was trained further is no seed of the others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vae_cli.files import replacing
from vae_cli.listing.differing import differing, grouped, groups, telling
from vae_cli.listing.places import Place
from vae_cli.listing.record import Record, record
from vae_cli.sweeps.folder import SweepFolder
from vae_cli.sweeps.results import Result, counted, results
from vae_cli.sweeps.table import Table, csv_lines, markdown_rows, means, with_deviations
from vae_cli.telling import clean

_SEED = "seed"


def write_summary(sweep: SweepFolder) -> None:
    """The three files."""
    with sweep.locked():
        found = results(sweep, sweep.jobs())
        jobs, seeds = _job_table(found), _seed_table(sweep, found)
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


@dataclass(frozen=True)
class _Member:
    """A job, and its run as it stands."""

    result: Result
    record: Record


def _seed_table(sweep: SweepFolder, found: Sequence[Result]) -> Table:
    """A row for every setting, over its seeds: the mean and the standard deviation (n - 1) of every figure, and n."""
    members = [_Member(result, record(Place(sweep.run(result.job).path))) for result in found]
    swept, tags = [key for key in _swept(found) if key != _SEED], _tags(found)
    settings = _over_seeds(members, swept)
    firsts = [setting[0].record for setting in settings]
    more = telling([key for key in differing(firsts) if key not in (_SEED, *swept)], swept, firsts)
    return [
        {
            **{key: setting[0].result.job.swept.get(key) for key in swept},
            **{key: setting[0].record.values.get(key) for key in more},
            "n": sum(1 for one in setting if one.result.figures),
            **means([one.result.figures for one in setting], tags),
        }
        for setting in settings
    ]


def _over_seeds(members: Sequence[_Member], swept: Sequence[str]) -> list[list[_Member]]:
    """Those of one setting together; jobs that never came to have a config by what they were asked with."""
    places = {one.record.place.path: one for one in members}
    alike = [[places[each.place.path] for each in group] for group in groups([one.record for one in members], [_SEED])]
    without = [one for one in members if not one.record.config]
    return [*alike, *grouped(without, lambda one: tuple(one.result.job.swept.get(key) for key in swept)).values()]


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
