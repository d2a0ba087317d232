"""Small YAML files that are no job files: one mapping, its keys described by a dataclass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mmpt.config.errors import ConfigError
from mmpt.config.keys import default_of, keys_of, kind_of, shown, type_problem, unknown_key
from mmpt.io.files import no_file


def read_settings_file(
    path: Path, section: type, required: Sequence[str], example: str
) -> dict[str, Any]:
    """Reads and checks a file.

    Args:
        path: the file.
        section: a dataclass whose fields are described by `mmpt.config.keys.key`.
        required: keys that must be set.
        example: a file to start from, for the message where there is none.

    Returns:
        a value for every key, its default where it is absent or null.

    Raises:
        ConfigError: the file is missing or no YAML mapping; a key is unknown, missing, of another
            type or out of bounds.
    """
    content, known = _read_mapping(path, example), keys_of(section)
    given = {}
    for name, value in content.items():
        if name not in known:
            raise ConfigError(f"{path}: {unknown_key(str(name), section, section)}")
        if value is not None:
            _check(path, name, value, known[name])
            given[name] = value
    missing = [name for name in required if name not in given]
    if missing:
        raise ConfigError(f"{path}: {', '.join(missing)} must be set")
    return {name: given.get(name, default_of(spec)) for name, spec in known.items()}


def _check(path: Path, name: str, value: Any, spec: Any) -> None:
    bounds = spec.metadata["bounds"]
    problem = type_problem(value, kind_of(spec))
    if problem is None and not bounds.admits(value):
        problem = bounds.describe() or "a finite number"
    if problem:
        raise ConfigError(f"{path}: {name} must be {problem}, got {shown(value)}")


def _read_mapping(path: Path, example: str) -> dict[str, Any]:
    other = no_file(path)
    if other is not None:
        raise ConfigError(f"{path} is {other}; a YAML file is needed")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no file {path}; {example} is one to start from") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a mapping of keys is needed, got {shown(content)}")
    return content
