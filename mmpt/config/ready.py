"""What must be there before a job runs: the keys of its kind, and the parts that it asks for.

A job file may be read without all of it, since it may be the base of another; a launcher asks.
"""

import importlib.util
import math
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from mmpt.config.access import setting
from mmpt.config.class_names import METRICS_OF, NOT_YET, ONE_ENCODER, known_names
from mmpt.config.fairseq_args import argument_key, trainer_settings
from mmpt.config.schema_fairseq import PACKAGES
from mmpt.config.schema_optimizers import DEFAULT_SCHEDULE, foreign_arguments

TRAINED = ("dataset", "model", "loss", "fairseq")
EVALUATED = ("dataset", "model")
"""The sections that a job of each kind has."""

ROLES = ("meta_processor", "video_processor", "text_processor", "aligner")
SPLIT_PATHS = {"train": "train_path", "valid": "val_path"}


def missing_keys(config: Any, source: str, evaluated: bool) -> Iterator[str]:
    """What a job lacks, one line each.

    Args:
        config: a checked job file.
        source: its name; one that begins with `vis` only predicts, and needs no metric.
        evaluated: whether it is to be evaluated; else it is to be trained.
    """
    kind = "an evaluation" if evaluated else "a training"
    for section in EVALUATED if evaluated else TRAINED:
        if setting(config, section) is None:
            yield f"there is no section {section}; {kind} needs it"
    yield from _missing_model(config, kind)
    if evaluated:
        yield from _missing_measure(config, only_predicts=PurePath(source).name.startswith("vis"))
    else:
        yield from _missing_data(config)
        yield from _missing_class(config, "loss.loss_cls", kind)
        yield from _missing_arguments(config)


def _missing_class(config: Any, key: str, kind: str) -> Iterator[str]:
    if setting(config, key) is None:
        yield f"{key} is not set; {kind} needs it; known names: {', '.join(known_names(key))}"


def _missing_model(config: Any, kind: str) -> Iterator[str]:
    yield from _missing_class(config, "model.model_cls", kind)
    model = setting(config, "model.model_cls")
    joint = setting(config, "model.mm_encoder_cls") is not None
    wants_one = ONE_ENCODER.get(model, joint)
    for key in ("mm_encoder_cls",) if wants_one else ("video_encoder_cls", "text_encoder_cls"):
        yield from _missing_class(config, f"model.{key}", f"model_cls {model}")


def _missing_measure(config: Any, only_predicts: bool) -> Iterator[str]:
    yield from _missing_class(config, "predictor", "an evaluation")
    predictor = setting(config, "predictor")
    if setting(config, "metric") is None and not only_predicts:
        fitting = METRICS_OF.get(predictor) or known_names("metric")
        yield f"metric is not set; predictor {predictor} goes with: {', '.join(fitting)}"


def _missing_data(config: Any) -> Iterator[str]:
    if setting(config, "dataset.split") == "test":
        yield "dataset.split must be train or not set in a training, got 'test'"
    for role in ROLES:
        yield from _missing_class(config, f"dataset.{role}", "a training")
    settings = trainer_settings(config)
    wanted = {"train_subset": [settings.get("train_subset", "train")]}
    if not settings.get("disable_validation"):
        wanted["valid_subset"] = settings.get("valid_subset", "valid").split(",")
    for argument, splits in wanted.items():
        for split in splits:
            if split not in SPLIT_PATHS:
                yield (
                    f"{argument_key(config, argument)} must be one of train, valid in a training, "
                    f"got {split!r}"
                )
            elif setting(config, f"dataset.{SPLIT_PATHS[split]}") is None:
                hint = ", or fairseq.dataset.disable_validation: true"
                yield (
                    f"dataset.{SPLIT_PATHS[split]} is not set; a training reads the split "
                    f"{split!r} from it: set it{hint if argument == 'valid_subset' else ''}"
                )


def _missing_arguments(config: Any) -> Iterator[str]:
    settings = trainer_settings(config)
    if "optimizer" not in settings:
        yield "fairseq.optimization.optimizer is not set; a training needs it, for instance adam"
    if "batch_size" not in settings and "max_tokens" not in settings:
        yield "fairseq.dataset.batch_size is not set; a training needs it"
    if "save_dir" not in settings:
        yield (
            "fairseq.checkpoint.save_dir is not set; a training needs a folder for its checkpoints"
        )
    schedule = settings.get("lr_scheduler")
    if schedule is None and foreign_arguments("lr_scheduler", DEFAULT_SCHEDULE, settings):
        yield (
            "fairseq.optimization.lr_scheduler is not set; it would be "
            f"{DEFAULT_SCHEDULE}, and other settings are for another, for instance polynomial_decay"
        )
    limits = ("total_num_update", "max_update")
    if schedule == "polynomial_decay" and not any(settings.get(name) for name in limits):
        yield (
            "fairseq.optimization.total_num_update is not set; lr_scheduler polynomial_decay needs "
            "it, or max_update"
        )


def lacking(config: Any, evaluated: bool) -> Iterator[str]:
    """What a job asks for and this version, or this Python, does not have; one line each.

    Args:
        config: a checked job file.
        evaluated: whether it is to be evaluated; else it is to be trained.
    """
    for dotted, names in NOT_YET.items():
        value = setting(config, dotted)
        if value in names:
            yield f"{dotted}: {value} is not available in this version"
    if evaluated:
        return
    if setting(config, "loss.implementation") == "triton":
        yield (
            "loss.implementation: triton is not available in this version; use auto, reference or "
            "chunked"
        )
    yield from _missing_packages(config, trainer_settings(config))


def _missing_packages(config: Any, settings: Mapping[str, Any]) -> Iterator[str]:
    for (argument, value), package in PACKAGES.items():
        if settings.get(argument) == value and importlib.util.find_spec(package) is None:
            yield (
                f"{argument_key(config, argument)}: {str(value).lower()} needs the package "
                f"{package}, which is not installed"
            )


def last_epoch(settings: Mapping[str, Any]) -> float:
    """The last epoch that a training can reach for sure; infinite where nothing limits it."""
    if settings.get("max_epoch"):
        return settings["max_epoch"]
    # a limit in updates may come at any epoch: what is sure then is the first
    return 1 if settings.get("max_update") else math.inf
