"""The errors that users read in one line. Imports nothing, so that commands can report them before torch is loaded."""


class ConfigError(ValueError):
    """Something that a user can put right: what was wrong, the value found, what would work."""


class InUseError(ConfigError):
    """A run directory in which another process works."""


class UnreadError(ConfigError):
    """A key of the root was typed, and no part that was chosen reads it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class TrainingError(RuntimeError):
    """A run that cannot go on: which term, at which step, and what was kept."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether it is numpy's, torch's or Python's way to say that there is no room for so many numbers."""
    if isinstance(error, MemoryError):
        return True
    others = isinstance(error, RuntimeError) and not isinstance(error, TrainingError)
    return others and any(sign in str(error) for sign in _NO_ROOM)


_NO_ROOM = ("allocate memory", "not enough memory", "out of memory", "bad_alloc", "size calculation overflowed")
