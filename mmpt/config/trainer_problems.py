"""Trainer's arguments that cannot go together, or hold a text that cannot be what it should."""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from mmpt.config.access import nearest, setting
from mmpt.config.fairseq_args import (
    HALF_PRECISION,
    LAST_CHECKPOINT,
    RESETS,
    argument_key,
    trainer_settings,
)
from mmpt.config.schema_optimizers import OWN_ARGUMENTS, foreign_arguments

_SUM: tuple[str, ...] = ()
LOSS_PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("ArgmaxCrossEntropy", "BCE", "CrossEntropy", "DummyK400Loss", "DummyLoss"), _SUM
    ),
    **dict.fromkeys(("L1", "MSE", "NCE", "NLGLoss", "SmoothL1", "MTM"), _SUM),
    **dict.fromkeys(("T2VContraLoss", "V2TContraLoss"), _SUM),
    "MMContraLoss": ("loss_v2t", "loss_t2v"),
    "MFMMLM": ("loss_mfm", "loss_mlm"),
}
"""The parts that each loss of this project logs beside their sum, those of `loss.sequence_contrast`
apart; a loss of one's own is not here, and may log what it likes."""
SEQUENCE_PARTS = ("loss_seq", "plan_diagonal")

BETAS = ("adam_betas", "adamax_betas", "lamb_betas")
MAPPINGS = ("optimizer_overrides", "model_overrides", "epoch2lr", "update2lr")


def trainer_problems(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong in the section `fairseq` of a job file, one line each."""
    settings = trainer_settings(content)
    yield from _text_problems(content, settings)
    yield from _choice_problems(content, settings)
    yield from _schedule_problems(content, settings)
    yield from _checkpoint_problems(content, settings)
    yield from _metric_problems(content, settings.get("best_checkpoint_metric"))
    half = [name for name in HALF_PRECISION if settings.get(name)]
    if {"fp16", "bf16"} <= set(half):
        yield f"fairseq: {' and '.join(half)} are true; one kind of half precision is allowed"


def _text_problems(content: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """Texts that the trainer reads as numbers or mappings."""
    for name in BETAS:
        text = settings.get(name)
        if text is not None and not _is_pair_of_rates(text):
            yield (
                f"{argument_key(content, name)} must be a text that holds a pair of numbers in "
                f"[0, 1), for instance (0.9, 0.98), got {text!r}"
            )
    for name in MAPPINGS:
        text = settings.get(name)
        if text is not None and not isinstance(_literal(text), dict):
            yield (
                f"{argument_key(content, name)} must be a text that holds a mapping, for instance "
                f"{{'weight_decay': 0.1}}, got {text!r}"
            )
    for subset in settings.get("valid_subset", "valid").split(","):
        if subset not in ("train", "valid", "test"):
            yield (
                f"{argument_key(content, 'valid_subset')} must be one of train, valid, test, or "
                f"several with commas, got {settings['valid_subset']!r}"
            )


def _choice_problems(content: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """Arguments of an optimizer or a schedule that is not the chosen one."""
    for kind in OWN_ARGUMENTS:
        chosen = settings.get(kind)
        foreign = [] if chosen is None else foreign_arguments(kind, chosen, settings)
        if foreign:
            keys = " and ".join(argument_key(content, name) for name in foreign)
            verb, them = ("do", "them") if len(foreign) > 1 else ("does", "it")
            yield f"{keys} {verb} not go with {kind} {chosen}; set {them} to null"


def _schedule_problems(content: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """Learning rates that never fall, or fall before they have risen."""
    warmup, total = settings.get("warmup_updates"), settings.get("total_num_update")
    if warmup is not None and total is not None and warmup > total:
        yield (
            f"{argument_key(content, 'warmup_updates')} must be at most total_num_update = "
            f"{total:g}, got {warmup}"
        )
    end, rates = settings.get("end_learning_rate"), settings.get("lr")
    if end is not None and rates is not None:
        highest = max(rates if isinstance(rates, list) else [rates])
        if end > highest:
            yield (
                f"{argument_key(content, 'end_learning_rate')} must be at most lr = {highest:g}, "
                f"got {end:g}"
            )
    if settings.get("lr_scheduler") == "triangular" and settings.get("max_lr") is None:
        yield "fairseq.optimization.max_lr is not set; lr_scheduler triangular needs it"


def _checkpoint_problems(content: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """Two sources of a run's weights, or a folder of checkpoints that is one of data."""
    if settings.get("finetune_from_model") is not None:
        named = argument_key(content, "finetune_from_model")
        resets = [name for name in RESETS if settings.get(name)]
        if resets:
            yield f"{named} resets all by itself; delete {' and '.join(resets)}"
        restored = settings.get("restore_file", LAST_CHECKPOINT)
        if restored != LAST_CHECKPOINT:
            yield f"{named} is set beside restore_file {restored!r}; one of both is allowed"
    folder = settings.get("save_dir")
    for key in ("dataset.vfeat_dir", "dataset.annotation_path"):
        data = setting(content, key)
        if folder is not None and data is not None and _same_path(folder, data):
            yield (
                f"{argument_key(content, 'save_dir')} must not be the folder of {key}, got "
                f"{folder!r} for both"
            )


def _metric_problems(content: Mapping[str, Any], metric: str | None) -> Iterator[str]:
    loss = setting(content, "loss.loss_cls")
    if metric in (None, "loss") or loss not in LOSS_PARTS:
        return
    logged = ["loss", *LOSS_PARTS[loss]]
    if loss == "MMContraLoss" and setting(content, "loss.sequence_contrast") is not None:
        logged += SEQUENCE_PARTS
    if metric not in logged:
        yield (
            f"{argument_key(content, 'best_checkpoint_metric')} must be one of what this job's "
            f"loss logs: {', '.join(logged)}{nearest(metric, logged)}, got {metric!r}"
        )


def _same_path(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def _literal(text: str) -> Any:
    """What a text means as a literal of Python; None where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _is_pair_of_rates(text: str) -> bool:
    pair = _literal(text)
    return (
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v < 1 for v in pair
        )
    )
