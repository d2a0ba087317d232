"""Planted seconds: COIN, CrossTask, DiDeMo, HTM-Align."""

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.evaluators.htm_protocol import evaluated_windows, reach
from mmpt.proof.codes import Codes
from mmpt.proof.planting import TAIL_SECONDS, Planting, Task, four_sigma, spread

COIN_STRENGTH = 2
"""Labels of equal names make the threshold the product of a direction with itself: what is seen
must be stronger than that."""
DRAWS = 20
"""Random scorers that chance is estimated from."""
MOMENT_CHUNKS, CHUNK_SECONDS = 6, 5


def _load(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _coin_videos(dataset: Mapping[str, Any]) -> dict[str, list[dict]]:
    database = _load(dataset["test_path"])["database"]
    return {v: one["annotation"] for v, one in database.items() if one["subset"] == "testing"}


def _coin_names(dataset: Mapping[str, Any]) -> list[str]:
    videos = _coin_videos(dataset).values()
    names = {int(one["id"]): one["label"] for segments in videos for one in segments}
    return [names[label] for label in sorted(names)]


def plant_coin(dataset: Mapping[str, Any], codes: Codes) -> Planting:
    """Every second shows its label; of labels with equal names the first is predicted."""
    places = codes.add(_coin_names(dataset))
    vectors = codes.vectors(places)
    named = {place: label for label, place in reversed(list(enumerate(places, start=1)))}
    predicted = np.array([0, *(named[place] for place in places)])
    features, truth = {}, {}
    for video, segments in _coin_videos(dataset).items():
        seconds = math.ceil(max((one["segment"][1] for one in segments), default=0)) + TAIL_SECONDS
        labels = np.zeros(seconds, dtype=int)
        for one in segments:
            start, end = one["segment"]
            labels[math.floor(start) : math.ceil(end)] = int(one["id"])
        truth[video] = labels
        features[video] = COIN_STRENGTH * np.vstack([np.zeros(codes.width), vectors])[labels]
    every = np.concatenate(list(truth.values()))
    right = predicted[every] == every
    best = {
        "frame_acc": float(right.mean()),
        "foreground_acc": float(right[every > 0].mean()),
        "class_acc": float(np.mean([right[every == label].mean() for label in np.unique(every)])),
    }
    # an exchanged video agrees where both show nothing, and hardly elsewhere
    nothing = float((every == 0).mean())
    return Planting(features, best, {"frame_acc": (nothing**2, 0.06), "foreground_acc": (0, 0.02)})


def _steps(dataset: Mapping[str, Any]) -> dict[str, list[str]]:
    """Primary task -> its steps."""
    blocks = Path(dataset["primary_path"]).read_text("utf-8").strip().split("\n\n")
    lines = [block.strip().split("\n") for block in blocks]
    return {block[0].strip(): block[4].split(",") for block in lines}


def _step_texts(dataset: Mapping[str, Any]) -> list[str]:
    return [step for steps in _steps(dataset).values() for step in steps]


def _shown_steps(path: Path, steps: int) -> np.ndarray:
    """bool [seconds, steps] of an annotation file."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = [(int(row[0]), float(row[1]), float(row[2])) for row in csv.reader(file) if row]
    shown = np.zeros((math.ceil(max(end for *_, end in rows)) + TAIL_SECONDS, steps), dtype=bool)
    for step, start, end in rows:
        shown[math.floor(start) : math.ceil(end), step - 1] = True
    return shown


def in_order(weights: np.ndarray) -> np.ndarray:
    """The seconds of the steps, one each and in order, of largest total weight: int64 [steps].

    Args:
        weights: float or bool [seconds, steps], at least as many seconds as steps.
    """
    seconds, steps = weights.shape
    best = np.zeros(seconds + 1)  # of the steps so far within the first 0, 1, ... seconds
    chosen = np.zeros((steps, seconds + 1), dtype=np.int64)
    for step in range(steps):
        ends = np.concatenate([[-np.inf], best[:-1] + weights[:, step]])
        best = np.maximum.accumulate(ends)
        chosen[step] = np.maximum.accumulate(np.where(ends == best, np.arange(seconds + 1), 0))
    placed, end = np.zeros(steps, dtype=np.int64), seconds
    for step in reversed(range(steps)):
        end = chosen[step, end] - 1
        placed[step] = end
    return placed


def _hits(shown: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """Which steps are placed on a second that shows them, bool [steps]."""
    return shown[placed, np.arange(shown.shape[1])]


def plant_crosstask(dataset: Mapping[str, Any], codes: Codes) -> Planting:
    """Of every step one second shows it, those that one second each, in order, can hit.

    More shown steps would offer placements that gain as much and hit less.
    """
    random = np.random.default_rng(0)
    steps = _steps(dataset)
    vectors = {task: codes.vectors(codes.add(texts)) for task, texts in steps.items()}
    features: dict[str, np.ndarray] = {}
    shown: dict[tuple[str, str], np.ndarray] = {}
    for path in sorted(Path(dataset["annotation_path"]).glob("*.csv")):
        task, video = path.stem.split("_", 1)
        if task in steps and path.stat().st_size:
            shown[task, video] = _shown_steps(path, len(steps[task]))
            placed = in_order(shown[task, video])
            hits = _hits(shown[task, video], placed)
            seconds = np.zeros((len(shown[task, video]), codes.width), dtype=np.float32)
            seconds[placed[hits]] = vectors[task][hits]
            known = features.get(video)
            features[video] = seconds if known is None else _both(known, seconds)
    tables: dict[str, list[np.ndarray]] = {}
    for task, video in _tested(dataset, shown):
        tables.setdefault(task, []).append(shown[task, video])
    best = np.mean([_recall(of_task, lambda table: table) for of_task in tables.values()])
    drawn = [
        _recall(of_task, lambda table: random.random(table.shape))
        for of_task in tables.values()
        for _ in range(DRAWS)
    ]
    return Planting(features, {"recall": float(best)}, {"recall": (float(np.mean(drawn)), 0.03)})


def _recall(tables: list[np.ndarray], weigh: Callable[[np.ndarray], np.ndarray]) -> float:
    """Steps hit of all that the videos of a task show."""
    hits = sum(int(_hits(table, in_order(weigh(table))).sum()) for table in tables)
    return hits / sum(int(table.any(axis=0).sum()) for table in tables)


def _both(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """What a video shows for two tasks."""
    total = np.zeros((max(len(one), len(other)), one.shape[1]), dtype=np.float32)
    total[: len(one)] += one
    total[: len(other)] += other
    return total


def _tested(
    dataset: Mapping[str, Any], shown: Mapping[tuple[str, str], np.ndarray]
) -> list[tuple[str, str]]:
    """The videos that are neither held out nor drawn for training."""
    random = np.random.RandomState(0)
    tables = [_rows(dataset[key]) for key in ("train_csv_path", "val_csv_path")]
    listed, held_out = ([tuple(row[:2]) for row in table] for table in tables)
    videos: dict[str, list[str]] = {}
    for task, video in listed:
        if (task, video) in shown:
            videos.setdefault(task, []).append(video)
    tested = []
    for task, every in videos.items():
        free = [video for video in every if (task, video) not in held_out]
        if len(free) > int(dataset["n_train"]):  # else all of them are for training
            drawn = set(random.choice(free, int(dataset["n_train"]), replace=False))
            tested += [(task, video) for video in free if video not in drawn]
    return tested


def _rows(path: str) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file) if row]


def _descriptions(dataset: Mapping[str, Any]) -> list[str]:
    return [record["description"] for record in _load(dataset["test_path"])]


def plant_didemo(dataset: Mapping[str, Any], codes: Codes) -> Planting:
    """The chunks on which most annotators agree show the description.

    Of a description, rank 1 needs three annotators with one moment, and is reached with them; more
    cannot be planned, since one moment's chunks score as much as it does itself.
    """
    records = _load(dataset["test_path"])
    places = codes.add([record["description"] for record in records])
    features: dict[str, np.ndarray] = {}
    agreed, overlaps = [], []
    for record, vector in zip(records, codes.vectors(places), strict=True):
        times = [tuple(moment) for moment in record["times"]]
        (first, last), votes = Counter(times).most_common(1)[0]
        seconds = MOMENT_CHUNKS * CHUNK_SECONDS
        video = features.setdefault(
            record["video"], np.zeros((seconds, codes.width), dtype=np.float32)
        )
        video[first * CHUNK_SECONDS : (last + 1) * CHUNK_SECONDS] += vector
        agreed.append(votes >= 3)
        chunks = [set(range(a, b + 1)) for a, b in times]
        shown = set(range(first, last + 1))
        jaccard = sorted(len(shown & one) / len(shown | one) for one in chunks)
        overlaps.append(np.mean(jaccard[-3:]))
    best = {"rank1": float(np.mean(agreed)), "miou": float(np.mean(overlaps))}
    return Planting(features, best, {"rank1": _random_moments(records)})


def _random_moments(records: list[dict]) -> tuple[float, float]:
    """rank1 where the six chunks have random scores: the first moment is a single chunk."""
    hits = [
        sum(votes >= 3 and a == b for (a, b), votes in Counter(map(tuple, r["times"])).items())
        for r in records
    ]
    chance = float(np.mean(hits)) / MOMENT_CHUNKS
    return chance, four_sigma(chance, len(records))


def _narration(dataset: Mapping[str, Any]) -> list[str]:
    return [row[3] for rows in _load(dataset["anno_path"]).values() for row in rows]


def plant_htm_align(dataset: Mapping[str, Any], codes: Codes) -> Planting:
    """Every second shows the alignable sentences that are annotated there."""
    features, sentences = {}, []
    for video, rows in sorted(_load(dataset["anno_path"]).items()):
        spans = np.array([row[:3] for row in rows], dtype=float)
        seconds = math.ceil(spans[:, 2].max()) + TAIL_SECONDS
        vectors = codes.vectors(codes.add([row[3] for row in rows]))
        seen = spans[:, 0] == 1
        bounds = [(math.floor(a), math.ceil(b) + 1) for a, b in spans[seen, 1:]]
        features[video] = spread(seconds, bounds, vectors[seen])
        sentences.append(spans)
    touched = []
    for spans, video in zip(sentences, features.values(), strict=True):
        cells = np.zeros((len(spans), len(video)), dtype=bool)
        for start, end, first, last in evaluated_windows(spans, len(video)):
            cells[first:last, start:end] = True
        touched.append(cells)
    limits = reach(touched, sentences)
    chance = {name: (number, 0.05) for name, number in limits.chance.items()}
    return Planting(features, {"Recall": limits.best["Recall"]}, chance)


SECONDS = {
    "coin": Task("test_coin_zs.yaml", _coin_names, plant_coin),
    "crosstask": Task("test_crosstask_zs.yaml", _step_texts, plant_crosstask),
    "didemo": Task("test_didemo_zs.yaml", _descriptions, plant_didemo, width=4096),
    "htm-align": Task("test_how2align_zs.yaml", _narration, plant_htm_align),
}
