"""Planted retrieval: MSR-VTT, its questions, YouCook2's clips and whole videos."""

import csv
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmpt.evaluators.fullvideo import FullVideoBGRetrievalMetric, FullVideoRetrievalMetric
from mmpt.io.pickles import load_pickle
from mmpt.proof.codes import Codes
from mmpt.proof.planting import (
    CLIP_SECONDS,
    Planting,
    Task,
    both_ways,
    four_sigma,
    random_recalls,
    recalls_with_duplicates,
)

ANSWERS = ("a1", "a2", "a3", "a4", "a5")


def _table(dataset: Mapping[str, Any], delimiter: str) -> list[dict[str, str]]:
    with open(dataset["test_path"], encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def _sentences(dataset: Mapping[str, Any]) -> list[str]:
    return [row["sentence"] for row in _table(dataset, ",")]


def plant_msrvtt(dataset: Mapping[str, Any], codes: Codes) -> Planting:
    """Every second of a video shows its sentence."""
    places = codes.add(_sentences(dataset))
    videos = [row["video_id"] for row in _table(dataset, ",")]
    features = {
        video_id: np.repeat(vector[None], CLIP_SECONDS, axis=0)
        for video_id, vector in zip(videos, codes.vectors(places), strict=True)
    }
    best = both_ways(recalls_with_duplicates(places, videos))
    return Planting(features, best, both_ways(random_recalls(len(videos))))


def _answers(dataset: Mapping[str, Any]) -> list[str]:
    return [row[answer] for row in _table(dataset, "\t") for answer in ANSWERS]


def plant_questions(dataset: Mapping[str, Any], codes: Codes) -> Planting:
    """Every second of a video shows the right answer; of equal answers the first is chosen."""
    rows = _table(dataset, "\t")
    places = codes.add(_answers(dataset)).reshape(len(rows), len(ANSWERS))
    right = np.array([int(row["answer"]) for row in rows])
    own = places[np.arange(len(rows)), right]
    features = {
        row["vid_key"].replace("msr", "video"): np.repeat(vector[None], CLIP_SECONDS, axis=0)
        for row, vector in zip(rows, codes.vectors(own), strict=True)
    }
    first = (places == own[:, None]).argmax(axis=1)
    chance = 1 / len(ANSWERS)
    return Planting(
        features,
        {"acc": float((first == right).mean())},
        {"acc": (chance, four_sigma(chance, len(rows)))},
    )


class _Recipes:
    """YouCook2's listed clips, and the features of their videos."""

    def __init__(self, dataset: Mapping[str, Any], codes: Codes):
        with open(dataset["trainval_annotation"], encoding="utf-8") as file:
            database = json.load(file)["database"]
        listed = [record["id"].rsplit("_", 1) for record in load_pickle(dataset["test_path"])]
        clips = [(video, database[video]["annotations"][int(clip)]) for video, clip in listed]
        self.videos = [video for video, _ in clips]
        self.spans = [tuple(clip["segment"]) for _, clip in clips]
        self.places = codes.add([clip["sentence"] for _, clip in clips])
        self.vectors = codes.vectors(self.places)
        self.clips = list(zip(self.videos, self.spans, strict=True))
        self.rows: dict[str, list[int]] = {}
        for row, video in enumerate(self.videos):
            self.rows.setdefault(video, []).append(row)
        self.features = {}
        for video, rows in self.rows.items():
            ends = [self.spans[row][1] for row in rows]
            seconds = max(math.ceil(database[video]["duration"]), *ends)
            self.features[video] = np.zeros((seconds, codes.width), dtype=np.float32)
            shown: dict[tuple[int, int], np.ndarray] = {}
            for row in rows:
                shown[self.spans[row]] = shown.get(self.spans[row], 0) + self.vectors[row]
            # where clips overlap the shorter one is shown, else one inside another would be hidden
            for start, end in sorted(shown, key=lambda span: span[0] - span[1]):
                self.features[video][start:end] = shown[start, end]


def _recipe_texts(dataset: Mapping[str, Any]) -> list[str]:
    with open(dataset["trainval_annotation"], encoding="utf-8") as file:
        database = json.load(file)["database"]
    return [clip["sentence"] for video in database.values() for clip in video["annotations"]]


def plant_clips(dataset: Mapping[str, Any], codes: Codes) -> Planting:
    """Every second of a clip shows its sentence."""
    recipes = _Recipes(dataset, codes)
    best = both_ways(recalls_with_duplicates(recipes.places, recipes.clips))
    return Planting(recipes.features, best, both_ways(random_recalls(len(recipes.videos))))


def plant_recipes(dataset: Mapping[str, Any], codes: Codes) -> Planting:
    """As `plant_clips`; what must come out is computed from the directions alone."""
    recipes = _Recipes(dataset, codes)
    seen = int(dataset["max_video_len"])
    means = [
        recipes.features[video][start : min(end, start + seen)].mean(axis=0)
        for video, (start, end) in zip(recipes.videos, recipes.spans, strict=True)
    ]
    best = FullVideoRetrievalMetric().compute_metrics(
        outputs=recipes.vectors @ np.stack(means).T, video_ids=recipes.videos
    )
    return Planting(recipes.features, best, random_recalls(len(recipes.rows)))


def plant_windows(dataset: Mapping[str, Any], codes: Codes) -> Planting:
    """As `plant_recipes`, over windows of the whole video."""
    recipes = _Recipes(dataset, codes)
    step, size = int(dataset["sliding_window"]), int(dataset["sliding_window_size"])
    means, windows = [], []
    for video in recipes.rows:
        seconds = recipes.features[video]
        last = max(0, math.ceil((len(seconds) - size) / step))
        starts = [step * place for place in range(last + 1)]
        means += [seconds[start : start + size].mean(axis=0) for start in starts]
        windows.append(len(starts))
    captions = [len(rows) for rows in recipes.rows.values()]
    order = [row for rows in recipes.rows.values() for row in rows]
    best = FullVideoBGRetrievalMetric().compute_metrics(
        outputs=recipes.vectors[order] @ np.stack(means).T,
        video_ids=list(recipes.rows),
        video_lengths=windows,
        text_lengths=captions,
    )
    return Planting(recipes.features, best, random_recalls(len(recipes.rows)))


RETRIEVAL = {
    "msrvtt": Task("test_vtt_zs.yaml", _sentences, plant_msrvtt),
    "msrvtt-qa": Task("test_vttqa_zs.yaml", _answers, plant_questions),
    "youcook": Task("test_youcook_zs.yaml", _recipe_texts, plant_clips),
    "youcook-full": Task("test_youcook_fullvideo_zs.yaml", _recipe_texts, plant_recipes),
    "youcook-background": Task("test_youcook_fullvideo_bg_zs.yaml", _recipe_texts, plant_windows),
}
