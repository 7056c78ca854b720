"""Names of files and folders that other files give: each is one name, so that it leads nowhere else."""

from typing import Any

_LONGEST = 255  # bytes that file systems take


def is_plain_name(name: Any) -> bool:
    """Whether it names one file or folder in whichever folder it is put: no path, not hidden, and printable."""
    if not isinstance(name, str) or not name.isprintable() or name[:1] in ("", "."):
        return False
    return not {*"/\\"} & {*name} and len(name.encode()) <= _LONGEST
