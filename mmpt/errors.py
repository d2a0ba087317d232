"""The errors that a user's input can cause.

Each carries one line that names the thing, what was got and what is allowed.  The command line
prints that line alone; `--debug` shows the traceback as well.  All derive from `ValueError`, so
that a program that calls the library can catch them without knowing this module.
"""

from mmpt.config.errors import ConfigError


class DataError(ValueError):
    """A file, a folder or a tensor that does not have the form it must have."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, unsafe or made for another model."""


class LaunchError(ValueError):
    """A command that cannot be started as asked (devices, job type, run folder)."""


USER_ERRORS = (ConfigError, DataError, CheckpointError, LaunchError)


def first_few(names: list[str], limit: int = 3) -> str:
    """`a, b, c, …` for messages about many things."""
    return ", ".join(map(str, names[:limit])) + (", …" if len(names) > limit else "")
