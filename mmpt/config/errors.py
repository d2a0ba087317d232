"""The error of this room (it imports nothing else of the project)."""


class ConfigError(ValueError):
    """A job file that cannot be used: the message names the file, the key and what is allowed."""
