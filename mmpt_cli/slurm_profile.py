"""Profiles of `--slurm PROFILE`: how many tasks a job array has, and what each of them needs."""

from dataclasses import dataclass
from pathlib import Path

from mmpt.config.keys import key
from mmpt.errors import ConfigError
from mmpt.io.settings_file import read_settings_file

EXAMPLE = "scripts/slurm/cluster.yaml"
REQUIRED = ("executor", "array", "minutes")
CLUSTER_ONLY = ("memory_gb", "partition", "account", "qos", "constraint")
"""Keys that mean nothing to the executor `local`."""


@dataclass(frozen=True)
class Profile:
    """What one task of an array needs; a key of the YAML file each."""

    executor: str = key("where tasks run", choices=("slurm", "local"))
    array: int = key("tasks of the array: the work is cut into so many splits", low=1)
    minutes: int = key("time limit of a task; then it is queued again", unit="minutes", low=1)
    cpus: int = key("CPU cores of a task", 1, low=1)
    gpus: int = key("GPUs of a task", 0, low=0)
    memory_gb: float | None = key("memory of a task", unit="GB", above=0)
    partition: str | None = key("the cluster's partition")
    account: str | None = key("whom the cluster charges")
    qos: str | None = key("the cluster's quality of service")
    constraint: str | None = key("features that a node must have")
    setup: list[str] | None = key("shell lines before a task")  # noqa: RUF009 key() makes a field
    wait: bool = key("wait for the tasks, and end with their worst exit status", False)


def read_profile(path: Path) -> Profile:
    """Reads a profile.

    Raises:
        ConfigError: it is missing or no YAML mapping; a key is unknown, missing, of another type
            or out of bounds, or means nothing to the executor.
    """
    found = read_settings_file(path, Profile, REQUIRED, EXAMPLE)
    idle = [name for name in CLUSTER_ONLY if found[name] is not None]
    if found["executor"] == "local" and idle:
        raise ConfigError(
            f"{path}: {', '.join(idle)}: of no use to executor local; remove it, or set executor: "
            "slurm"
        )
    return Profile(**found)
