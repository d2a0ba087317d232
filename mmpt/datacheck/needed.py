"""Which videos an annotation names, whether they have features or not.

A meta processor refuses a benchmark with gaps, or leaves out what is not there; who lists what is
missing needs the names of all.  The files are read by the readers of the data sets, so that a
broken one is told of in the same words as when a job starts.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from mmpt.config.access import setting
from mmpt.processors import How2MetaProcessor, MSRVTTMetaProcessor
from mmpt.processors.downstream import coin, crosstask, didemo, htm_align, msrvtt_qa, youcook
from mmpt.processors.downstream.crosstask_files import read_tasks, read_videos
from mmpt.processors.paths import SPLIT_KEYS, config_split, required_file, required_folder


class Needed(NamedTuple):
    """The feature files that a split of a data set asks for.

    Attributes:
        table: the annotation file that names the videos.
        names: video -> the names that its file may have (without `.npy`); the first found counts.
        fixed: no video may be left out; else a job goes on without those that have no features.
        begins: of videos whose features must be so long, the last second at which a text begins.
        lacking: annotation files that are named by the table and not there.
    """

    table: str
    names: dict[str, tuple[str, ...]]
    fixed: bool
    begins: Mapping[str, float] = {}
    lacking: tuple[str, ...] = ()


def _split_file(config: Any, section: str) -> str:
    return required_file(config, SPLIT_KEYS[config_split(config)], section)


def _plain(video_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    return {video_id: (video_id,) for video_id in video_ids}


def _without(config: Any, *keys: str) -> Any:
    return OmegaConf.merge(config, dict.fromkeys(keys))


def _msrvtt(config: Any) -> Needed:
    # without a folder of features the processor asks for none
    videos = [video_id for video_id, _ in MSRVTTMetaProcessor(_without(config, "vfeat_dir")).data]
    return Needed(setting(config, SPLIT_KEYS[config_split(config)]), _plain(videos), fixed=True)


def _msrvtt_qa(config: Any) -> Needed:
    path = _split_file(config, msrvtt_qa.SECTION)
    questions = msrvtt_qa.read_questions(path)
    return Needed(path, _plain(video_id for video_id, _ in questions), fixed=True)


def _youcook(config: Any) -> Needed:
    path = _split_file(config, youcook.SECTION)
    annotation = required_file(config, "trainval_annotation", youcook.SECTION)
    sentences = bool(setting(config, "use_annotation_text", False))
    clips = youcook.read_clips(path, annotation, sentences)
    return Needed(path, _plain(clip.video_id for clip in clips), fixed=False)


def _coin(config: Any) -> Needed:
    path = _split_file(config, coin.SECTION)
    subset = coin.SUBSETS[config_split(config)]
    return Needed(path, _plain(coin.read_annotation(path)[subset]), fixed=False)


def _didemo(config: Any) -> Needed:
    path = _split_file(config, didemo.SECTION)
    videos = [video for video, _, _ in didemo.read_records(path)]
    names = {video: (video, os.path.splitext(video)[0]) for video in videos}
    return Needed(path, names, fixed=True)


def _htm_align(config: Any) -> Needed:
    path = required_file(config, "anno_path", htm_align.SECTION)
    videos = htm_align.read_annotation(path)
    begins = {name: max(said.start for said in sentences) for name, sentences in videos.items()}
    return Needed(path, _plain(videos), fixed=True, begins=begins)


def _crosstask(config: Any) -> Needed:
    tasks = read_tasks(required_file(config, "primary_path", crosstask.SECTION))
    table = required_file(config, "train_csv_path", crosstask.SECTION)
    read_videos(required_file(config, "val_csv_path", crosstask.SECTION))
    folder = required_folder(config, "annotation_path", crosstask.SECTION)
    listed = [(task, vid) for task, vid in read_videos(table) if task in tasks]
    files = set(os.listdir(folder))
    annotation = {(task, vid): f"{task}_{vid}.csv" for task, vid in listed}
    lacking = sorted(name for name in annotation.values() if name not in files)
    annotated = [vid for (_, vid), name in annotation.items() if name in files]
    return Needed(table, _plain(annotated), fixed=False, lacking=tuple(lacking))


def _how2(config: Any) -> Needed:
    listed = How2MetaProcessor(_without(config, "vfeat_dir", "caption_pkl_path"))
    return Needed(listed.path, _plain(listed.data), fixed=False)


NEEDED: dict[str, Callable[[Any], Needed]] = {
    "COINActionSegmentationMetaProcessor": _coin,
    "CrossTaskMetaProcessor": _crosstask,
    "DiDeMoMetaProcessor": _didemo,
    "HTMAlignMetaProcessor": _htm_align,
    "How2MetaProcessor": _how2,
    "MSRVTTMetaProcessor": _msrvtt,
    "MSRVTTQAMetaProcessor": _msrvtt_qa,
    "YoucookFullVideoBGMetaProcessor": _youcook,
    "YoucookMetaProcessor": _youcook,
}
"""Meta processor with one feature file a video -> what reads its annotation.

Each takes the `dataset` section with `split` set and raises DataError or ConfigError as the
processor does.
"""
