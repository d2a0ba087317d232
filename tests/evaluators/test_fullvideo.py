"""Video-paragraph retrieval: stored numbers, and what must not change them."""

import numpy as np
import pytest

from mmpt.errors import DataError
from mmpt.evaluators.fullvideo import FullVideoBGRetrievalMetric, FullVideoRetrievalMetric
from mmpt.evaluators.video_paragraph import (
    caption_average,
    clips_of_videos,
    exact_alignments,
    published_alignments,
    windows_of_videos,
)

CLIPS = ("equal", "mid", "neg", "pos", "single", "strong", "weak")
WINDOWS = ("mid", "pos", "short", "vshort", "weak")
CASES = [f"fullvideo_{name}" for name in CLIPS] + [f"fullvideobg_{name}" for name in WINDOWS]


def given(stored, dtype):
    """The arguments of the metric."""
    outputs = stored["in_scores"].astype(dtype)
    lengths = {
        name: stored[f"in_{name}"]
        for name in ("video_lengths", "text_lengths")
        if f"in_{name}" in stored
    }
    return {"outputs": outputs, "video_ids": stored["in_video_ids"].tolist(), **lengths}


def arranged(outputs, video_ids, **lengths):
    if lengths:
        return windows_of_videos(outputs, video_ids, **lengths)
    return clips_of_videos(outputs, video_ids)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_distances_equal_the_stored_ones(golden, case, dtype):
    stored = golden(f"losses_metrics/metric_{case}.npz")
    videos = arranged(**given(stored, dtype))
    background = "bg" in case
    found = {
        "caption_avg": caption_average(videos),
        "dtw_dist": -published_alignments(videos, background)["DTW"],
        "otam_dist": -published_alignments(videos, background)["OTAM"],
    }
    # theirs are in an order of their own
    place = [videos.ids.index(name) for name in stored["out_order_video_ids"]]
    for name, matrix in found.items():
        assert matrix.dtype == dtype
        expected = stored[f"out64_{name}"]
        tolerance = (1e-9 if dtype is np.float64 else 1e-5) * np.abs(expected).max()
        np.testing.assert_allclose(matrix[np.ix_(place, place)], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("prefix", "dtype"), [("out64", np.float64), ("out", np.float32)])
def test_recalls_equal_the_stored_ones(golden, case, prefix, dtype):
    stored = golden(f"losses_metrics/metric_{case}.npz")
    metric = (FullVideoBGRetrievalMetric if "bg" in case else FullVideoRetrievalMetric)()
    found = metric.compute_metrics(**given(stored, dtype))
    assert list(found) == list(metric.metric_names)
    published = ("caption_avg", ""), ("dtw", "DTW-"), ("otam", "OTAM-")
    for name, protocol in published:
        best, worst = (stored[f"out_rank_{end}_{name}"] for end in ("best", "worst"))
        for depth in (1, 5, 10):
            key = f"{protocol}R{depth}"
            if np.array_equal(best, worst):
                assert found[key] == pytest.approx(float(stored[f"{prefix}_{key}"]), abs=1e-12)
            assert (worst < depth).mean() <= found[key] <= (best < depth).mean()


def test_the_order_of_videos_and_clips_far_apart_change_nothing(golden):
    stored = golden("losses_metrics/metric_fullvideo_mid.npz")
    scores, ids = stored["in_scores"].astype(np.float64), stored["in_video_ids"]
    expected = FullVideoRetrievalMetric().compute_metrics(outputs=scores, video_ids=ids)
    order = np.random.default_rng(0).permutation(len(ids))
    for video in set(ids):  # the clips of a video stay in their order
        own = ids[order] == video
        order[own] = np.sort(order[own])
    assert (ids[order][1:] != ids[order][:-1]).sum() > 2 * len(set(ids))
    found = FullVideoRetrievalMetric().compute_metrics(
        outputs=scores[np.ix_(order, order)], video_ids=ids[order]
    )
    assert found == expected


def test_an_id_inside_another_is_another_video():
    scores = np.eye(6)
    found = FullVideoRetrievalMetric().compute_metrics(
        outputs=scores, video_ids=["v1", "v1", "v11", "v11", "11", "11"]
    )
    assert found["R1"] == found["DTW-exact-R1"] == found["OTAM-exact-R1"] == found["OT-R1"] == 1


def test_the_order_of_captions_counts_for_exact_alignment_alone():
    """Two videos of the same clips in opposite order."""
    one = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.1], [0.0, 0.1, 0.9]])
    scores = np.block([[one, one[:, ::-1]], [one[::-1], one]])
    scores[3:, 3:] = one[::-1][:, ::-1]
    videos = clips_of_videos(scores, ["a"] * 3 + ["b"] * 3)
    average = caption_average(videos)
    assert np.allclose(average, average[0, 0])
    for matrix in list(exact_alignments(videos, False).values())[:2]:
        assert (matrix.argmax(axis=1) == [0, 1]).all() and matrix[0, 0] > matrix[0, 1] + 0.1


def test_all_scores_equal_is_no_crash():
    for value in (0.0, 2.5):
        found = FullVideoRetrievalMetric().compute_metrics(
            outputs=np.full((5, 5), value), video_ids=list("aabbb")
        )
        assert all(0 <= number <= 1 for number in found.values())


def test_a_video_that_published_otam_cuts_off_is_last():
    """Five captions in a table of one row and four columns: nothing is left of one direction."""
    scores = np.array([[0.9, 0.1], [0.1, 0.2], [0.1, 0.3], [0.2, 0.5], [0.1, 0.9]], np.float32)
    lists = {"video_lengths": [1, 1], "text_lengths": [1, 4]}
    videos = windows_of_videos(scores, ["a", "b"], **lists)
    assert np.isinf(published_alignments(videos, True)["OTAM"]).any()
    found = FullVideoBGRetrievalMetric().compute_metrics(
        outputs=scores, video_ids=["a", "b"], **lists
    )
    assert found["R1"] == found["DTW-exact-R1"] == 1.0


def test_whole_numbers_are_scores():
    found = FullVideoRetrievalMetric().compute_metrics(np.eye(2, dtype=int), ["a", "b"])
    assert found["R1"] == found["OT-R1"] == 1.0


def test_recalls_come_with_intervals_over_videos(golden):
    stored = golden("losses_metrics/metric_fullvideobg_mid.npz")
    measured = FullVideoBGRetrievalMetric().measure(**given(stored, np.float64))
    low, high = measured.intervals["R1"]
    assert low < measured.metrics["R1"] < high


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"video_lengths": [2]}, "lists of different lengths"),
        ({"video_ids": ["a", "b", "a"]}, "lists of different lengths"),
        ({"video_lengths": [2, 2]}, r"scores \[3, 5\] for 3 captions and 4 windows"),
        ({"text_lengths": [3, 0]}, "1 videos have no window or no caption: b"),
        ({"outputs": np.full((3, 5), np.nan)}, "15 of 15 scores are NaN"),
        ({"video_ids": []}, "lists of different lengths or empty"),
    ],
)
def test_what_does_not_fit_is_said(changed, message):
    fitting = {
        "outputs": np.zeros((3, 5)),
        "video_ids": ["a", "b"],
        "video_lengths": [2, 3],
        "text_lengths": [2, 1],
    }
    FullVideoBGRetrievalMetric().compute_metrics(**fitting)
    with pytest.raises(DataError, match=message):
        FullVideoBGRetrievalMetric().compute_metrics(**fitting | changed)


def test_a_video_twice_is_said():
    lists = {"video_lengths": [1, 1, 1], "text_lengths": [1, 1, 1]}
    with pytest.raises(DataError, match="listed twice: a"):
        FullVideoBGRetrievalMetric().compute_metrics(
            outputs=np.zeros((3, 3)), video_ids=["a", "b", "a"], **lists
        )
    with pytest.raises(DataError, match=r"scores \[2, 3\] for 3 clips"):
        FullVideoRetrievalMetric().compute_metrics(outputs=np.zeros((2, 3)), video_ids=list("abc"))
