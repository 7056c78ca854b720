"""What the words of `vae-runs` ask for."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_cli.cli.errors import did_you_mean
from vae_cli.cli.typed_paths import home
from vae_cli.errors import ConfigError

_HELP = """\
vae-runs shows runs and sweeps beside each other: what became of them, what tells them apart, what they reached.

  vae-runs                                     every run below outputs/, the newest last
  vae-runs outputs/sweeps/mine other/run       ... in folders of your choice
  vae-runs 'where=beta>1 and dataset=mnist'    runs for which all of it holds; where= again for more of it
  vae-runs where=status=finished,killed 'where=run=*seed0*'      one of several values; * for any signs
  vae-runs sort=test/elbo                      the best last; sort=-beta,seed: from the largest beta down, then by seed
  vae-runs metrics=test/elbo,eval/*            figures of your choice, * for any signs
  vae-runs columns=run,optimizer.*,test/elbo   exactly these columns
  vae-runs over=seed                           runs that differ in the seed alone in one row: mean, deviation, n
  vae-runs format=csv > runs.csv               or format=markdown; every digit in csv
  vae-runs plot=runs.png                       of runs that differ in beta: reconstruction against KL
  vae-runs plot=runs.png x=optimizer.lr y=test/elbo by=model     any key against any figure, colours by a third
  vae-runs plot=curves.png x=step              learning curves of val/elbo, a line a run; y= any logged figure, train/kl

Keys: run, status, reason, started, updated, steps, epochs, weights, version; the axes (model, likelihood, ...); every
key of a config (beta, optimizer.lr, ...); every figure (test/elbo, eval/<group>/<name>, ...).
A status is running, finished, interrupted, failed, killed (its process is gone) or damaged. Figures are nats per
example unless their name says otherwise. A traceback for an error: HYDRA_FULL_ERROR=1.
"""
_DEFAULT = "outputs"
_OPTIONS = ("where", "sort", "metrics", "columns", "over", "format", "plot", "x", "y", "by")
OF_PLOT = ("x", "y", "by")
STEP = "step"  # as x: learning curves
_OF_TABLE = ("metrics", "columns", "format", "sort")
_FORMATS = ("text", "csv", "markdown")


@dataclass(frozen=True)
class Request:
    """What was typed; the last of words of one key, but every `where`."""

    folders: list[Path]
    where: list[str]
    words: Mapping[str, str]

    def list_of(self, key: str) -> list[str]:
        """Names with commas between, perhaps in brackets; [] where nothing was typed."""
        parts = self.words.get(key, "").removeprefix("[").removesuffix("]").split(",")
        return [part.strip() for part in parts if part.strip()]


def read_request(arguments: Sequence[str]) -> Request:
    """The words of the command line.

    Raises:
        ConfigError: where one says nothing to us, or a folder does not exist.

    """
    parser = argparse.ArgumentParser(
        "vae-runs",
        usage="vae-runs [folder ...] [key=value ...]",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    folders, where, words = [], [], {}
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise ConfigError(f"unknown flag {unknown[0]}: --help shows every key")
    for word in known.words:
        key, sign, value = word.partition("=")
        if sign and key == "where":
            where.append(value)
        elif sign and key in _OPTIONS:
            words[key] = value
        elif sign and not home(word).exists():
            raise ConfigError(f"unknown key {key!r}{did_you_mean(key, list(_OPTIONS))} --help shows every key")
        else:
            folders.append(_folder(word))
    request = Request(folders or [_folder(_DEFAULT)], where, words)
    _check(request)
    return request


def _folder(word: str) -> Path:
    path = home(word)
    if not path.exists():
        raise ConfigError(f"{word}: there is no such folder; name one that holds runs, vae-runs <folder>")
    if not path.is_dir():
        raise ConfigError(f"{word}: not a folder; name one that holds runs")
    return path


def _check(request: Request) -> None:
    """ConfigError for words that do not go together, and values that are none of the choices."""
    kind = request.words.get("format", "text")
    if kind not in _FORMATS:
        raise ConfigError(
            f"unknown format {kind!r}{did_you_mean(kind, list(_FORMATS))} The choices are: text, csv, markdown"
        )
    plot = request.words.get("plot")
    if plot is not None and not plot.endswith(".png"):
        raise ConfigError(f"plot={plot}: a name that ends with .png is needed")
    for key in OF_PLOT if plot is None else _OF_TABLE:
        if key in request.words:
            put_right = "add plot=<name>.png" if plot is None else f"leave out it or plot={plot}"
            raise ConfigError(f"{key}={request.words[key]} is of a {'plot' if plot is None else 'table'}: {put_right}")
