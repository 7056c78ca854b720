"""The one error that users cause. Imports nothing, so that commands can report it before torch is loaded."""


class ConfigError(ValueError):
    """Something that a user can put right: what was wrong, the value found, what would work, in one line."""
