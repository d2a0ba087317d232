"""The checks of a job file, done before anything is loaded.

Two passes: `check_keys` looks at every key alone (known? right type? allowed value?) and runs on
each file of an `includes` chain, so that the message names the file the key stands in;
`check_config` does the same and then looks for values that cannot go together.
"""

import ast
import logging
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmpt.config.access import nearest, setting
from mmpt.config.errors import ConfigError
from mmpt.config.keys import Bounds, keys_of, kind_of, type_problem, unknown_key
from mmpt.config.schema import OBSOLETE, JobFile, PipelineFile
from mmpt.config.schema_fairseq import ARGUMENTS, BOUNDS, GROUPS, RENAMED

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
                    f"{source}: {dotted} must be a section of keys, got {_shown(value)}"
                )
            _check_section(value, kind, root, f"{dotted}.", source, warn)
            continue
        _check_value(dotted, value, kind, known[name].metadata["bounds"], source)
        if dotted == "fairseq":
            _check_fairseq(value, source)


def _check_value(dotted: str, value: Any, kind: Any, bounds: Bounds, source: str) -> None:
    problem = type_problem(value, kind)
    if problem is None and not bounds.admits(value):
        problem = bounds.describe() or "a finite number"
        if bounds.choices:
            problem += nearest(str(value), bounds.choices)
    if problem:
        raise ConfigError(f"{source}: {dotted} must be {problem}, got {_shown(value)}")


def _check_fairseq(groups: Mapping[str, Any], source: str) -> None:
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
                f"{source}: fairseq.{group} must be a section of keys, got {_shown(leaves)}"
            )
        for name, value in leaves.items():
            dotted = f"fairseq.{group}.{name}"
            _check_argument(dotted, str(name), value, source)
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
    kind, bounds = ARGUMENTS[name], BOUNDS.get(name, Bounds())
    if kind is not list:
        _check_value(dotted, value, kind, bounds, source)
        return
    if value == []:
        raise ConfigError(f"{source}: {dotted} must hold at least one number, got []")
    for item in value if isinstance(value, list) else [value]:
        if item is None or type_problem(item, float):
            raise ConfigError(
                f"{source}: {dotted} must be a number or a list of numbers, got {_shown(value)}"
            )
        _check_value(dotted, item, float, bounds, source)


def _unresolved(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_values(content: Mapping[str, Any], source: str) -> None:
    """Refuses values that cannot go together, in a whole file whose keys are right each."""
    problems = _pipeline_problems if is_pipeline(content) else _job_problems
    for problem in problems(content):
        raise ConfigError(f"{source}: {problem}")


def _pipeline_problems(content: Mapping[str, Any]) -> Iterator[str]:
    for name in ("project_dir", "task_group", "run_task"):
        if content.get(name) is None:
            yield f"{name} is not set; a pipeline (a file with base_dir) needs it"
    if content["project_dir"] == content["base_dir"]:
        yield (
            f"project_dir must differ from base_dir, got {content['base_dir']!r} twice: "
            "the base files would be overwritten"
        )
    for group, keys in content["task_group"].items():
        files = keys.get("task_list") if isinstance(keys, Mapping) else None
        if not _is_file_list(files):
            yield f"task_group.{group}.task_list must be a list of file names, got {_shown(files)}"
    for stage in content["run_task"]:
        if not _is_file_list(stage if isinstance(stage, list) else [stage]):
            yield f"run_task must hold file names and lists of file names, got {_shown(stage)}"


def _is_file_list(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(v, str) for v in value)


def _job_problems(content: Mapping[str, Any]) -> Iterator[str]:
    yield from _length_problems(content)
    yield from _batch_problems(content)
    prefix = setting(content, "dataset.tfeat_dir")
    if prefix is not None and not prefix.endswith("."):
        yield f"dataset.tfeat_dir is a prefix and must end in a dot, got {prefix!r}"
    for group in setting(content, "fairseq", {}).values():
        betas = (group or {}).get("adam_betas")
        if betas is not None and not _is_pair_of_rates(betas):
            yield (
                "adam_betas must be a text that holds a pair of numbers in [0, 1), "
                f"for instance (0.9, 0.98), got {betas!r}"
            )


def _length_problems(content: Mapping[str, Any]) -> Iterator[str]:
    video, total = _both(content, "dataset.max_video_len", "dataset.max_len")
    if video is not None and total <= video + 3:
        yield (
            f"dataset.max_len must be greater than max_video_len + 3 = {video + 3} (room for "
            f"[CLS], two [SEP] and a word), got {total}"
        )
    for low, high in (
        ("sampled_min_len", "sampled_max_len"),
        ("sampled_video_min_len", "sampled_video_max_len"),
        ("sliding_window", "sliding_window_size"),
        ("sliding_window_size", "max_video_len"),
    ):
        small, large = _both(content, f"dataset.{low}", f"dataset.{high}")
        if small is not None and small > large:
            yield f"dataset.{low} must be at most {high} = {large}, got {small}"


def _batch_problems(content: Mapping[str, Any]) -> Iterator[str]:
    videos, candidates = _both(content, "dataset.num_video_per_batch", "num_cands")
    retrieves = content.get("retri_epoch", 0) is not None  # null: candidates are never asked for
    if videos is not None and candidates < videos and retrieves:
        yield (
            f"num_cands must be at least dataset.num_video_per_batch = {videos}, got {candidates}"
        )
    batch, clips = _both(content, "fairseq.dataset.batch_size", "dataset.subsampling")
    if batch is not None and batch % clips:
        yield (
            "fairseq.dataset.batch_size must be a multiple of dataset.subsampling = "
            f"{clips}, which divides it, got {batch}"
        )
    sequence_on = setting(content, "loss.sequence_contrast.sequence_contrast_weight") is not None
    drawn = setting(content, "dataset.clip_per_video")
    length = setting(content, "loss.sequence_contrast.threshold", 8)
    if sequence_on and drawn is not None and drawn % length:
        yield (
            "dataset.clip_per_video must be a multiple of loss.sequence_contrast.threshold = "
            f"{length}, got {drawn}"
        )


def _both(content: Mapping[str, Any], first: str, second: str) -> tuple[Any, Any]:
    """Two values, or two Nones where one is not set."""
    pair = setting(content, first), setting(content, second)
    return (None, None) if None in pair else pair


def _is_pair_of_rates(text: str) -> bool:
    try:
        pair = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return (
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v < 1 for v in pair
        )
    )
