"""`vae-train -m`: which jobs a command asks for, which of them are still to do, and what became of them.

Hydra expands the command and its launcher runs the jobs. A job is known by the hash of its config, so the same command
again, in the folder that it named the first time, does what is left. Nothing here imports torch.
"""

import math
import multiprocessing
import os
import shlex
import signal
import sys
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, flag_override

from vae_cli.cli.choices import groups, overrides_of, parsed, typed
from vae_cli.cli.errors import explain, is_users, key_without_reader
from vae_cli.cli.launching import Setup, check_counts, check_launcher, jobs_at_once
from vae_cli.cli.recipe import check_job
from vae_cli.cli.recorded import OF_THE_COMMAND, check_recorded
from vae_cli.cli.sweep_display import Display, named_best
from vae_cli.cli.sweep_job import calls_of_this_process
from vae_cli.cli.typed_paths import quoted, shell_word
from vae_cli.errors import ConfigError
from vae_cli.files import own_folder, refuse_link
from vae_cli.listing.summary import write_summary
from vae_cli.sweeps import identity
from vae_cli.sweeps.folder import Job, SweepFolder, is_spent, state_of
from vae_cli.sweeps.results import Result, counted, results
from vae_cli.telling import fail, say, warn

_MOST_JOBS = 10_000
_M = {"-m", "--multirun"}
_OF_HYDRA = ("hydra.", "hydra/")
_typed: list[str] = []  # the command line's arguments
status = 0  # of the process

Composer = tuple[HydraContext, DictConfig]


def sweep_arguments(arguments: list[str]) -> list[str]:
    """The command line as Hydra is to see it; words that are for the jobs of a sweep are left out of it, but for the
    choices that all jobs share, since Hydra would read them against the default composition.
    """
    global _typed
    _typed = arguments
    words = overrides_of(arguments)
    goes_on = any(word.startswith("sweep=") for word in words)
    if not goes_on and not _M & set(arguments):
        return arguments
    for word, override in zip(words, parsed(words), strict=True):
        shared = not goes_on and override.key_or_group in groups() and not override.is_sweep_override()
        if not shared and _key(word) not in OF_THE_COMMAND and not word.startswith(_OF_HYDRA):
            arguments = [one for one in arguments if one != word]
    return arguments if _M & set(arguments) else ["-m", *arguments]


def sweep(context: HydraContext, task: TaskFunction, master: DictConfig) -> None:
    """Runs what is left to do, in the folder that the command names.

    Raises:
        ConfigError: where no job at all can be run; then nothing was written.

    """
    global status
    launcher = master.hydra.runtime.choices["hydra/launcher"]
    check_launcher(launcher)
    check_counts(master.hydra, launcher)
    retry, threads = _retry(master), _threads(master)
    asked, folder = _asked((context, master))
    if all(one.refusal for one in asked):
        raise ConfigError(asked[0].refusal or "no job was asked for")
    _record(folder, asked)
    jobs = [one.job for one in asked]
    to_do = [one for one in asked if _is_to_do(folder, one, retry)]
    for one in to_do:
        refuse_link(folder.run(one.job).path)
    call = uuid.uuid4().hex
    calls_of_this_process.add(call)
    folder.forget_old_stops()
    broken = None
    try:
        with Display(folder, jobs, [one.job for one in to_do]), _listening(folder, call):
            if to_do:
                _launch((context, task, master), folder, call, threads, to_do)
    except Exception as error:
        if is_users(error):
            raise
        broken = f"{type(error).__name__}: {error}"
    finally:
        stopped = folder.stopped_by(call)
        folder.forget(call)
        write_summary(folder)
    found = results(folder, jobs)
    _report(folder, found)
    if broken is not None:
        fail(f"error: hydra/launcher={launcher} broke: {' '.join(broken.split())}")
    unfinished = any(result.state not in ("finished", "running") for result in found)
    status = 128 + stopped if stopped is not None else int(unfinished or broken is not None)


# ---- which jobs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """A job of this call."""

    job: Job
    config: DictConfig | None  # None where it was refused
    refusal: str | None = None
    lacking: Mapping[str, str] = field(default_factory=dict)  # words that it has nothing for, with the reason


def _asked(composer: Composer) -> tuple[list[_Asked], SweepFolder]:
    """The jobs of the command, each once, and the folder that they belong to."""
    master = composer[1]
    words = [word for word in overrides_of(_typed) if _key(word) not in OF_THE_COMMAND]
    words = [word for word in words if not word.startswith(_OF_HYDRA)]
    if master.sweep is not None:
        folder = SweepFolder(Path(master.sweep))
        recorded = folder.jobs()
        if not recorded:
            raise ConfigError(f"sweep={master.sweep}: there is no sweep.yaml; name the folder of a sweep")
        for job in recorded:
            check_recorded(job.words, list(master.trust), f"{folder.path / 'sweep.yaml'}, job {job.name}")
        asked = [one for job in recorded for one in _continued(job, words, composer)]
    else:
        spaces = list(_spaces(words, master, composer[0]))
        asked = [_ask(one, swept, composer, None) for space in spaces for one, swept in _expanded(space)]
        folder = SweepFolder(_folder(master, words, asked))
        recorded = folder.jobs()
    _tell_left_out(asked)
    return _each_once(asked, recorded), folder


def _spaces(words: list[str], master: DictConfig, context: HydraContext) -> Iterator[list[Override]]:
    """What is typed beside what `search=` has; one space for every model, where that has several."""
    parser = OverridesParser.create(config_loader=context.config_loader)
    settings, asked = master.hydra.sweeper, parser.parse_overrides(words)
    for name, what in settings.missing.items():
        warn(f"left out: {what}; there is no model={name}")
    common = [f"{key}={values}" for key, values in settings.params.items()]
    if not settings.models:
        yield parser.parse_overrides([*common, *words])
        return
    (picked,) = [_values(one) for one in asked if one.key_or_group == "model"] or [list(settings.models)]
    others = [word for word in words if not word.startswith("model=")]
    if unknown := [model for model in picked if model not in settings.models]:
        raise ConfigError(f"model={unknown[0]}: this search has the models {', '.join(settings.models)}")
    for model in picked:
        own = [f"{key}={values}" for key, values in settings.models[model].items()]
        yield parser.parse_overrides([f"model=choice({model})", *own, *common, *others])


def _expanded(space: list[Override]) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Every combination as Hydra makes them: its words, and of those the ones that are swept."""
    swept = {one.get_key_element() for one in space if one.is_sweep_override()}
    _check_number(space)
    for words in BasicSweeper.split_arguments(space, None)[0]:
        pairs = [word.partition("=") for word in words]
        yield words, {key: value for key, _, value in pairs if key in swept}


def _check_number(space: list[Override]) -> None:
    """ConfigError where a key has no values, or all together are more jobs than a sweep can have."""
    jobs = 1
    for one in space:
        if one.is_sweep_override():
            with typed(repr(one.input_line)):
                jobs *= (number := _number_of_values(one))
            if number == 0:
                raise ConfigError(f"{one.input_line}: there are no such values, so no job was asked for")
    if jobs > _MOST_JOBS:
        raise ConfigError(f"{jobs} jobs were asked for, and a sweep can have {_MOST_JOBS}: choose fewer values")


def _number_of_values(override: Override) -> int:
    """Counted, not made: a range can be longer than memory."""
    value = override.value()
    if isinstance(value, RangeSweep) and value.start is not None and value.stop is not None:
        return max(0, math.ceil((value.stop - value.start) / value.step))
    return len(_values(override))


def _continued(job: Job, words: list[str], composer: Composer) -> Iterator[_Asked]:
    """A recorded job, and what it becomes with the words that were typed."""
    if any(identity.counts(_key(word)) for word in words):
        yield _ask(job.words, job.swept, composer, ())
    for together, _ in _expanded(OverridesParser.create().parse_overrides([*job.words, *words])):
        pairs = [word.partition("=") for word in together]
        new = {_key(word) for word in words}
        swept = {key: value for key, _, value in pairs if key in job.swept or (key in new and identity.counts(key))}
        yield _ask(together, swept, composer, new)


def _ask(words: list[str], swept: dict[str, str], composer: Composer, optional: Collection[str] | None) -> _Asked:
    """Composed and checked as a single run is.

    Args:
        optional: keys that are left out where the job has nothing that reads them; None: any.
    """
    lacking: dict[str, str] = {}
    config = refusal = None
    while config is None and refusal is None:
        try:
            config = _composed(words, composer)
        except Exception as error:
            if not is_users(error):
                raise
            key, reason = key_without_reader(error), explain(error, "train")
            without = [word for word in words if _key(word) != key]
            if len(without) == len(words) or (optional is not None and key not in optional):
                refusal = reason
            else:
                lacking.update(dict.fromkeys(sorted({*words} - {*without}), reason))
                words, swept = without, {name: value for name, value in swept.items() if name != key}
    digest = identity.digest(sorted(words)) if config is None else identity.identity(config, swept)
    return _Asked(Job(f"{identity.readable(swept)}_{digest}", words, swept), config, refusal, lacking)


def _composed(words: list[str], composer: Composer) -> DictConfig:
    context, master = composer
    with typed(" ".join(words)):
        config = context.config_loader.load_sweep_config(master, words)
    HydraConfig.instance().set_config(config)
    choices = config.hydra.runtime.choices
    with flag_override(config, ["struct", "readonly"], [False, False]):
        del config["hydra"]
    check_job(config, words, choices)
    return config


def _tell_left_out(asked: Sequence[_Asked]) -> None:
    """Which words some of the jobs have nothing for; ConfigError where that is so of all."""
    read = {_key(word) for one in asked for word in one.job.words}
    for word in dict.fromkeys(word for one in asked for word in one.lacking):
        without = [one for one in asked if word in one.lacking]
        if _key(word) not in read:
            raise ConfigError(without[0].lacking[word])
        first = " ".join(f"{key}={value}" for key, value in without[0].job.swept.items())
        others = f" and {len(without) - 1} more" if len(without) > 1 else ""
        warn(f"left out: {word}, where nothing reads it: {first}{others}, of {len(asked)} jobs")


def _each_once(asked: Sequence[_Asked], recorded: Sequence[Job]) -> list[_Asked]:
    """By identity; a job that is there already keeps its folder."""
    known = {_hash(job): job for job in recorded}
    found: dict[str, _Asked] = {}
    for one in asked:
        if (before := known.get(_hash(one.job))) is not None:
            one = replace(one, job=replace(one.job, name=before.name, swept={**before.swept, **one.job.swept}))
        found[one.job.name] = one
    return list(found.values())


def _hash(job: Job) -> str:
    return job.name.rpartition("_")[2]


# ---- where ----------------------------------------------------------------------------------------------------------


def _folder(master: DictConfig, words: Sequence[str], asked: Sequence[_Asked]) -> Path:
    """`hydra.sweep.dir=` where it was typed, or <name>, or after the model, the data, what is swept, and a hash of what
    is fixed, so that a command with more values finds the folder again.
    """
    root = Path(master.hydra.sweep.dir)
    if any(word.startswith("hydra.sweep.dir=") for word in overrides_of(_typed)):
        return root
    fixed = {_key(word): word.partition("=")[2] for word in words}
    if "name" in fixed:
        return root / fixed["name"]
    settings, choices = master.hydra.sweeper, master.hydra.runtime.choices
    swept = dict.fromkeys(key for one in asked for key in one.job.swept)
    searched = {"model", *settings.params, *(key for space in settings.models.values() for key in space)}
    varied = {*swept, *(searched if choices.get("search") else ())}
    first = {_key(word): word.partition("=")[2] for word in asked[0].job.words}
    parts = [first.get(axis, choices[axis]) for axis in ("model", "dataset") if axis not in swept]
    parts += [choices["search"]] if choices.get("search") else [key.rpartition(".")[2] for key in swept]
    rest = sorted(word for word in words if _key(word) not in varied and identity.counts(_key(word)))
    return root / "_".join([*map(str, parts), identity.digest(rest)[:4]])


def _record(folder: SweepFolder, asked: Sequence[_Asked]) -> None:
    """The definition, and the reasons of those jobs that were refused."""
    folder.ask_for([one.job for one in asked], shlex.join(["vae-train", *_typed]))
    for one in asked:
        if one.refusal is not None:
            run = folder.run(one.job)
            own_folder(run.path)
            run.write_status("failed", 0, one.refusal)


def _retry(master: DictConfig) -> bool:
    if master.retry not in (None, "failed"):
        raise ConfigError(f"retry={master.retry}: failed is what can be retried")
    return master.retry == "failed"


def _is_to_do(folder: SweepFolder, one: _Asked, retry: bool) -> bool:
    if one.config is None:
        return False
    run = folder.run(one.job)
    state = state_of(run)
    if state == "finished":
        return not is_spent(run, one.config.trainer)
    return state in ("waiting", "interrupted", "killed") or (state == "failed" and retry)


# ---- running --------------------------------------------------------------------------------------------------------


def _launch(setup: Setup, folder: SweepFolder, call: str, threads: int | None, to_do: Sequence[_Asked]) -> None:
    """By whichever launcher Hydra is configured with."""
    context, task, master = setup
    place = str(folder.path.absolute())
    words = [
        f"hydra.sweep.dir={quoted(place)}",
        f"hydra.sweeper.call={quoted(call)}",
        f"hydra.sweeper.threads={'null' if threads is None else threads}",
        *([f"trust=[{','.join(map(quoted, master.trust))}]"] if master.trust else []),
    ]
    with flag_override(master, "readonly", False):
        master.hydra.sweep.dir, master.hydra.sweeper.call = place, call
    launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=master)
    launcher.launch(
        [
            [*one.job.words, *words, *_fetching(master, one), f"hydra.sweep.subdir={quoted(one.job.name)}"]
            for one in to_do
        ],
        0,
    )


def _fetching(master: DictConfig, one: _Asked) -> list[str]:
    """Nothing is fetched to a place that sweep.yaml alone names."""
    typed = {_key(word) for word in overrides_of(_typed)}
    recorded = {_key(word) for word in one.job.words} if master.sweep is not None else set()
    if "dataset.root" not in recorded or typed & {"dataset.root", "dataset.download"}:
        return []
    return ["dataset.download=false"] if one.config is not None and "download" in one.config.dataset else []


def _threads(master: DictConfig) -> int | None:
    """Of a job where several share the machine; None leaves them as they are."""
    settings, launcher = master.hydra.sweeper, master.hydra.launcher
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    at_once = {
        "local": lambda: jobs_at_once(launcher.n_jobs, settings.jobs_per_gpu),
        "joblib": lambda: launcher.n_jobs if launcher.n_jobs > 0 else cores + 1 + launcher.n_jobs,
        "submitit_local": lambda: cores,  # all of them
    }.get(master.hydra.runtime.choices["hydra/launcher"], lambda: 1)()
    if settings.threads is not None or at_once == 1:
        return settings.threads
    return max(1, cores // at_once)


@contextmanager
def _listening(folder: SweepFolder, call: str) -> Iterator[None]:
    """SIGINT or SIGTERM: no more jobs begin, and those that run save and stop; a second SIGINT ends at once."""

    def handle(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and folder.stopped_by(call) is not None:
            if children := multiprocessing.active_children():  # then they are all the jobs that there are
                for process in children:
                    process.kill()
                folder.forget(call)
            os._exit(128 + number)
        folder.stop(call, number)
        os.write(2, b"stopping: jobs that run save what they have; Ctrl-C again ends at once\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- telling --------------------------------------------------------------------------------------------------------


def _report(folder: SweepFolder, found: Sequence[Result]) -> None:
    """The last lines: how many, the best, where; then every job that failed, and how to run it again."""
    place = os.path.relpath(folder.path)
    say(f"{'jobs':<20} {counted(found)}")
    if (winner := named_best(found)) is not None:
        say(f"{'best':<20} {winner}")
    say(f"{'summary':<20} {place}/summary.md")
    say(f"{'look at it':<20} tensorboard --logdir {shlex.quote(place)}")
    for result in found:
        if result.state in ("failed", "killed", "damaged"):
            reason = result.reason or "the process ended without a word (was it killed, or out of memory?)"
            again = _again(folder, result.job, place)
            fail(f"error: {result.job.name} {result.state}: {reason}; again: {again}")
    states = [result.state for result in found]
    if "failed" in states:
        warn(f"all that failed again: {_command('-m', shell_word('sweep', place), 'retry=failed')}")
    if {"killed", "interrupted", "waiting", "damaged"} & set(states):
        warn(f"to go on: {_command('-m', shell_word('sweep', place))}")


def _again(folder: SweepFolder, job: Job, place: str) -> str:
    """The command that runs a job by itself: continued where it had begun."""
    if (folder.run(job).path / "config.yaml").exists():
        return _command(shell_word("run", f"{place}/{job.name}"))
    return shlex.join(["vae-train", *_flags(), *job.words])


def _command(*words: str) -> str:
    """Of words for the shell."""
    return " ".join(["vae-train", *words, *map(shlex.quote, _trust())])


def _flags() -> list[str]:
    """What was typed for Hydra alone."""
    words = overrides_of(_typed)
    flags = [word for word in _typed if word not in words and word not in _M]
    return [*flags, *(word for word in words if word.startswith("hydra.searchpath"))]


def _trust() -> list[str]:
    """What was typed of modules, which no file says."""
    return [word for word in overrides_of(_typed) if _key(word) == "trust"]


def _key(word: str) -> str:
    return word.partition("=")[0]


def _values(override: Override) -> list[str]:
    """Of a key that may be swept."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [str(override.value())]
