"""One GPU to a job: who may use which, told by locks that the system frees when a process dies."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from vae_cli.files import own_folder

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_WAIT = 0.5  # seconds between two looks
_held: list[FileLock] = []  # of this process, until it ends: CUDA takes no other device once it began


def visible_devices() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    if _VISIBLE in os.environ:
        return [name for name in os.environ[_VISIBLE].split(",") if name not in ("", "-1")]
    try:
        command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return []


def take_device(devices: Sequence[str], jobs_per_device: int) -> None:
    """Wait for a place on one of the devices and let this process see that one alone; free again when it ends."""
    if _held or not devices:
        return
    while (found := claim(devices, jobs_per_device, _folder())) is None:
        time.sleep(_WAIT)
    device, lock = found
    _held.append(lock)
    os.environ[_VISIBLE] = device


def claim(devices: Sequence[str], jobs_per_device: int, folder: Path) -> tuple[str, FileLock] | None:
    """A device and the lock on a place of it, the emptiest devices first; None where every place is taken."""
    own_folder(folder)
    for place in range(jobs_per_device):
        for device in devices:
            lock = FileLock(folder / f"{device}-{place}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return device, lock
    return None


def _folder() -> Path:
    """For all sweeps of a user on this machine."""
    return Path(tempfile.gettempdir()) / f"vae-train-devices-{os.getuid()}"
