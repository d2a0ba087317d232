"""From a job file's `fairseq` section to the trainer's arguments.  Pure: reads no file, no device.

    settings = trainer_settings(config)     flat: argument -> value, as the trainer shall see it
    arguments = to_arguments(settings)      ["--lr", "1e-05", "--fp16", ...]

The order of the file is kept, so that a printed command reads like the file.
"""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmpt.config.access import setting
from mmpt.config.schema_fairseq import EVALUATION_ONLY

HALF_PRECISION = ("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16", "amp")
LAST_CHECKPOINT = "checkpoint_last.pt"
"""fairseq's own name for where a run goes on, and its default restore file."""

RESETS = ("reset_optimizer", "reset_dataloader", "reset_meters", "reset_lr_scheduler")
_RESTORE = ("restore_file", *RESETS)


def trainer_settings(config: Any) -> dict[str, Any]:
    """The trainer's arguments of a job file, group by group in its order, null ones left out.

    `batch_size` is divided by `dataset.subsampling`: every item brings that many clips.

    Args:
        config: a checked job file.

    Returns:
        argument name (with `_`) -> value: bool, number, text or list of numbers.
    """
    groups = setting(config, "fairseq", {})
    if isinstance(groups, DictConfig):
        groups = OmegaConf.to_container(groups, resolve=True)
    settings = {
        name: value
        for group in groups.values()
        for name, value in (group or {}).items()
        if value is not None
    }
    if "batch_size" in settings:
        settings["batch_size"] //= setting(config, "dataset.subsampling", 1)
    return settings


def argument_key(config: Any, name: str) -> str:
    """The dotted key under which a job file sets an argument, for messages."""
    groups = setting(config, "fairseq", {})
    found = [group for group, leaves in groups.items() if leaves is not None and name in leaves]
    return f"fairseq.{found[0] if found else 'optimization'}.{name}"


def with_extras(settings: Mapping[str, Any], processes: int = 1) -> dict[str, Any]:
    """Adds what every training needs and no file says.

    * `required_batch_size_multiple: 1` where it is not set: fairseq's default of 8 drops the last
      batch of an epoch, and a whole epoch that is smaller than that.
    * `load_checkpoint_on_all_dp_ranks` for several processes: else a resumed run waits for a
      broadcast that recent torch refuses.
    """
    extras: dict[str, Any] = {"required_batch_size_multiple": 1}
    if processes > 1:
        extras["load_checkpoint_on_all_dp_ranks"] = True
    return {**settings, **{k: v for k, v in extras.items() if k not in settings}}


def for_cpu(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The same training on the CPU: with `cpu`, without half precision, which fails there.

    Returns:
        the settings, and the names of the arguments that were dropped.
    """
    dropped = [name for name in HALF_PRECISION if settings.get(name)]
    kept = {name: value for name, value in settings.items() if name not in HALF_PRECISION}
    return {**kept, "cpu": True}, dropped


def without_restore(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same training from fresh weights: no restore file, and nothing to reset."""
    return {name: value for name, value in settings.items() if name not in _RESTORE}


def to_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Argument strings for `fairseq-train`, one list item a token.

    True becomes a bare flag; false and null are left out; a list becomes one token, its values
    joined by commas (`--lr` and `--update-freq` are read that way); what belongs to evaluation
    is left out.
    """
    arguments: list[str] = []
    for name, value in settings.items():
        if value is None or value is False or name in EVALUATION_ONLY:
            continue
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
            continue
        text = ",".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)
        if text.startswith("-") and isinstance(value, str):
            arguments.append(f"{flag}={text}")  # else argparse takes it for another flag
        else:
            arguments += [flag, text]
    return arguments


def fairseq_args(config: Any, processes: int = 1) -> list[str]:
    """All trainer arguments of a checked job file, the extras of `with_extras` included."""
    return to_arguments(with_extras(trainer_settings(config), processes))
