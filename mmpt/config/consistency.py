"""Values of a job file that cannot go together, each right by itself.

Those of the section `fairseq` alone are in `trainer_problems.py`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mmpt.config.access import setting
from mmpt.config.class_names import METRICS_OF, MODELS_OF, ONE_ENCODER
from mmpt.config.keys import shown
from mmpt.config.trainer_problems import trainer_problems


def pipeline_problems(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong in a pipeline file, one line each."""
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
            yield f"task_group.{group}.task_list must be a list of file names, got {shown(files)}"
    for stage in content["run_task"]:
        if not _is_file_list(stage if isinstance(stage, list) else [stage]):
            yield f"run_task must hold file names and lists of file names, got {shown(stage)}"


def _is_file_list(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(v, str) for v in value)


GATHERING = ("MMContraLoss",)
"""The losses that can contrast the batches of all processes."""


def job_problems(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong in a job file, one line each."""
    yield from _length_problems(content)
    yield from _batch_problems(content)
    yield from trainer_problems(content)
    yield from _evaluation_problems(content)
    prefix = setting(content, "dataset.tfeat_dir")
    if prefix is not None and not prefix.endswith("."):
        yield f"dataset.tfeat_dir is a prefix and must end in a dot, got {prefix!r}"


def _evaluation_problems(content: Mapping[str, Any]) -> Iterator[str]:
    """A metric that reads what another predictor writes, a model that gives what another reads."""
    predictor, metric = _both(content, "predictor", "metric")
    fitting = METRICS_OF.get(predictor, ())
    ours = {name for names in METRICS_OF.values() for name in names}
    if fitting and metric in ours and metric not in fitting:
        yield (
            f"metric must be one that goes with predictor {predictor}: {', '.join(fitting)}, got "
            f"{metric!r}"
        )
    predictor, model = _both(content, "predictor", "model.model_cls")
    models = MODELS_OF.get(predictor, ())
    if models and model in ONE_ENCODER and model not in models:
        yield (
            f"model.model_cls must be one that goes with predictor {predictor}: "
            f"{', '.join(models)}, got {model!r}"
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
    loss = setting(content, "loss.loss_cls", GATHERING[0])
    if setting(content, "loss.gather_negatives", False) and loss not in GATHERING:
        yield (
            f"loss.gather_negatives must be false with {loss}, got true: only "
            f"{', '.join(GATHERING)} contrasts the batches of all processes"
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
