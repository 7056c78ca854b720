"""The errors that users read in one line. Imports nothing, so that commands can report them before torch is loaded."""


class ConfigError(ValueError):
    """Something that a user can put right: what was wrong, the value found, what would work."""


class InUseError(ConfigError):
    """A run directory in which another process works."""


class TrainingError(RuntimeError):
    """A run that cannot go on: which term, at which step, and what was kept."""
