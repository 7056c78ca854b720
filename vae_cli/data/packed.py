"""Published files of bytes, gzipped or not."""

import gzip
import zlib
from pathlib import Path

from vae_cli.errors import ConfigError
from vae_cli.files import opened

_MOST = 2**28  # bytes unpacked; the largest of the published ones has 78,400,000


def unpacked(path: Path) -> bytes:
    """What it holds.

    Raises:
        ConfigError: where it is damaged, or far larger than what was published.

    """
    try:
        with opened(path) as packed, gzip.open(packed) if path.suffix == ".gz" else packed as file:
            content = file.read(_MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} is damaged ({error}): fetch it again") from error
    if len(content) > _MOST:
        raise ConfigError(f"{path} is damaged: it holds more than {_MOST} bytes; fetch it again")
    return content
