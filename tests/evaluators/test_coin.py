"""COIN: the published labels with and without training, the metric, and what is refused."""

import logging
import types

import numpy as np
import pytest
import torch

from mmpt.errors import ConfigError, DataError
from mmpt.evaluators import COINActionSegmentationMetric, COINPredictor, COINZSPredictor
from mmpt.evaluators.base import NonFiniteScores
from mmpt.evaluators.coin import decide_steps, encode_labels

from .published import described, job, small_model, windows_of

SEGMENTATION_SEED = 810
VIDEOS = ("coinvid0", "coinvid1", "coinvid2", "coinvid3")


@pytest.fixture(scope="module")
def stored(golden):
    return golden("models_data/predictors.npz")


class Loader(list):
    """Batches, and the data set that they come from."""

    def __init__(self, batches, stored):
        super().__init__(batches)
        labels = {
            "caps": torch.from_numpy(stored["coin_zs.label_caps"]),
            "cmasks": torch.from_numpy(stored["coin_zs.label_cmasks"]),
        }
        meta = types.SimpleNamespace(meta_text_labels=lambda config: labels)
        self.dataset = types.SimpleNamespace(meta_processor=meta)


def batches_of(stored, step):
    """One batch a video; the targets are the stored ones."""
    lengths = [len(stored[f"coin.feat.{video}"]) for video in VIDEOS]
    targets = np.split(stored[f"coin_zs{step}.targets"], np.cumsum(lengths)[:-1])
    batches = []
    for video, truth in zip(VIDEOS, targets, strict=True):
        vfeats, vmasks = windows_of(stored[f"coin.feat.{video}"], step)
        batches.append(
            {
                "caps": torch.tensor([2, 3, 0, 3]).expand(1, len(vfeats), -1),
                "cmasks": torch.tensor([False, True, False, True]).expand(1, len(vfeats), -1),
                "vfeats": vfeats[None],
                "vmasks": vmasks[None],
                "video_id": [video],
                "video_len": torch.tensor([len(truth)]),
                "video_targets": torch.from_numpy(truth)[None],
            }
        )
    return Loader(batches, stored)


@pytest.fixture(scope="module")
def separate(tinybert, golden_dir):
    return small_model(tinybert, "MMFusionSeparate", golden_dir=golden_dir)


@pytest.fixture(scope="module")
def trained(tinybert):
    return small_model(tinybert, "MMFusionSeparateActionSegmentation", SEGMENTATION_SEED)


# ---- the published numbers --------------------------------------------------------------------


@pytest.mark.parametrize("step", [8, 16])
def test_published_labels_of_a_trained_model(step, trained, stored, tinybert, golden_dir):
    predictor = COINPredictor(job(tinybert, sliding_window=step))
    batches = batches_of(stored, step)
    with torch.inference_mode():
        merged = predictor.second_scores(trained, batches[0])
    np.testing.assert_allclose(merged, stored[f"coin_ft{step}.merged0"], atol=1e-4)
    found = predictor.predict_loop(trained, batches, None)
    assert np.array_equal(found["outputs"], stored[f"coin_ft{step}.outputs"])
    assert np.array_equal(found["targets"], stored[f"coin_ft{step}.targets"])
    assert found["video_ids"] == list(VIDEOS) and found["video_lengths"] == [5, 32, 33, 70]
    metrics = COINActionSegmentationMetric().compute_metrics(**found)
    assert metrics["frame_acc"] == described(golden_dir)[f"coin_ft{step}"]["frame_acc"]


@pytest.mark.parametrize("step", [8, 16])
def test_published_labels_without_training(step, separate, stored, tinybert, golden_dir):
    predictor = COINZSPredictor(job(tinybert, sliding_window=step))
    batches = batches_of(stored, step)
    found = predictor.predict_loop(separate, batches, None)
    wanted = described(golden_dir)[f"coin_zs{step}"]
    assert predictor.labels.threshold == pytest.approx(wanted["threshold"], rel=1e-6)
    vectors = stored["coin_zs.label_hidden"]
    np.testing.assert_allclose(predictor.labels.vectors, vectors, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        for number, batch in enumerate(batches):
            windows = predictor.window_scores(separate, batch)
            shown = batch["vmasks"][0]
            kept = torch.from_numpy(stored[f"coin_zs{step}.window_logits{number}"])
            torch.testing.assert_close(windows[shown], kept[shown], rtol=1e-5, atol=1e-4)
            merged = predictor.second_scores(separate, batch).numpy()
            wanted_scores = stored[f"coin_zs{step}.merged{number}"]
            np.testing.assert_allclose(merged, wanted_scores, rtol=1e-5, atol=1e-4)
    assert np.array_equal(found["outputs"], stored[f"coin_zs{step}.outputs"])
    metrics = COINActionSegmentationMetric().compute_metrics(**found)
    assert metrics["frame_acc"] == pytest.approx(wanted["frame_acc"], abs=1e-12)


@pytest.mark.parametrize("case", ["merge0", "merge1"])
def test_published_decisions(case, stored):
    merged = torch.from_numpy(stored[f"{case}.merged"])
    found = decide_steps(merged, 0.9)
    assert np.array_equal(found, stored[f"{case}.zs_pred_threshold0.9"])


def test_published_frame_accuracy(golden):
    kept = golden("losses_metrics/metric_coin.npz")
    found = COINActionSegmentationMetric().compute_metrics(
        outputs=kept["in_outputs"].tolist(), targets=kept["in_targets"].tolist()
    )
    assert found["frame_acc"] == pytest.approx(kept["out_frame_acc"].item(), abs=1e-12)


# ---- predictor --------------------------------------------------------------------------------


def test_only_what_exceeds_the_threshold_is_a_step():
    scores = torch.tensor([[1.0, 2.0], [2.5, 1.0], [0.0, -1.0]])
    assert decide_steps(scores, 2.0).tolist() == [0, 1, 0]


def test_background_and_threshold_are_logged(separate, stored, tinybert, caplog):
    predictor = COINZSPredictor(job(tinybert, sliding_window=16))
    found = predictor.predict_loop(separate, batches_of(stored, 16), None)
    share = 100 * (found["outputs"] == 0).mean()
    assert "one of 5 steps exceeds 24.7631" in caplog.text
    assert f"{share:.1f} % of 140 seconds of 4 videos are predicted as background" in caplog.text


def test_saved_labels_come_back(trained, stored, tinybert, tmp_path):
    config = {**job(tinybert, sliding_window=8), "eval": {"save_path": str(tmp_path)}}
    found = COINPredictor(config).predict_loop(trained, batches_of(stored, 8), "labels")
    with np.load(tmp_path / "labels.npz", allow_pickle=False) as saved:
        assert sorted(saved) == ["outputs", "targets", "video_ids", "video_lengths"]
        assert all(np.array_equal(saved[name], found[name]) for name in saved)


def test_what_cannot_be_predicted(separate, trained, stored, tinybert):
    with pytest.raises(ConfigError, match=r"dataset\.sliding_window is not set; COIN needs it"):
        COINPredictor(job(tinybert))
    with pytest.raises(ConfigError, match=r"dataset\.sliding_window: got 0, at least 1"):
        COINPredictor(job(tinybert, sliding_window=0))
    config = job(tinybert, sliding_window=8)
    batches = batches_of(stored, 8)
    with pytest.raises(DataError, match="COIN: the test set is empty"):
        COINPredictor(config).predict_loop(trained, [], None)
    with pytest.raises(DataError, match="NoneType has no names of steps"):
        COINZSPredictor(config).predict_loop(separate, list(batches), None)
    with pytest.raises(DataError, match=r"a batch of 2 videos; .*batch_size: 1"):
        COINPredictor(config).predict_loop(trained, [{"video_id": ["a", "b"]}], None)
    with pytest.raises(DataError, match="1 names of steps; the threshold needs at least 2"):
        encode_labels(separate, torch.zeros(1, 4), torch.zeros(1, 4))
    batches[1]["vfeats"][0, 0, 3] = torch.nan
    with pytest.raises(NonFiniteScores, match=r"COIN: videos: .* for 1 of 4: coinvid1"):
        COINPredictor(config).predict_loop(trained, batches, None)


# ---- metric -----------------------------------------------------------------------------------


def test_accuracies_by_hand(caplog):
    targets = [0, 0, 0, 0, 0, 0, 2, 2, 2, 7]
    outputs = [0, 0, 0, 0, 0, 7, 2, 0, 2, 5]
    found = COINActionSegmentationMetric().compute_metrics(outputs=outputs, targets=targets)
    assert found == pytest.approx(
        {"frame_acc": 0.7, "foreground_acc": 2 / 4, "class_acc": (5 / 6 + 2 / 3 + 0) / 3}
    )
    assert "3 labels among the targets; background alone would be right in 0.6000" in caplog.text
    background = COINActionSegmentationMetric().compute_metrics(outputs=[0] * 10, targets=targets)
    assert background == pytest.approx({"frame_acc": 0.6, "foreground_acc": 0, "class_acc": 1 / 3})


def test_intervals_are_over_videos():
    answers = {"outputs": [1, 1, 1, 1, 0, 0], "targets": [1, 1, 1, 1, 1, 0]}
    metric = COINActionSegmentationMetric()
    assert metric.measure(**answers).intervals == {}
    found = metric.measure(**answers, video_lengths=[4, 2], video_ids=["a", "b"])
    assert found.metrics["frame_acc"] == 5 / 6
    assert found.intervals["frame_acc"] == (0.5, 1.0)
    assert found.intervals["foreground_acc"] == (0.0, 1.0)
    one = metric.measure(**answers, video_lengths=[4, 2], video_ids=["a", "a"])
    assert one.metrics == pytest.approx(found.metrics) and one.intervals == {}


def test_targets_of_background_alone(caplog):
    found = COINActionSegmentationMetric().compute_metrics(outputs=[0, 1], targets=[0, 0])
    assert found == {"frame_acc": 0.5, "class_acc": 0.5}
    assert [r.levelno for r in caplog.records if "left out" in r.message] == [logging.WARNING]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": [0, 1]}, r"predictions \[3\] for targets \[2\]"),
        ({"video_lengths": [1, 1]}, "videos of 2 seconds together for 3 targets"),
        ({"video_lengths": [1, 2], "video_ids": ["a"]}, "1 video ids for 2 video lengths"),
    ],
)
def test_what_does_not_fit(change, message):
    given = {"outputs": [0, 1, 2], "targets": [0, 1, 2], **change}
    with pytest.raises(DataError, match=f"COIN: {message}"):
        COINActionSegmentationMetric().compute_metrics(**given)
