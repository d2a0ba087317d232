"""A folder of results as `mmpt predict` leaves them, small and with known numbers."""

import json

import numpy as np
import pytest

from mmpt.evaluators.fullvideo import FullVideoRetrievalMetric
from mmpt.evaluators.htm_align import HTMAlignMetric, HTMAlignPredictor
from mmpt.evaluators.retrieval import RetrievalMetric, save_named_scores

NASTY = '<script>alert("1 & 2")</script> $x_1$ \x07'
TEXTS = [NASTY, "cut the onions", "stir", "stir"]


def retrieval_outputs():
    scores = np.array([[5, 1, 0, 0], [9, 2, 1, 0], [0, 1, 4, 3], [0, 1, 4, 3]], dtype=np.float32)
    return {"outputs": scores, "texts": TEXTS, "video_ids": ["v0", "v1", "v2", "v3"]}


def paragraph_outputs():
    scores = np.random.default_rng(1).normal(size=(7, 7)).astype(np.float32) + 2 * np.eye(7)
    ids = ["one", "one", "one", "two", "two", "three", "three"]
    texts = [f"step {n} {NASTY}" for n in range(7)]
    return {"outputs": scores.astype(np.float32), "texts": texts, "video_ids": ids}


def alignment_outputs():
    """Two videos of 40 s; of the first both alignable sentences are found, of the other none."""
    sentences = np.array([[1, 4, 8], [0, 10, 12], [1, 20, 24]], dtype=np.float64)
    outputs = []
    for seconds in ([5, 11, 22], [30, 11, 2]):
        similarity = np.zeros((3, 40), np.float32)
        similarity[range(3), seconds] = [0.9, 0.1, 0.8]
        outputs.append(similarity)
    return {
        "outputs": outputs,
        "coverage": [np.ones((3, 40), np.int16)] * 2,
        "targets": [sentences] * 2,
        "texts": [["cut it", NASTY, "stir"]] * 2,
        "video_ids": ["-found", "lost"],
    }


KINDS = {
    "RetrievalMetric": (RetrievalMetric, retrieval_outputs, ".npy"),
    "FullVideoRetrievalMetric": (FullVideoRetrievalMetric, paragraph_outputs, ".npy"),
    "HTMAlignMetric": (HTMAlignMetric, alignment_outputs, ""),
}


def write_results(folder, stem, metric, **changes):
    """Scores and results file of one checkpoint; returns the results file."""
    kind, make, suffix = KINDS[metric]
    outputs = make()
    found = kind().measure(**outputs)
    name = f"scores_{stem}_checkpoint_best{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    if suffix:
        save_named_scores(folder / name, outputs)
    else:
        HTMAlignPredictor.save_scores(None, folder / name, outputs)
    entry = {
        "checkpoint": str(folder / "checkpoint_best.pt"),
        "sha256": "a" * 64,
        "metrics": found.metrics,
        "intervals": {name: list(ends) for name, ends in found.intervals.items()},
        "scores": name,
        "items": len(outputs["video_ids"]),
    }
    content = {
        "job": f"projects/retri/demo/{stem}.yaml",
        "config": {"metric": metric, "dataset": {"test_path": f"data/{stem}.csv", "split": "test"}},
        "versions": {"torch": "2"},
        "results": [entry],
        "failed": [],
        "best": 0,
        "selected_on_test": False,
    }
    path = folder / f"results_{stem}.json"
    path.write_text(json.dumps(content | changes))
    return path


def write_events(folder, name, **curves):
    """A TensorBoard event file; `curves` are name -> {update: value}."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder / name)) as writer:
        for tag, points in curves.items():
            for update, value in points.items():
                writer.add_scalar(tag, value, update)


@pytest.fixture
def results(tmp_path):
    """All three kinds in one run folder, with the run's curves."""
    return write_run(tmp_path / "runs/one")


def write_run(folder):
    for job, metric in (
        ("test_vtt", "RetrievalMetric"),
        ("test_full", "FullVideoRetrievalMetric"),
        ("test_align", "HTMAlignMetric"),
    ):
        write_results(folder, job, metric)
    write_events(folder / "run_0", "train_inner", loss={5: 3.0, 10: 2.0}, bucket_mass={5: 0.25})
    write_events(folder / "run_0", "valid", loss={10: 2.5})
    return folder
