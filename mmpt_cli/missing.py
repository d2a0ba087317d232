"""What jobs need and this machine does not have: all of it at once, before anything starts.

Only looked at: nothing is opened or written, and no hub is asked.  Which keys of `dataset` name a
file, a folder or the beginning of file names comes from the schema; which section of DATASET.md
tells about them, from the class that lists a job's videos.
"""

import importlib.util
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmpt.config.access import setting
from mmpt.config.fairseq_args import LAST_CHECKPOINT, trainer_settings
from mmpt.config.keys import keys_of
from mmpt.config.ready import SPLIT_PATHS, lacking
from mmpt.config.schema_dataset import DatasetSection
from mmpt.errors import CheckpointError, LaunchError
from mmpt.utils.bert import HUB_NAME, LOCAL_WEIGHTS, TOKENIZER_FILES, resolve_bert
from mmpt_cli import localjob
from mmpt_cli.checkpoint_files import find_checkpoints
from mmpt_cli.command import plan
from mmpt_cli.localjob import Job, is_evaluated
from mmpt_cli.preflight import has_begun

KINDS = {
    "data": "data and weights",
    "checkpoints": "checkpoints",
    "GPUs": "GPUs",
    "packages": "packages, and parts of this version",
}
"""Kind -> its heading, in the order of the list."""

BERT_SECTION, CHECKPOINT_SECTION = "BERT", "Checkpoints"
"""Sections of DATASET.md."""

PATH_UNITS = {
    name: unit
    for name, key in keys_of(DatasetSection).items()
    if (unit := key.metadata["unit"]).startswith("path")
}
"""The keys of `dataset` that name something on the disk, with their unit."""
FOLDERS = {name for name, unit in PATH_UNITS.items() if unit == "path of a folder"}
UNREAD = {"target_dir", "related_path"}
"""What is written, or named and never opened."""

# Once more, and lightly: mmpt.processors.paths comes with torch, which the launching process, that
# waits for days, does without.  A test keeps both equal.
SPLIT_KEYS = {**SPLIT_PATHS, "test": "test_path"}
DISK_SPLITS = {"train": "train", "valid": "val", "test": "val"}

HUB_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class Missing(NamedTuple):
    """One thing that is not there.

    Attributes:
        kind: a name of `KINDS`.
        what: a path (a prefix of file names ends in `*`), or a sentence.
        keys: the dotted keys that ask for it.
        jobs: the job files that do.
        section: the section of DATASET.md that says how to get it, or None.
        note: more to say, or empty.
    """

    kind: str
    what: str
    keys: tuple[str, ...]
    jobs: tuple[str, ...]
    section: str | None = None
    note: str = ""


def find_missing(jobs: Sequence[Job]) -> list[Missing]:
    """All that jobs need and that is not there, each thing once, in the order of `KINDS`.

    A checkpoint in the folder of a training among the jobs is not missing: that training makes it.

    Args:
        jobs: in the order in which they will run, each complete (`check_complete`) and, where it is
            evaluated, available in this version.

    Raises:
        LaunchError: a job type that cannot be, or torch cannot be used.
    """
    evaluated = {job.file: is_evaluated(job) for job in jobs}
    trainings = [job for job in jobs if not evaluated[job.file]]
    # asked once, and not at all where nothing trains: it takes seconds
    gpus = localjob.count_gpus() if trainings else 0
    folders = [setting(job.config, "fairseq.checkpoint.save_dir") for job in trainings]
    made = {os.path.realpath(folder) for folder in folders if folder}
    found: list[Missing] = []
    for job in jobs:
        found += missing_data(job, evaluated[job.file])
        found += missing_checkpoints(job, evaluated[job.file], made)
        if evaluated[job.file]:
            continue
        found += _missing_gpus(job, gpus)
        found += _missing_packages(job)
    return _each_once(found)


def missing_data(job: Job, evaluated: bool) -> Iterator[Missing]:
    """The files and folders that a job's `dataset` section names, reads, and that are not there.

    Args:
        job: a complete job.
        evaluated: whether it is evaluated; else it is trained.
    """
    dataset, splits = setting(job.config, "dataset", {}), read_splits(job.config, evaluated)

    def lost(key: str, what: str) -> Missing:
        return Missing("data", what, (f"dataset.{key}",), (job.file,), section_of(job.config))

    for key in needed_keys(splits):
        path = setting(dataset, key)
        if path is not None and not is_there(key, path):
            yield lost(key, f"{path}*" if PATH_UNITS[key] == "path prefix" else path)
    features = setting(dataset, "vfeat_dir")
    if features is not None and setting(dataset, "tfeat_dir") is not None:
        # text shards go with feature shards, and these with the lists of their videos
        for split in splits:
            path = os.path.join(features, f"{DISK_SPLITS[split]}_meta.pkl")
            if not os.path.isfile(path):
                yield lost("vfeat_dir", path)
    name = setting(dataset, "bert_name")
    if name is not None and not has_bert(name):
        yield Missing(
            "data",
            str(LOCAL_WEIGHTS / name),
            ("dataset.bert_name",),
            (job.file,),
            BERT_SECTION,
            f"{name} is in no folder, and not whole in the hub's cache"
            + (
                f"; the hub is not asked here: where it can be reached, hf download {name} fills "
                "the cache"
                if HUB_NAME.fullmatch(name)
                else ""
            ),
        )


def read_splits(config: Any, evaluated: bool) -> list[str]:
    """The splits that a job reads: `test`, or those that its training and validation name."""
    if evaluated:
        return ["test"]
    settings = trainer_settings(config)
    splits = [settings.get("train_subset", "train")]
    if not settings.get("disable_validation"):
        splits += settings.get("valid_subset", "valid").split(",")
    return splits


def needed_keys(splits: Collection[str]) -> list[str]:
    """The keys of `dataset` whose paths, where set, are read by a job of these splits."""
    others = {key for split, key in SPLIT_KEYS.items() if split not in splits}
    return [name for name in PATH_UNITS if name not in others | UNREAD]


def is_there(key: str, path: str) -> bool:
    """Whether the file or folder of a key of `dataset` is there, or a file of that prefix."""
    if PATH_UNITS[key] == "path prefix":
        folder, prefix = os.path.split(path)
        try:
            with os.scandir(folder or ".") as entries:
                return any(entry.name.startswith(prefix) for entry in entries)
        except OSError:
            return False
    return os.path.isdir(path) if key in FOLDERS else os.path.isfile(path)


def has_bert(bert_name: str) -> bool:
    """Whether a BERT is in a folder, or whole in the cache of the hub's client; asks no hub."""
    if Path(resolve_bert(bert_name)).is_dir():
        return True
    if not HUB_NAME.fullmatch(bert_name):
        return False
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    def cached(name: str) -> bool:
        # else None, or a marker of what the hub was found not to have
        return isinstance(try_to_load_from_cache(bert_name, name), str)

    try:
        return cached("config.json") and all(
            any(map(cached, names)) for names in (TOKENIZER_FILES, HUB_WEIGHTS)
        )
    except HFValidationError:
        return False


def section_of(config: Any) -> str:
    """The section of DATASET.md about a job's data."""
    from mmpt.evaluators import PREDICTORS
    from mmpt.processors import META_PROCESSORS, MetaProcessor

    predictor = PREDICTORS.get(setting(config, "predictor"))
    own = predictor.processors if predictor else {}
    name = setting(config, "dataset.meta_processor", own.get("meta_processor"))
    return META_PROCESSORS.get(name, MetaProcessor).section


def missing_checkpoints(job: Job, evaluated: bool, made: Collection[str] = ()) -> Iterator[Missing]:
    """The checkpoints that a job starts from, or is to evaluate, and that are not there.

    Args:
        job: a complete job.
        evaluated: whether it is evaluated; else it is trained.
        made: folders (real paths) whose checkpoints will have been written by then.
    """
    return _missing_to_evaluate(job, made) if evaluated else _missing_to_start_from(job, made)


def _missing_to_start_from(job: Job, made: Collection[str]) -> Iterator[Missing]:
    """What `preflight.settings_with_checkpoint` would refuse."""
    settings = trainer_settings(job.config)
    optional = has_begun(settings) or setting(job.config, "restore_optional", False)
    for name in ("finetune_from_model", "restore_file"):
        file = settings.get(name)
        if file in (None, LAST_CHECKPOINT) or (name == "restore_file" and optional):
            continue
        if not Path(file).is_file() and not _is_in(file, made):
            yield _missing_checkpoint(job, file, f"fairseq.checkpoint.{name}")


def _missing_to_evaluate(job: Job, made: Collection[str]) -> Iterator[Missing]:
    named = setting(job.config, "fairseq.common_eval.path")
    folder = setting(job.config, "eval.save_path")
    if named is not None:
        if not Path(named).is_file() and not _is_in(named, made):
            yield _missing_checkpoint(job, named, "fairseq.common_eval.path")
    elif folder is not None:
        best = os.path.join(folder, "checkpoint_best.pt")
        try:
            found = _is_in(best, made) or find_checkpoints(job.config)
        except CheckpointError:
            found = False
        if not found:
            yield _missing_checkpoint(job, best, "eval.save_path")


def _missing_checkpoint(job: Job, file: str, key: str) -> Missing:
    return Missing("checkpoints", file, (key,), (job.file,), CHECKPOINT_SECTION)


def _is_in(file: str, folders: Collection[str]) -> bool:
    return os.path.realpath(os.path.dirname(file) or ".") in folders


def _missing_gpus(job: Job, gpus: int) -> Iterator[Missing]:
    wants_cpu = bool(trainer_settings(job.config).get("cpu"))
    try:
        localjob.place(job, plan(job.file, job.job_type), gpus, wants_cpu)
    except LaunchError as error:
        reason = str(error).removeprefix(f"{job.file}: ")
        yield Missing("GPUs", reason, (), (job.file,))


def _missing_packages(job: Job) -> Iterator[Missing]:
    for line in lacking(job.config, evaluated=False):
        yield Missing("packages", line, (), (job.file,))
    if importlib.util.find_spec("fairseq") is None:
        note = "bash run.sh setup, or pip install --no-deps ve-fairseq==0.12.3"
        yield Missing("packages", "fairseq, which trains", (), (job.file,), note=note)


def _each_once(found: Sequence[Missing]) -> list[Missing]:
    """Merges what several jobs or keys ask for, and puts the kinds in order."""
    merged: dict[tuple[str, str], Missing] = {}
    for one in found:
        thing = (one.kind, os.path.normpath(one.what))
        first = merged.setdefault(thing, one)
        merged[thing] = first._replace(
            keys=tuple(dict.fromkeys(first.keys + one.keys)),
            jobs=tuple(dict.fromkeys(first.jobs + one.jobs)),
        )
    order = list(KINDS)
    return sorted(merged.values(), key=lambda one: order.index(one.kind))
