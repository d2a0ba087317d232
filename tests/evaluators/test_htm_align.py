"""HTM-Align: the published matrices and numbers, and the protocol's edges."""

import json
import os

import numpy as np
import pytest
import torch
from torch import nn

from mmpt.errors import ConfigError, DataError
from mmpt.evaluators import HTMAlignMetric, HTMAlignPredictor
from mmpt.evaluators.htm_align import cut_windows, load_alignments
from mmpt.evaluators.htm_protocol import (
    UNTOUCHED,
    Window,
    evaluated_windows,
    hits,
    merge_windows,
    reach,
)
from mmpt.models.mmfusion import Encoded
from mmpt.processors.downstream.htm_align import read_annotation


@pytest.fixture(scope="module")
def described(golden_dir):
    return json.loads((golden_dir / "models_data/htm_align.json").read_text())


def numbers(rows):
    """[[aligned, start, end, text]] -> float64 [n, 3]."""
    return np.array([row[:3] for row in rows], dtype=np.float64)


def stand_in(base, start):
    """The similarity that the stored matrices were made with, for the window at `start`."""
    texts, seconds = np.indices(base.shape)
    ripple = 0.05 * np.cos(0.9 * (seconds - start)) + 0.1 * np.sin(0.7 * start + 1.3 * texts)
    return (base + ripple)[:, start : start + 32]


def aligned_by_hand(described, golden):
    """Similarity, coverage and sentences of the stored videos, in the stored order."""
    arrays = golden("models_data/htm_align.npz")
    for video in described["order"]:
        sentences, base = numbers(described["anno"][video]), arrays[f"base_sim.{video}"]
        windows = evaluated_windows(sentences, base.shape[1])
        scores = [stand_in(base, window.start) for window in windows]
        yield video, *merge_windows(scores, windows, *base.shape), sentences


# ---- the published numbers --------------------------------------------------------------------


def test_published_matrices(described, golden):
    arrays = golden("models_data/htm_align.npz")
    for video, similarity, coverage, _ in aligned_by_hand(described, golden):
        assert np.array_equal(coverage, arrays[f"overlap.{video}"])
        np.testing.assert_allclose(similarity, arrays[f"sim.{video}"], atol=1e-5, rtol=0)
        best = similarity.max(axis=1)
        np.testing.assert_allclose(best, arrays[f"text_score.{video}"], atol=1e-5, rtol=0)


def test_published_metric_and_every_sentence(described, golden):
    videos = list(aligned_by_hand(described, golden))
    outputs, targets = [v[1] for v in videos], [v[3] for v in videos]
    metrics = HTMAlignMetric().compute_metrics(outputs=outputs, targets=targets)
    assert metrics == pytest.approx(described["metric"], abs=1e-12)
    events = iter(described["recall_events"])
    for video, similarity, _, sentences in videos:
        alignable = sentences[:, 0] == 1
        best = similarity[alignable].argmax(axis=1)
        for hit, second in zip(hits(similarity, sentences), best, strict=True):
            event = next(events)
            assert (event["vid"], event["argmax"], event["hit"]) == (video, second, hit)
    assert next(events, None) is None


# ---- windows ----------------------------------------------------------------------------------


def spoken(*middles, aligned=0):
    return np.array([[aligned, m - 1, m + 1] for m in middles], dtype=np.float64)


def test_windows_reach_back_32_and_ahead_64_seconds():
    sentences = spoken(100)
    touched = [w.start for w in evaluated_windows(sentences, 400)]
    assert touched == list(range(40, 129, 8))  # 100 - 64 = 36 up to 100 + 32 = 132
    touched = [w.start for w in evaluated_windows(spoken(104), 400)]  # both ends count
    assert (touched[0], touched[-1]) == (40, 136)


def test_first_windows_take_the_first_text_and_last_ones_the_last():
    sentences = np.concatenate([spoken(5, aligned=1), spoken(60, 200), spoken(230, aligned=1)])
    windows = {w.start: (w.first, w.last) for w in evaluated_windows(sentences, 260)}
    assert windows[24] == (0, 2) and windows[32] == (1, 2)
    assert windows[208] == (2, 3) and windows[216] == (2, 4)
    assert max(windows) == 232  # starts end 16 seconds before the video does


def test_the_beginning_wins_in_a_short_video():
    sentences = np.concatenate([spoken(3, aligned=1), spoken(20), spoken(40, aligned=1)])
    windows = evaluated_windows(sentences, 45)
    assert [(w.start, w.end, w.first, w.last) for w in windows] == [
        (0, 32, 0, 2),
        (8, 40, 0, 2),
        (16, 45, 0, 2),
        (24, 45, 0, 2),
    ]


@pytest.mark.parametrize(("seconds", "count"), [(1, 0), (16, 0), (17, 1), (24, 1), (25, 2)])
def test_short_videos(seconds, count):
    assert len(evaluated_windows(spoken(1), seconds)) == count


def test_alignable_sentences_never_choose():
    assert evaluated_windows(spoken(10, 20, 30, aligned=1), 100) == []
    moved = np.concatenate([spoken(50), spoken(10, aligned=1)])
    far = np.concatenate([spoken(50), spoken(900, aligned=1)])
    assert evaluated_windows(moved, 200) == evaluated_windows(far, 200)


def test_merging_averages_and_marks_what_no_window_touched():
    windows = [Window(0, 4, 0, 1), Window(2, 6, 0, 2)]
    scores = [np.full((2, 4), 1.0), np.full((2, 5), 0.0)]
    similarity, coverage = merge_windows(scores, windows, 2, 7)
    assert similarity.tolist() == [
        [1, 1, 0.5, 0.5, 0, 0, UNTOUCHED],
        [UNTOUCHED, UNTOUCHED, 0, 0, 0, 0, UNTOUCHED],
    ]
    assert coverage.tolist() == [[1, 1, 2, 2, 1, 1, 0], [0, 0, 1, 1, 1, 1, 0]]


def test_windows_are_cut_and_padded():
    vfeats = torch.arange(1.0, 41)[:, None]
    cut, mask = cut_windows(vfeats, [Window(0, 32, 0, 1), Window(16, 40, 0, 1)], slots=34)
    assert cut.shape == (2, 34, 1) and mask.sum(dim=1).tolist() == [32, 24]
    assert torch.equal(cut[1, :24, 0], vfeats[16:, 0]) and not cut[1, 24:].any()


# ---- metric -----------------------------------------------------------------------------------


def test_ties_go_to_the_first_second_and_both_ends_count():
    sentences = np.array([[1, 2.7, 4.2], [1, 2.7, 4.2], [1, 2.7, 4.2]])
    similarity = np.zeros((3, 8), np.float32)
    similarity[0, 2:4] = 1
    similarity[1, 5] = 1
    similarity[2, [1, 4]] = 1
    assert hits(similarity, sentences).tolist() == [True, True, False]


def test_all_zero_scores_are_half_an_auc():
    sentences = np.array([[1, 0, 2], [0, 3, 4]], dtype=np.float64)
    metrics = HTMAlignMetric().compute_metrics([np.zeros((2, 9), np.float32)], [sentences])
    assert metrics == {"Recall": 1.0, "AUC": 0.5}


@pytest.mark.parametrize(
    ("aligned", "kind"), [(0, "none of the 2 sentences is alignable"), (1, "is not alignable")]
)
def test_sentences_of_one_kind(aligned, kind):
    with pytest.raises(DataError, match=kind):
        HTMAlignMetric().compute_metrics([np.zeros((2, 9))], [spoken(3, 4, aligned=aligned)])


def test_nan_and_wrong_shapes_are_errors():
    targets = [np.array([[1, 0, 2], [0, 3, 4]], dtype=np.float64)]
    broken = np.zeros((2, 9))
    broken[1, 3] = np.nan
    with pytest.raises(DataError, match="HTM-Align, video 0: 1 of 18 scores are NaN"):
        HTMAlignMetric().compute_metrics([broken], targets)
    with pytest.raises(DataError, match=r"similarity \[3, 9\] for sentences \[2, 3\]"):
        HTMAlignMetric().compute_metrics([np.zeros((3, 9))], targets)
    with pytest.raises(DataError, match="0 similarities for 1 videos"):
        HTMAlignMetric().compute_metrics([], targets)


def test_what_can_be_reached_at_best_and_by_chance():
    """Against scorers that are played out, on a video with every kind of row."""
    rng = np.random.default_rng(0)
    sentences = np.array(
        [[1, 0, 3], [0, 10, 12], [1, 30, 34], [1, 80, 90], [0, 95, 96], [1, 0.5, 2], [0, 5, 8]]
    )
    touched = np.zeros((7, 100), dtype=bool)
    touched[:3, :40] = touched[3, 85:90] = touched[4, 10:50] = True
    found = reach([touched], [sentences])

    def play(scores):
        similarity = np.where(touched, scores, UNTOUCHED)
        return HTMAlignMetric().compute_metrics([similarity], [sentences])

    truth = np.zeros(touched.shape)
    for row, (aligned, start, end) in enumerate(sentences):
        truth[row] = aligned
        truth[row, int(start) : int(end) + 1] += aligned
    assert play(truth) == pytest.approx(found.best)
    assert found.best["Recall"] == 1.0  # the untouched row counts: its best second, 0, is right
    runs = [play(rng.random(touched.shape)) for _ in range(300)]
    for name in ("Recall", "AUC"):
        values = [run[name] for run in runs]
        error = 4 * np.std(values) / np.sqrt(len(values))
        assert np.mean(values) == pytest.approx(found.chance[name], abs=error)


# ---- predictor --------------------------------------------------------------------------------


class Planted(nn.Module):
    """What a model encodes, without a model: frames and texts keep their directions.

    Word 4 + k means direction k.  Counts what it is asked to encode.
    """

    def __init__(self):
        super().__init__()
        self.texts = self.windows = 0

    def encode_text(self, caps, cmasks):
        assert not self.training and not torch.is_grad_enabled()
        self.texts += len(caps)
        pooled = nn.functional.one_hot(caps[:, 2] - 4, 64).float() * 7
        return Encoded(pooled, pooled[:, None], cmasks)

    def encode_video(self, vfeats, vmasks):
        assert vfeats.shape[1] == vmasks.shape[1] == 32 and not vfeats[~vmasks].any()
        self.windows += len(vfeats)
        states = nn.functional.pad(vfeats, (0, 0, 1, 1))
        return Encoded(vfeats[:, 0], states, vmasks)


def planted_batch(video_id, sentences, seconds):
    """Sentence k means direction k, which its alignable seconds show."""
    vfeats = torch.zeros(seconds, 64)
    vfeats[:, 63] = 1
    for k, (aligned, start, end) in enumerate(sentences):
        if aligned:
            vfeats[int(start) : int(np.ceil(end)) + 1, k] = 5
    words = torch.arange(len(sentences)) + 4
    caps = torch.stack([torch.full_like(words, 2), torch.full_like(words, 3), words], dim=1)
    return {
        "caps": caps[None],
        "cmasks": torch.ones_like(caps, dtype=torch.bool)[None],
        "vfeats": vfeats[None],
        "sentences": [sentences],
        "texts": [[f"text {k}" for k in range(len(sentences))]],
        "video_id": [video_id],
    }


@pytest.fixture
def two_videos():
    first = np.array([[1, 20, 25], [0, 30, 34], [1, 50, 55], [0, 58, 60]], dtype=np.float64)
    second = np.array([[0, 2, 6], [1, 8, 12], [0, 58, 62]], dtype=np.float64)
    return [planted_batch("vB", first, 70), planted_batch("vA", second, 160)]


def predictor(tmp_path, rows=256, **dataset):
    settings = {"fairseq": {"dataset": {"batch_size": rows}}, "eval": {"save_path": str(tmp_path)}}
    return HTMAlignPredictor({**settings, "dataset": dataset})


def test_every_text_and_every_window_is_encoded_once(tmp_path, two_videos):
    model = Planted()
    outputs = predictor(tmp_path).predict_loop(model, two_videos, None)
    assert outputs["video_ids"] == ["vA", "vB"]
    assert model.texts == 7
    windows = [
        len(evaluated_windows(t, len(o[0])))
        for t, o in zip(outputs["targets"], outputs["outputs"], strict=True)
    ]
    assert model.windows == sum(windows) and windows[0] < len(range(0, 160 - 16, 8))
    assert HTMAlignMetric().compute_metrics(**outputs) == {"Recall": 1.0, "AUC": 1.0}
    assert outputs["outputs"][1].max() == pytest.approx(5 / np.sqrt(26))


def test_rows_at_once_and_order_of_videos_change_nothing(tmp_path, two_videos):
    whole = predictor(tmp_path).predict_loop(Planted(), two_videos, None)
    parts = predictor(tmp_path, rows=2).predict_loop(Planted(), two_videos[::-1], None)
    assert whole["video_ids"] == parts["video_ids"]
    for a, b in zip(whole["outputs"], parts["outputs"], strict=True):
        np.testing.assert_array_equal(a, b)


def test_saved_matrices_come_back_and_replace_older_ones(tmp_path, two_videos):
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "old.npz").write_bytes(b"old")
    outputs = predictor(tmp_path).predict_loop(Planted(), two_videos, "scores")
    assert sorted(os.listdir(tmp_path)) == ["scores"]
    videos = load_alignments(tmp_path / "scores")
    assert list(videos) == ["vA", "vB"]
    for video, similarity, sentences in zip(
        videos.values(), outputs["outputs"], outputs["targets"], strict=True
    ):
        np.testing.assert_array_equal(video.similarity, similarity)
        np.testing.assert_array_equal(video.coverage > 0, similarity > UNTOUCHED)
        np.testing.assert_array_equal(video.sentences, sentences)
    assert videos["vB"].texts == ["text 0", "text 1", "text 2", "text 3"]
    with pytest.raises(DataError, match=r"no VIDEO_ID\.npz"):
        load_alignments(tmp_path)


def test_a_failed_save_leaves_what_was_there(tmp_path, two_videos):
    good = predictor(tmp_path)
    outputs = good.predict_loop(Planted(), two_videos, "scores")
    outputs["texts"] = outputs["texts"][:1]
    with pytest.raises(ValueError, match="shorter"):
        good.save_scores(tmp_path / "scores", outputs)
    assert os.listdir(tmp_path) == ["scores"] and len(load_alignments(tmp_path / "scores")) == 2


def test_what_cannot_be_predicted(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset\.max_video_len: got 16; .* windows of 32"):
        predictor(tmp_path, max_video_len=16)
    with pytest.raises(ConfigError, match="Linear does not encode video and text apart"):
        predictor(tmp_path).predict_loop(nn.Linear(2, 2), [], None)
    with pytest.raises(DataError, match="the test set is empty"):
        predictor(tmp_path).predict_loop(Planted(), [], None)


# ---- full scale -------------------------------------------------------------------------------


@pytest.mark.slow
def test_planted_features_reach_the_bound_at_full_scale(tmp_path, published_annotations):
    """The stand-in annotation of real size; the bound is computed here, second by second."""
    path = published_annotations("how2-align/htm_align.synthetic.json")
    annotation = {v: numbers(rows) for v, rows in read_annotation(str(path)).items()}
    batches, found, total = [], 0, 0
    for video, sentences in annotation.items():
        seconds = int(np.ceil(sentences[:, 2].max())) + 5
        batches.append(planted_batch(video, sentences, seconds))
        reachable, alignable = by_hand(sentences, seconds)
        found, total = found + reachable, total + alignable
    assert (len(annotation), total) == (80, 619)
    outputs = predictor(tmp_path).predict_loop(Planted(), batches, None)
    metrics = HTMAlignMetric().compute_metrics(**outputs)
    touched = [similarity > UNTOUCHED for similarity in outputs["outputs"]]
    limits = reach(touched, outputs["targets"])
    assert limits.best["Recall"] == pytest.approx(found / total, abs=1e-12)
    assert found / total == pytest.approx(0.607, abs=5e-4)
    assert metrics["Recall"] == pytest.approx(found / total, abs=1e-12)
    # below the bound: a sentence touched at wrong seconds only looks like one that is not alignable
    assert limits.best["AUC"] - 0.03 < metrics["AUC"] < limits.best["AUC"]


def by_hand(sentences, seconds):
    """Alignable sentences of which some window shows a right second, and how many there are."""
    starts = list(range(0, seconds - 16, 8))
    found = 0
    alignable = [k for k, row in enumerate(sentences) if row[0]]
    for k in alignable:
        seen = set()
        for index, start in enumerate(starts):
            others = [
                j
                for j, (aligned, begin, end) in enumerate(sentences)
                if not aligned and start - 32 <= (begin + end) / 2 <= start + 64
            ]
            if not others:
                continue
            low = 0 if index <= 3 else others[0]
            high = others[-1]
            if index >= len(starts) - 4 and index > 3:
                high = len(sentences) - 1
            if low <= k <= high:
                seen |= set(range(start, min(start + 32, seconds)))
        right = range(int(np.floor(sentences[k][1])), int(np.ceil(sentences[k][2])) + 1)
        found += bool(seen & set(right)) or (not seen and 0 in right)
    return found, len(alignable)
