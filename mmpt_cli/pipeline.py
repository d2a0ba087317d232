"""Pipelines: job files derived from those of another project, and the order to run them in.

base_dir: retri/videoclip            # where the base files are, below projects/
project_dir: mine                    # where the derived ones go
task_group:
  longer: {task_list: [how2_pretrain.yaml], dataset: {max_len: 128}}
run_task:
  - how2_pretrain.yaml
  - [test_a.yaml, test_b.yaml]       # one stage
"""

import logging
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from mmpt.config.access import nearest
from mmpt.config.check import check_config, check_keys, plain
from mmpt.config.load import REPOSITORY_ROOT, load_config, recursive_config, write_yaml
from mmpt.errors import ConfigError, LaunchError

logger = logging.getLogger(__name__)


class Pipeline(NamedTuple):
    """A pipeline with its job files derived, nothing written yet.

    Attributes:
        files: path -> content of every job file to write.
        jobs: (path, content) of the jobs to run, in order.
    """

    files: dict[str, DictConfig]
    jobs: list[tuple[str, DictConfig]]


def expand(file: str, config: Any) -> Pipeline:
    """Derives all job files of a pipeline and checks each.

    Args:
        file: the pipeline's path, for messages.
        config: its checked content.

    Raises:
        ConfigError: a base file is missing, a derived one cannot be used, or `run_task` names a
            file that is neither derived nor there.
    """
    content = plain(config, file)
    base, project = content["base_dir"], content["project_dir"]
    files: dict[str, DictConfig] = {}
    for group, keys in content["task_group"].items():
        changes = {k: v for k, v in keys.items() if k != "task_list"}
        check_keys(changes, f"{file}, task_group.{group}")
        for name in keys["task_list"]:
            target = f"projects/{project}/{name}"
            if target in files:
                raise ConfigError(f"{file}: {name} stands in two task_lists; one is allowed")
            merged = OmegaConf.merge(
                recursive_config(_base_file(f"projects/{base}/{name}")), changes
            )
            derived = _moved(plain(merged, target), f"runs/{base}", f"runs/{project}")
            check_config(derived, f"{target} (from {file}, task_group.{group})")
            files[target] = OmegaConf.create(derived)
    return Pipeline(files, list(_jobs(file, content, files)))


def _base_file(path: str) -> str:
    """A base file in the working directory, else the repository's own (as for `includes`)."""
    own = REPOSITORY_ROOT / path
    return str(own) if own.is_file() and not os.path.isfile(path) else path


def write_files(pipeline: Pipeline) -> None:
    """Writes the derived job files; each is there whole or not at all.

    Raises:
        LaunchError: a folder cannot be written.
    """
    for target, config in pipeline.files.items():
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            write_yaml(config, target)
        except OSError as error:
            raise LaunchError(f"{target}: cannot be written ({error.strerror})") from error
        logger.info("wrote %s", target)


def _jobs(
    file: str, content: dict[str, Any], files: dict[str, DictConfig]
) -> Iterator[tuple[str, DictConfig]]:
    """The jobs stage by stage; the members of a stage run one after the other on this machine."""
    for stage in content["run_task"]:
        for name in stage if isinstance(stage, list) else [stage]:
            target = f"projects/{content['project_dir']}/{name}"
            if target in files:
                yield target, files[target]
            elif os.path.isfile(target):
                yield target, load_config(config_file=target)
            else:
                names = [os.path.basename(known) for known in files]
                raise ConfigError(
                    f"{file}: run_task: {name!r} is in no task_list and not in "
                    f"projects/{content['project_dir']}{nearest(name, names)}; "
                    f"known: {', '.join(names) or 'none'}"
                )


def _moved(value: Any, old: str, new: str) -> Any:
    """Every text that starts with `old`, made to start with `new`."""
    if isinstance(value, dict):
        return {name: _moved(member, old, new) for name, member in value.items()}
    if isinstance(value, list):
        return [_moved(member, old, new) for member in value]
    if isinstance(value, str) and value.startswith(old):
        return new + value[len(old) :]
    return value
