"""What is looked at on the disk before a training starts: checkpoint, folders, files."""

import logging
import os
from pathlib import Path
from typing import Any

from mmpt.config.access import setting
from mmpt.config.fairseq_args import (
    LAST_CHECKPOINT,
    argument_key,
    trainer_settings,
    without_restore,
)
from mmpt.errors import LaunchError
from mmpt_cli.folders import why_not_writable

logger = logging.getLogger(__name__)


def refuse_shared_folders(trainings: list[tuple[str, Any]]) -> None:
    """Refuses two trainings that would write their checkpoints over each other.

    Args:
        trainings: (job file, content) of all that are started together.

    Raises:
        LaunchError: two files of one launch have the same `save_dir`.
    """
    owners: dict[str, str] = {}
    for file, config in trainings:
        folder = setting(config, "fairseq.checkpoint.save_dir")
        if folder is None:
            continue
        first = owners.setdefault(os.path.realpath(folder), file)
        if first != file:
            raise LaunchError(
                f"{file}: fairseq.checkpoint.save_dir {folder!r} is that of {first} too; "
                "give each run a folder of its own"
            )


def refuse_unusable_paths(file: str, config: Any) -> None:
    """Looks at the files and folders that the trainer would stumble over, minutes later.

    Raises:
        LaunchError: one that is read is not there, or one that is written cannot be.
    """
    settings = trainer_settings(config)

    def refuse(name: str, problem: str) -> None:
        raise LaunchError(f"{file}: {argument_key(config, name)}: {problem}")

    for name in ("quantization_config_path", "continue_once"):
        path = settings.get(name)
        if path is not None and not Path(path).is_file():
            refuse(name, f"no file {path!r}; name one that is there, or set it to null")
    plugin = settings.get("user_dir")
    if plugin is not None and not Path(plugin).is_dir():
        refuse("user_dir", f"no folder {plugin!r}; set it to null for this project's own")
    logdir = settings.get("tensorboard_logdir", "run")
    reason = None if logdir == "run" else why_not_writable(logdir)
    if reason is not None:
        refuse(
            "tensorboard_logdir", f"cannot write in {logdir!r} ({reason}); another folder, or run"
        )
    log = settings.get("log_file")
    if log is not None and not _is_within(log, settings["save_dir"]):
        folder = os.path.dirname(log) or "."
        if not os.path.isdir(folder):
            refuse("log_file", f"no folder {folder!r} for it; make it, or name another file")
        reason = "Is a directory" if os.path.isdir(log) else why_not_writable(folder)
        if reason is not None:
            refuse("log_file", f"cannot write {log!r} ({reason}); name another file")


def _is_within(path: str, folder: str) -> bool:
    """Whether a file stands right in a folder, which may be made later."""
    return os.path.realpath(os.path.dirname(path)) == os.path.realpath(folder)


def settings_with_checkpoint(file: str, config: Any) -> dict[str, Any]:
    """The trainer's arguments, after a look at the checkpoint that the job starts from.

    fairseq takes a restore file that is not there for "start from scratch": a typo would cost days.

    Raises:
        LaunchError: it is not there.
    """
    settings = trainer_settings(config)
    start = settings.get("finetune_from_model")
    if start is not None and not Path(start).is_file():
        raise LaunchError(
            f"{file}: fairseq.checkpoint.finetune_from_model: no file {start!r}; train or "
            "download it first"
        )
    restore = settings.get("restore_file")
    if restore in (None, LAST_CHECKPOINT) or Path(restore).is_file():
        return settings
    if has_begun(settings):
        return settings  # an interrupted run: train.py goes on from its own checkpoint
    if setting(config, "restore_optional", False):
        logger.info("%s: no file %s: starting without it (restore_optional is set)", file, restore)
        return without_restore(settings)
    if Path(restore).is_dir():
        raise LaunchError(
            f"{file}: fairseq.checkpoint.restore_file: {restore!r} is a folder; name a "
            "checkpoint in it, for instance checkpoint_best.pt"
        )
    raise LaunchError(
        f"{file}: fairseq.checkpoint.restore_file: no file {restore!r}; train or download it "
        "first, or set restore_optional: true at the top of the file to start without it"
    )


def has_begun(settings: dict[str, Any]) -> bool:
    """Whether the run's folder holds a checkpoint, from which the training will go on."""
    folder = settings.get("save_dir")
    return folder is not None and any(Path(folder).glob("checkpoint*.pt"))
