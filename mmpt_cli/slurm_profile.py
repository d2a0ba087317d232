"""Profiles of `--slurm PROFILE`: how many tasks a job array has, and what each of them needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmpt.config.keys import default_of, key, keys_of, kind_of, shown, type_problem, unknown_key
from mmpt.errors import ConfigError
from mmpt.io.files import no_file

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
    content, known = _read_mapping(path), keys_of(Profile)
    for name, value in content.items():
        if name not in known:
            raise ConfigError(f"{path}: {unknown_key(str(name), Profile, Profile)}")
        if value is None:
            continue
        spec = known[name]
        bounds = spec.metadata["bounds"]
        problem = type_problem(value, kind_of(spec))
        if problem is None and not bounds.admits(value):
            problem = bounds.describe() or "a finite number"
        if problem:
            raise ConfigError(f"{path}: {name} must be {problem}, got {shown(value)}")
    given = {name: value for name, value in content.items() if value is not None}
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise ConfigError(f"{path}: {', '.join(missing)} must be set")
    idle = [name for name in CLUSTER_ONLY if name in given]
    if given["executor"] == "local" and idle:
        raise ConfigError(
            f"{path}: {', '.join(idle)}: of no use to executor local; remove it, or set executor: "
            "slurm"
        )
    return Profile(**{name: given.get(name, default_of(spec)) for name, spec in known.items()})


def _read_mapping(path: Path) -> dict[str, Any]:
    other = no_file(path)
    if other is not None:
        raise ConfigError(f"profile {path} is {other}; give a YAML file")
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"no profile {path}; scripts/slurm/cluster.yaml is one to start from"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a profile must be a mapping of keys, got {shown(content)}")
    return content
