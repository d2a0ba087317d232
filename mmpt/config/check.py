"""The checks of a job file, done before anything is loaded.

`check_keys` looks at every key alone (known? right type? allowed value?) and runs on each file of
an `includes` chain, so that the message names the file the key stands in; `check_config` does the
same and then looks for values that cannot go together (consistency.py).  Before a job runs,
`check_complete` asks for what its kind needs, and `check_available` refuses what this version lacks
(ready.py): a file may be read without either, for it may be the base of others.
"""

import logging
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmpt.config.access import nearest, setting
from mmpt.config.class_names import known_names
from mmpt.config.consistency import job_problems, pipeline_problems
from mmpt.config.errors import ConfigError
from mmpt.config.keys import Bounds, keys_of, kind_of, shown, type_problem, unknown_key
from mmpt.config.ready import lacking, missing_keys
from mmpt.config.schema import OBSOLETE, JobFile, PipelineFile
from mmpt.config.schema_fairseq import (
    ARGUMENTS,
    BOUNDS,
    GROUPS,
    LAUNCHERS,
    RENAMED,
    WHOLE,
    WITHOUT_EFFECT,
)

logger = logging.getLogger(__name__)


def check_config(config: Any, source: str = "config") -> None:
    """Refuses a job or pipeline file that cannot work.

    Args:
        config: the whole file with its includes merged (OmegaConf mapping or plain dict).
        source: the file's name, for the message.

    Raises:
        ConfigError: one line: the file, the key, what was got, what is allowed.
    """
    content = plain(config, source)
    check_keys(content, source)
    check_values(content, source)


def is_pipeline(config: Any) -> bool:
    """Whether a file is a pipeline, which derives job files from others, and not a job."""
    return setting(config, "base_dir") is not None


def plain(config: Any, source: str, resolve: bool = True) -> dict[str, Any]:
    """A config as plain dicts and lists, `${...}` resolved.

    Raises:
        ConfigError: a reference to a key that is not there, or a value left as `???`.
    """
    try:
        if not isinstance(config, DictConfig):
            config = OmegaConf.create(config)
        return OmegaConf.to_container(config, resolve=resolve, throw_on_missing=resolve)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        where = f" at {error.full_key}" if getattr(error, "full_key", None) else ""
        raise ConfigError(f"{source}: a value cannot be resolved{where}: {reason}") from error


def check_keys(content: Mapping[str, Any], source: str, warn: bool = True) -> None:
    """Checks each key of a file alone; values that still hold `${...}` are left for later.

    Args:
        content: the file as plain dicts and lists.
        source: the file's name, for the message.
        warn: say which keys are obsolete.
    """
    root = PipelineFile if is_pipeline(content) else JobFile
    _check_section(content, root, root, "", source, warn)


def _check_section(
    content: Mapping[str, Any], section: type, root: type, prefix: str, source: str, warn: bool
) -> None:
    known = keys_of(section)
    for name, value in content.items():
        dotted = f"{prefix}{name}"
        if dotted in OBSOLETE:
            if warn:
                logger.warning("%s: %s has no effect (%s)", source, dotted, OBSOLETE[dotted])
            continue
        if name not in known:
            raise ConfigError(f"{source}: {unknown_key(dotted, section, root)}")
        kind = kind_of(known[name])
        if value is None or _unresolved(value):
            continue
        if is_dataclass(kind):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"{source}: {dotted} must be a section of keys, got {shown(value)}"
                )
            _check_section(value, kind, root, f"{dotted}.", source, warn)
            continue
        _check_value(dotted, value, kind, known[name].metadata["bounds"], source)
        if dotted == "fairseq":
            _check_fairseq(value, source, warn)


def _check_value(dotted: str, value: Any, kind: Any, bounds: Bounds, source: str) -> None:
    problem = type_problem(value, kind)
    names = known_names(dotted)
    if problem is None and names is not None and value not in names:
        raise ConfigError(
            f"{source}: {dotted}: unknown name {value!r}{nearest(value, names)}; known names "
            f"(mmpt/config/class_names.py): {', '.join(names)}"
        )
    if problem is None and not bounds.admits(value):
        problem = bounds.describe() or "a finite number"
        if bounds.choices:
            problem += nearest(str(value), bounds.choices)
    if problem:
        raise ConfigError(f"{source}: {dotted} must be {problem}, got {shown(value)}")


def _check_fairseq(groups: Mapping[str, Any], source: str, warn: bool) -> None:
    """Every leaf must be an argument of the trainer; it may stand in any group, but once."""
    seen: dict[str, str] = {}
    for group, leaves in groups.items():
        if group not in GROUPS:
            if group in ARGUMENTS:
                raise ConfigError(
                    f"{source}: fairseq.{group} must stand in a group: one of {', '.join(GROUPS)}"
                )
            hint = nearest(str(group), GROUPS)
            raise ConfigError(
                f"{source}: unknown group fairseq.{group}{hint}; groups: {', '.join(GROUPS)}"
            )
        if leaves is None or _unresolved(leaves):
            continue
        if not isinstance(leaves, Mapping):
            raise ConfigError(
                f"{source}: fairseq.{group} must be a section of keys, got {shown(leaves)}"
            )
        for name, value in leaves.items():
            dotted = f"fairseq.{group}.{name}"
            _check_argument(dotted, str(name), value, source)
            if warn and name in WITHOUT_EFFECT and value is not None:
                reason = WITHOUT_EFFECT[name]
                logger.warning("%s: %s has no effect (%s)", source, dotted, reason)
            if name in seen:
                raise ConfigError(f"{source}: {dotted} is set twice, also as {seen[name]}")
            seen[name] = dotted


def _check_argument(dotted: str, name: str, value: Any, source: str) -> None:
    if name not in ARGUMENTS:
        hint = f" (did you mean {RENAMED[name]}?)" if name in RENAMED else nearest(name, ARGUMENTS)
        raise ConfigError(
            f"{source}: unknown key {dotted}{hint}; it must be an argument of fairseq"
        )
    if value is None or _unresolved(value):
        return
    if name in LAUNCHERS:
        raise ConfigError(
            f"{source}: {dotted} is for the launcher to set; delete it: --jobtype says how many "
            "processes train"
        )
    kind, bounds = ARGUMENTS[name], BOUNDS.get(name, Bounds())
    if kind is not list:
        _check_value(dotted, value, kind, bounds, source)
        return
    if value == []:
        raise ConfigError(f"{source}: {dotted} must hold at least one number, got []")
    for item in value if isinstance(value, list) else [value]:
        if item is None or type_problem(item, float):
            raise ConfigError(
                f"{source}: {dotted} must be a number or a list of numbers, got {shown(value)}"
            )
        _check_value(dotted, item, int if name in WHOLE else float, bounds, source)


def _unresolved(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def check_values(content: Mapping[str, Any], source: str) -> None:
    """Refuses values that cannot go together, in a whole file whose keys are right each."""
    problems = pipeline_problems if is_pipeline(content) else job_problems
    for problem in problems(content):
        raise ConfigError(f"{source}: {problem}")


def check_complete(config: Any, source: str, evaluated: bool) -> None:
    """Refuses a job that lacks a key without which it cannot run.

    Args:
        config: a checked job file.
        source: its name, for the message.
        evaluated: whether it is to be evaluated; else it is to be trained.

    Raises:
        ConfigError: the first such key.
    """
    for problem in missing_keys(config, source, evaluated):
        raise ConfigError(f"{source}: {problem}")


def check_available(config: Any, source: str, evaluated: bool = True) -> None:
    """Refuses a job that asks for what this version does not have.

    Called before a job runs; its file may be read and its command printed all the same.

    Args:
        config: a checked job file.
        source: its name, for the message.
        evaluated: whether it is to be evaluated; else it is to be trained.

    Raises:
        ConfigError: the first such thing.
    """
    for problem in lacking(config, evaluated):
        raise ConfigError(f"{source}: {problem}")
