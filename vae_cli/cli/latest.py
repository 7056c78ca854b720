"""`latest` in place of the folder of a run: the newest by its start below `outputs/`, jobs of sweeps among them."""

from datetime import datetime
from pathlib import Path

from vae_cli.errors import ConfigError
from vae_cli.listing.places import places
from vae_cli.runs import RunDirectory
from vae_cli.sweeps.folder import state_of
from vae_cli.telling import warn

LATEST = "latest"
_WHERE = Path("outputs")


def latest(key: str, states: tuple[str, ...]) -> str:
    """The folder of the newest run in one of these states.

    Args:
        key: under which `latest` was typed.

    Raises:
        ConfigError: where there is none.

    """
    runs = [RunDirectory(place.path) for place in (places([_WHERE]) if _WHERE.is_dir() else ()) if not place.problem]
    begun = [(_started(run), str(run.path)) for run in runs if state_of(run) in states]
    if not begun:
        raise ConfigError(
            f"{key}={LATEST}: below {_WHERE}/ there is no run that is {' or '.join(states)}; name a folder"
        )
    _, path = max(begun)
    warn(f"{key}={LATEST}: {path}")
    return path


def _started(run: RunDirectory) -> tuple[float, float]:
    """And when its files changed: jobs of a sweep begin within a second."""
    started = run.status().get("started")
    changed = (run.path / "status.json").stat().st_mtime
    try:
        return datetime.fromisoformat(str(started)).timestamp(), changed
    except ValueError:  # damaged
        return 0.0, changed
