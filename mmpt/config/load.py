"""Reading job files: includes, merging, checks; and preparing the folder of a run.

`recursive_config` and `load_config` only read.  `prepare_run` is the one function here that writes.
"""

import contextlib
import os
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from mmpt.config.access import closest, setting
from mmpt.config.check import check_config, check_keys, check_values, plain
from mmpt.config.errors import ConfigError
from mmpt.config.fairseq_args import trainer_settings

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]


def recursive_config(path: str | os.PathLike) -> DictConfig:
    """A file with its `includes` resolved, base first, and without the key `includes`.

    Nothing is checked but that the files can be read.  A relative `includes` is looked for in
    the working directory, then in the repository that holds `mmpt`.

    Raises:
        ConfigError: a file is missing, is no YAML mapping, or includes itself through others.
    """
    return _merged([content for _, content in _chain(path)])


def load_config(
    args: Namespace | None = None,
    config_file: str | os.PathLike | None = None,
    overwrite_fairseq: bool = False,
) -> DictConfig:
    """Reads and checks a job file; makes no folder and writes nothing.

    Args:
        args: parsed arguments whose `taskconfig` names the file.
        config_file: the file, where there are no arguments.
        overwrite_fairseq: copy each leaf of `fairseq` onto `args`, as the trainer shall see it
            (the batch size divided by `dataset.subsampling`, `run` as the run's folder).

    Returns:
        the file's content, includes merged and `${...}` resolved.  Absent keys stay absent: read
        them with `mmpt.config.access.setting`.

    Raises:
        ConfigError: the file cannot be used; one line that names file, key, and what is allowed.
    """
    if config_file is None:
        config_file = getattr(args, "taskconfig", None)
    if config_file is None:
        raise ConfigError("no job file was named: give a YAML file below projects/")
    chain = _chain(config_file)
    for file, content in chain:
        check_keys(plain(content, file, resolve=False), file)
    source = str(config_file)
    resolved = plain(_merged([content for _, content in chain]), source)
    check_keys(resolved, source, warn=False)
    check_values(resolved, source)
    config = OmegaConf.create(resolved)
    if overwrite_fairseq:
        if args is None:
            raise ValueError("overwrite_fairseq needs args to write to")
        for name, value in trainer_settings(with_run_folder(config, source)).items():
            setattr(args, name, value)
    return config


def with_run_folder(config: Any, source: str = "config") -> DictConfig:
    """A copy in which `tensorboard_logdir: run` names the next free `SAVE_DIR/run_N`.

    Looks at SAVE_DIR, writes nothing: a dry run may call it.

    Args:
        config: a checked job file.
        source: its name, for the message.

    Raises:
        ConfigError: the run's folder is asked for and `fairseq.checkpoint.save_dir` is not set.
    """
    config = OmegaConf.create(plain(config, source))
    if setting(config, "fairseq.common.tensorboard_logdir") == "run":
        folder = os.path.join(_save_dir(config, source), "")
        config.fairseq.common.tensorboard_logdir = f"{folder}run_{_next_run(folder)}"
    return config


def prepare_run(config: Any, source: str = "config") -> DictConfig:
    """Makes the folder of a run and writes the resolved config there as `config.yaml`.

    Called once a run, by the launcher or the task on rank 0; calling it again before the trainer
    has started gives the same result.

    Args:
        config: a checked job file.
        source: its name, for the message.

    Returns:
        the config with the run's folder filled in (see `with_run_folder`); the one that was given
        gets that folder too.

    Raises:
        ConfigError: `fairseq.checkpoint.save_dir` is not set, or cannot be made.
    """
    given = config
    config = with_run_folder(config, source)
    folder = _save_dir(config, source)
    try:
        os.makedirs(folder, exist_ok=True)
        write_yaml(config, os.path.join(folder, "config.yaml"))
    except OSError as error:
        raise ConfigError(
            f"{source}: fairseq.checkpoint.save_dir: cannot write in {folder!r} ({error.strerror})"
        ) from error
    logdir = setting(config, "fairseq.common.tensorboard_logdir")
    if logdir is not None and isinstance(given, DictConfig):
        OmegaConf.update(given, "fairseq.common.tensorboard_logdir", logdir)
    return config


def write_yaml(config: DictConfig, path: str | os.PathLike) -> None:
    """Writes a config so that the file is there whole or not at all."""
    temporary = f"{os.fspath(path)}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(OmegaConf.to_yaml(config))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _save_dir(config: DictConfig, source: str) -> str:
    folder = setting(config, "fairseq.checkpoint.save_dir")
    if folder is None:
        raise ConfigError(
            f"{source}: fairseq.checkpoint.save_dir is not set; a training needs a folder for its "
            "checkpoints"
        )
    return folder


def _next_run(folder: str) -> int:
    """One more than the highest N of `run_N` in a folder; 0 where there is none."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    numbers = [int(match[1]) for name in names if (match := re.fullmatch(r"run_(\d+)", name))]
    return max(numbers, default=-1) + 1


def _merged(contents: list[DictConfig]) -> DictConfig:
    merged = OmegaConf.merge(*contents)
    merged.pop("includes", None)
    return merged


def _chain(path: str | os.PathLike) -> list[tuple[str, DictConfig]]:
    """(name, content) of a file and of all it includes, the outermost base first."""
    name, chain, seen = os.fspath(path), [], []
    file, includer = Path(name), None
    while True:
        if file.resolve() in seen:
            names = [chained for chained, _ in reversed(chain)]
            raise ConfigError(f"includes form a cycle: {' -> '.join([*names, name])}")
        seen.append(file.resolve())
        content = _read(file, name, includer)
        chain.insert(0, (name, content))
        base = content.get("includes")
        if base is None:
            return chain
        if not isinstance(base, str):
            raise ConfigError(f"{name}: includes must be the path of one file, got {base!r}")
        includer, name = name, base
        file = Path(base) if Path(base).is_file() else REPOSITORY_ROOT / base


def _read(file: Path, name: str, includer: str | None) -> DictConfig:
    """One YAML file as it stands."""
    if not file.is_file():
        raise ConfigError(_missing(file, name, includer))
    try:
        content = OmegaConf.load(file)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}, line {mark.line + 1}" if mark else name
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        hint = "; indent with spaces, not tabs" if r"'\t'" in problem else ""
        raise ConfigError(f"{where}: not valid YAML ({' '.join(problem.split())}){hint}") from error
    except RecursionError as error:
        raise ConfigError(
            f"{name}: not valid YAML (an alias stands inside its own anchor, or lists and sections "
            "in each other too deeply)"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{name}: not a UTF-8 text file (byte {error.start}: {error.reason}); save it as UTF-8"
        ) from error
    except PermissionError as error:
        raise ConfigError(f"{name}: permission denied: this user may not open it") from error
    except OSError as error:
        # OmegaConf's word for a file that holds one number or truth value
        reason = error.strerror or "a job file must be a mapping of sections"
        raise ConfigError(f"{name}: cannot be read ({reason})") from error
    if not isinstance(content, DictConfig):
        raise ConfigError(f"{name}: a job file must be a mapping of sections, got a list")
    return content


def _missing(file: Path, name: str, includer: str | None) -> str:
    if includer is not None and (Path(name).is_dir() or file.is_dir()):
        return f"{includer}: includes {name!r}, which is a folder; name a YAML file in it"
    if includer is not None:
        return (
            f"{includer}: includes {name!r}, which is neither in the working directory nor in "
            f"{REPOSITORY_ROOT}"
        )
    if file.is_dir():
        return f"job file {name!r} is a folder; give a YAML file"
    if file.parent.is_dir() and not os.access(file.parent, os.R_OK | os.X_OK):
        return f"{name}: permission denied: this user may not look into {str(file.parent)!r}"
    near = closest(file.name, [p.name for p in file.parent.glob("*.yaml")])
    if near is None:
        return f"no job file {name!r}; give a path like projects/retri/norton/vtt_ft.yaml"
    return f"no job file {name!r} (did you mean {file.with_name(near)}?)"


__all__ = [
    "REPOSITORY_ROOT",
    "check_config",
    "load_config",
    "prepare_run",
    "recursive_config",
    "with_run_folder",
    "write_yaml",
]
