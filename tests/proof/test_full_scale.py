"""The planted evaluations on real annotations, where they are; slow."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mmpt.evaluators.video_paragraph import (
    clips_of_videos,
    exact_alignments,
    published_alignments,
)
from mmpt.ops.alignment.reference import exact_dtw, exact_otam, published_dtw, published_otam
from mmpt.proof import TASKS
from mmpt_cli.prove import prove

pytestmark = pytest.mark.slow
NOISE = (16.0, 64.0)
ITEMS = {
    "msrvtt": 1000,
    "msrvtt-qa": 2990,
    "youcook": 3350,
    "youcook-full": 3350,
    "youcook-background": 436,
    "coin": 2797,
    "crosstask": 1850,
    "didemo": 4021,
    "htm-align": 80,
}


@pytest.fixture
def annotations(published_annotations) -> Path:
    return published_annotations()


@pytest.mark.parametrize("name", TASKS)
def test_without_noise_it_is_the_best_that_the_protocol_allows(name, annotations):
    proof = prove(TASKS[name], annotations)
    assert proof.items == ITEMS[name]
    assert proof.expected and proof.failures() == [], proof


@pytest.mark.parametrize("name", TASKS)
def test_with_rising_noise_every_number_falls_within_its_interval(name, annotations):
    runs = [prove(TASKS[name], annotations, noise) for noise in (0.0, *NOISE)]
    for better, worse in pairwise(runs):
        for metric, (low, _) in worse.intervals.items():
            if not metric.endswith("MR"):  # a rank: rises
                assert low <= better.intervals[metric][1], (metric, better, worse)
    first = next(iter(runs[0].metrics))
    assert runs[-1].metrics[first] < runs[0].metrics[first]


@pytest.mark.parametrize("name", TASKS)
def test_exchanged_videos_give_chance(name, annotations):
    proof = prove(TASKS[name], annotations, exchanged=True)
    assert proof.expected and proof.failures() == [], proof


def test_full_size_alignment_is_that_of_each_pair(annotations):
    """A sample of the 190,096 pairs of YouCook2, one pair at a time."""
    random = np.random.default_rng(0)
    database = json.loads(
        (annotations / "youcook/youcookii_annotations_trainval.json").read_text()
    )["database"].values()
    captions = [len(v["annotations"]) for v in database if v["subset"] == "validation"]
    ids = np.repeat(np.arange(len(captions)), captions)
    scores = random.normal(size=(len(ids), len(ids))).astype(np.float32)
    videos = clips_of_videos(scores, [f"{number:05d}" for number in ids])
    published = published_alignments(videos, background=False)
    exact = exact_alignments(videos, background=False)
    starts, most = videos.captions.cumsum() - videos.captions, int(videos.captions.max())
    low, span = scores.min(), scores.max() - scores.min()
    for i, j in random.integers(len(captions), size=(300, 2)):
        n, k = videos.captions[i], videos.captions[j]
        block = scores[starts[i] : starts[i] + n, starts[j] : starts[j] + k]
        cost = -block * np.float32(most**2 / (n * k))
        assert -published["DTW"][i, j] == pytest.approx(published_dtw(cost, (most, most)), rel=1e-5)
        otam = published_otam(cost, (most, most))
        assert -published["OTAM"][i, j] == pytest.approx(otam, rel=1e-5, abs=1e-4)
        cost = 1 - (block - low) / span
        assert -exact["DTW-exact"][i, j] == pytest.approx(exact_dtw(cost), rel=1e-5)
        assert -exact["OTAM-exact"][i, j] == pytest.approx(exact_otam(cost), rel=1e-5)
