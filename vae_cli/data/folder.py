"""Where the files of a data set lie, and how those that are missing come there."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vae_cli.data.download import NotFetchedError, fetch
from vae_cli.errors import ConfigError
from vae_cli.names import is_plain_name

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}")
_PLACES = "or name the folder that holds your data sets with dataset.root=<folder> or VAE_DATA_ROOT"


class DataFolder:
    """The folder of one data set below the data root: `root`, else $VAE_DATA_ROOT, else ~/.cache/vae-train.

    Args:
        name: of the folder, which lies in the root itself.
        download: whether missing files are fetched.
        mirrors: where the files are published: addresses that a file's name completes.
        checksums: by name, `sha256:` or `md5:` and the digits; a file without one is never fetched.

    """

    def __init__(
        self, *, root: str | None, name: str, download: bool, mirrors: Sequence[str], checksums: Mapping[str, str]
    ) -> None:
        for file, checksum in checksums.items():
            if not _CHECKSUM.fullmatch(checksum):
                raise ConfigError(
                    f"the checksum {checksum!r} of {file} is not `sha256:` and 64 hexadecimal digits, or `md5:` and 32"
                )
        self.path = _data_root(root) / _plain(name)
        self._download, self._mirrors, self._checksums = download, mirrors, checksums

    def find(self, accepted: Sequence[str]) -> Path:
        """The first of the accepted files that is there; else the first that can be fetched, fetched.

        Raises:
            ConfigError: where there is none; it names the files and the place.

        """
        for name in map(_plain, accepted):
            if (self.path / name).is_file():
                return self.path / name
        known = [name for name in accepted if name in self._checksums] if self._mirrors else []
        if known and self._download:
            self._fetch(known[0], accepted)
            return self.path / known[0]
        published = f" (published at {self._mirrors[0]})" if self._mirrors else ""
        fetching = ", or let it be fetched with dataset.download=true" if known else ""
        raise ConfigError(f"{self._lacks(accepted)}: put the file there{published}, {_PLACES}{fetching}")

    def _fetch(self, name: str, accepted: Sequence[str]) -> None:
        try:
            with _made(self.path):
                fetch(self.path / name, self._mirrors, self._checksums[name])
        except NotFetchedError as error:
            raise ConfigError(
                f"{self._lacks(accepted)}, and {name} cannot be fetched ({error}): put the file there, {_PLACES}"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"{self._lacks(accepted)}, and {name} cannot be written there ({error.strerror or error}): "
                f"put the file there, {_PLACES}"
            ) from error

    def _lacks(self, accepted: Sequence[str]) -> str:
        return f"no {' or '.join(accepted)} in {self.path}"


def _plain(name: str) -> str:
    """A file or folder lies nowhere else than where it is looked for."""
    if not is_plain_name(name):
        raise ConfigError(f"{name!r} of the data set's source: the name of a file or folder is needed, without a path")
    return name


def _data_root(root: str | None) -> Path:
    return Path(root or os.environ.get("VAE_DATA_ROOT") or Path.home() / ".cache" / "vae-train").expanduser()


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder is there while inside, and stays if anything came into it."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for place in missing:
            with contextlib.suppress(OSError):  # it holds something
                place.rmdir()
        raise
