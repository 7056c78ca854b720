"""Random words of Hydra's grammar for every command, up to composition: each is composed, or refused in one line."""

import json
import os
import resource
import shutil
import signal
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz import DEFAULTS, GROUPS, KEYS, LISTS, NUMBERS, OWN, WORDS, campaign

from vae_cli.cli import sweeping, train

COMMANDS = ("train", "eval", "sample", "encode", "export", "runs")
SECONDS = 20  # of the processor, for one line
MEMORY = 2**30  # bytes for one line

INTERPOLATIONS = [
    "${beta}",
    "${.beta}",
    "${..beta}",
    "${...beta}",
    "${trainer}",
    "${trainer.max_epochs}",
    "${${name}}",
    "${nowhere}",
    "${nowhere:1,2}",
    "${oc.env:HOME}",
    "${oc.env:NOWHERE}",
    "${oc.env:NOWHERE,null}",
    "${oc.env:NOWHERE,3}",
    "${oc.env:}",
    "${oc.create:{a:1}}",
    "${oc.create:[1,2]}",
    "${oc.create:{_target_:os.getcwd}}",
    "${oc.create:}",
    "${oc.decode:3}",
    "${oc.decode:'3'}",
    "${oc.decode:'[1'}",
    "${oc.decode:'{a:1}'}",
    "${oc.decode:null}",
    "${oc.decode:${beta}}",
    "${oc.decode:'${oc.decode:1}'}",
    "${oc.select:beta}",
    "${oc.select:nowhere}",
    "${oc.select:nowhere,3}",
    "${oc.select:''}",
    "${oc.dict.keys:trainer}",
    "${oc.dict.keys:beta}",
    "${oc.dict.values:trainer}",
    "${oc.dict.values:nowhere}",
    "${oc.deprecated:beta}",
    "${oc.deprecated:nowhere}",
    "${hydra:runtime.choices.model}",
    "${hydra:runtime.cwd}",
    "${hydra:nowhere}",
    "${hydra:}",
    "${hydra:job}",
    "${now:%Y}",
    "${now:}",
    "${unique:}",
    "${unique:1}",
    "${python_version:}",
    "${python_version:abc}",
    "a${beta}b",
    "${",
    "${}",
    "${a b}",
    "\\${beta}",
    "'${beta}'",
    '"${oc.decode:"',
]
LONG = ["9" * 5000, "-" + "9" * 5000, "1e" + "9" * 5000, "0." + "1" * 5000, "[" * 300, "(" * 300, "{a:" * 300, "'" * 99]
FUNCTIONS = ["choice", "range", "interval", "glob", "sort", "shuffle", "tag", "extend_list", "int", "float", "str"]
FUNCTIONS += ["bool", "nowhere", "json_str"]
NAMED = ["start=", "stop=", "step=", "reverse=", "list=", "sweep=", "exclude=", "include=", "sweep=choice(1,2)"]
ATOMS = st.sampled_from([*NUMBERS, *WORDS, *LONG]) | st.integers(-3, 30).map(str) | st.sampled_from(INTERPOLATIONS)
SIMPLE = ATOMS | st.sampled_from(LISTS)


def called(values):
    """A function of the grammar with arguments, some of them named."""
    argument = values | st.tuples(st.sampled_from(NAMED), values).map("".join)
    some = st.lists(argument, max_size=4).map(",".join)
    return st.tuples(st.sampled_from(FUNCTIONS), some).map(lambda pair: f"{pair[0]}({pair[1]})")


def within(values):
    some = st.lists(values, max_size=3).map(",".join)
    mapping = st.lists(st.tuples(st.sampled_from(["a", "_target_", "3", "'b'", "", "a.b"]), values).map(":".join))
    return st.one_of(
        called(values),
        called(st.sampled_from(["1", "3", "0", "-1", "1e12", "10", "0.1", "a", "b", "nan", "inf", str(10**12)])),
        some,
        some.map("[{}]".format),
        mapping.map(",".join).map("{{{}}}".format),
        values.map("'{}'".format),
        values.map('"{}"'.format),
    )


VALUES = st.recursive(SIMPLE, within, max_leaves=4)
PLACES = ["a", "a/b", "null", "", "3", "[1]", "{}", "${nowhere}", "${beta}", "a,b", "choice(a,b)"]  # below a folder
OF_HYDRA = ["run.dir", "sweep.dir", "sweep.subdir", "searchpath", "launcher", "launcher.n_jobs", "launcher.nowhere"]
OF_HYDRA += ["sweeper", "sweeper.threads", "sweeper.jobs_per_gpu", "sweeper.call", "sweeper.params", "job", "job.name"]
OF_HYDRA += ["mode", "output_subdir", "verbose", "callbacks", "help.template", "env", "job.chdir", "nowhere", ""]
EVERY_KEY = [*OWN, "sweep", "retry", "experiment", "search", *GROUPS, *(key for keys in KEYS.values() for key in keys)]
OF_FINISHED = ["run", "checkpoint", "trust", "seed", "accelerator", "precision", "progress", "metrics", "split", "out"]
OF_FINISHED += ["examples", "memory", "again", "dataset", "dataset.path", "likelihood", "likelihood.samples", "grid"]
OF_RUNS = ["where", "sort", "metrics", "columns", "over", "format", "plot", "x", "y", "by"]
FLAGS = ["--info", "--info=all", "--info=config", "--info=defaults", "--info=searchpath", "--info=plugins", "--cfg=job"]
FLAGS += ["--cfg=hydra", "--cfg=all", "--cfg=abc", "--cfg", "-c", "--resolve", "--package=trainer", "--package", "-p"]
FLAGS += ["--shell-completion", "-sc", "-sc=install=bash", "--experimental-rerun=a", "--config-path=.", "--config-name"]
FLAGS += [
    "--config-name=eval",
    "--config-dir=.",
    "--config-dir=nowhere",
    "-cd=.",
    "-m",
    "--multirun",
    "--run",
    "--help",
]
FLAGS += ["--hydra-help", "--version", "-h", "--nowhere", "-x", "--", "-", "", "=", "~", "@", "+", "a", "a.b", "a@b=c"]


@st.composite
def word(draw, name):
    """One of Hydra's grammar, or nearly; what could be a place outside the folder of the test is none."""
    kind = draw(st.sampled_from(["key"] * 6 + ["choice"] * 2 + ["hydra", "flag"]))
    if kind == "flag":
        return draw(st.sampled_from(FLAGS))
    keys = OF_RUNS if name == "runs" else EVERY_KEY if name == "train" else OF_FINISHED
    key = draw(st.sampled_from(keys) | st.sampled_from(["", "nowhere", "a b", "ü", "_target_", "a..b", ".a", "a."]))
    value = draw(VALUES)
    if kind == "choice":
        key = draw(st.sampled_from(sorted(GROUPS)))
        value = draw(st.sampled_from(GROUPS[key]) | VALUES)
        if draw(st.integers(0, 3)) == 0:
            value = (
                f"{draw(st.sampled_from(['choice', 'sort', 'shuffle', 'glob', 'tag']))}({value},{DEFAULTS.get(key)})"
            )
    if kind == "hydra":
        key = draw(st.sampled_from(["hydra.", "hydra/"])) + draw(st.sampled_from(OF_HYDRA))
    if key.endswith((".dir", "plot")) or key in ("name", "out"):
        value = draw(st.sampled_from(PLACES))
    package = draw(st.sampled_from([""] * 12 + ["@a", "@", "@_global_", "@a:b", ":b", "@hydra"]))
    sign = draw(st.sampled_from(["="] * 12 + ["", "==", " = ", ":"]))
    return draw(st.sampled_from([""] * 8 + ["+", "++", "~", "~~", "@", "-"])) + f"{key}{package}{sign}{value}"


@st.composite
def lines(draw):
    name = draw(st.sampled_from(["train"] * 3 + list(COMMANDS)))
    words = draw(st.lists(word(name), min_size=1, max_size=3))
    if name == "train" and draw(st.booleans()):
        words.insert(0, "-m")
    elif name not in ("train", "runs") and draw(st.integers(0, 3)):
        words.insert(0, "run=.")
    return name, words


class _TooLongError(BaseException):
    """No command takes it for an error."""


def _too_long(*_):
    raise _TooLongError


def _composed(*_):
    """In place of training."""
    sys.exit(0)


@pytest.fixture
def tried(tmp_path, monkeypatch, capfd):
    """A function that gives what is wrong with how a command line ended, None where nothing is."""
    monkeypatch.setattr(train, "_begin", _composed)
    monkeypatch.setattr(sweeping, "_launch", _composed)
    before = signal.signal(signal.SIGVTALRM, _too_long)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    folder = tmp_path / "here"

    def one(name, words):
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [f"vae-{name}", *words])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        GlobalHydra.instance().clear()
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY, hard))
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            import_module(f"vae_cli.cli.{name}").main()
            ended = "it did not exit"
        except SystemExit as error:
            ended = error.code
        except BaseException as error:  # a traceback, whatever it is
            ended = f"{type(error).__name__}: {str(error)[:300]}"
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        said = [
            line for line in capfd.readouterr().err.splitlines() if not line.startswith(("warning: ", "left out: "))
        ]
        left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        os.chdir(tmp_path)
        shutil.rmtree(folder)
        return _fault(name, ended, said, left)

    yield one
    signal.signal(signal.SIGVTALRM, before)


def _address_space():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _fault(name, ended, said, left):
    if ended == 0 or (name == "runs" and ended == 2):
        return None
    if ended != 1:
        return f"ended with {ended}"
    if len(said) != 1 or not said[0].startswith("error: "):
        return f"no line: {said}"
    return f"left {left}" if left else None


def test_random_words_of_the_grammar(tried):
    _try(15, tried)


@pytest.mark.slow
def test_many_random_words_of_the_grammar(tried):
    _try(2000, tried)


def _try(number, tried):
    """All of them before it fails, since they fail in kinds."""
    faults = []

    @campaign(number)
    @given(lines())
    def check(line):
        wrong = tried(*line)
        if wrong is not None:
            faults.append(json.dumps([*line, wrong])[:2000])

    check()
    assert not faults, "\n".join(faults)
