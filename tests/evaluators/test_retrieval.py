"""RetrievalMetric against the published numbers; RetrievalPredictor on a model it can check."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from mmpt.errors import ConfigError, DataError
from mmpt.evaluators import Evaluator, RetrievalMetric, RetrievalPredictor
from mmpt.evaluators.base import NonFiniteScores, check_encoded
from mmpt.evaluators.retrieval import column_ranks, retrieval_ranks

from .published import collated, described, job, small_model, text_of, video_of

CASES = ("0", "1", "2", "allequal", "f32", "rect", "ties_large", "ties_small")


@pytest.mark.parametrize("case", CASES)
def test_published_ranks(golden, case):
    stored = golden(f"losses_metrics/metric_retrieval_{case}.npz")
    ranks = retrieval_ranks(stored["in_scores"])
    assert (ranks >= stored["out_rank_best"]).all() and (ranks <= stored["out_rank_worst"]).all()
    if case == "ties_large":  # the published order of ties depends on numpy's unstable sort there
        return
    assert np.array_equal(ranks, stored["out_rank"])
    metrics = RetrievalMetric().compute_metrics(outputs=stored["in_scores"])
    for name in ("R1", "R5", "R10", "MR"):
        assert metrics[name] == stored[f"out_{name}"].item()


@pytest.mark.parametrize("rows", [1, 7, 128, 255])
@pytest.mark.parametrize("items", [1, 50, 300])
def test_columns_are_ranked_as_rows_are(rows, items, monkeypatch):
    monkeypatch.setattr("mmpt.evaluators.retrieval.ROWS_AT_ONCE", rows)
    for levels in (2, 5, 10**6):
        scores = np.random.default_rng(levels).integers(0, levels, (items, items))
        scores = scores.astype(np.float32)
        assert np.array_equal(column_ranks(scores), retrieval_ranks(scores.T))
    largest = np.ones((items, items)) - np.eye(items)  # every other row is better
    assert (column_ranks(largest) == items - 1).all()


@pytest.mark.parametrize("case", ["0", "ties_small"])
def test_video_to_text_is_text_to_video_turned_around(case, golden):
    scores = golden(f"losses_metrics/metric_retrieval_{case}.npz")["in_scores"]
    there = RetrievalMetric().compute_metrics(outputs=scores)
    back = RetrievalMetric().compute_metrics(outputs=scores.T)
    assert list(there) == list(RetrievalMetric.metric_names)
    for name in ("R1", "R5", "R10", "MR"):
        assert (there[f"V2T-{name}"], there[name]) == (back[name], back[f"V2T-{name}"])


def test_more_videos_than_texts_go_one_way():
    found = RetrievalMetric().compute_metrics(outputs=np.eye(3, 5))
    assert found == {"R1": 1.0, "R5": 1.0, "R10": 1.0, "MR": 1.0}


def test_clips_of_one_video_are_drawn_together():
    scores = np.eye(4)
    scores[2:, :2] = 2  # both clips of the second video are missed
    found = RetrievalMetric().measure(outputs=scores, video_ids=["a", "a", "b", "b"])
    assert found.metrics["R1"] == 0.5 and found.metrics["MR"] == 2.0
    assert found.intervals["R1"] == (0.0, 1.0) and found.intervals["MR"] == (1.0, 3.0)
    with pytest.raises(DataError, match="retrieval: 3 video ids for 4 items"):
        RetrievalMetric().measure(outputs=scores, video_ids=["a", "a", "b"])


@pytest.mark.parametrize("shape", [(4,), (0, 0), (5, 4)])
def test_wrong_shapes(shape):
    with pytest.raises(DataError, match="retrieval: scores are"):
        retrieval_ranks(np.zeros(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_an_error_not_a_perfect_score(bad):
    scores = np.eye(3)
    scores[1, 1] = bad
    with pytest.raises(DataError, match="1 of 9 scores are NaN or infinite"):
        RetrievalMetric().compute_metrics(outputs=scores)


@pytest.mark.filterwarnings("error")
def test_large_scores_are_finite():
    assert RetrievalMetric().compute_metrics(outputs=3e38 * np.eye(3, dtype=np.float32))["R1"] == 1


def test_save_and_print(tmp_path, capsys):
    metric = RetrievalMetric()
    metrics = metric.compute_metrics(outputs=np.eye(4))
    metric.save_metrics(tmp_path / "m.json", metrics)
    assert json.loads((tmp_path / "m.json").read_text()) == metrics
    assert metric.print_computed_metrics(metrics) in capsys.readouterr().out
    assert metric.best_metric(metrics) == 1.0


class Planted(nn.Module):
    """Pools the features that it is given, in the model's form; it has no parameters."""

    def forward(self, caps, vfeats, **ignored):
        assert not self.training and not torch.is_grad_enabled()
        text = nn.functional.one_hot(caps[:, 2], 8).float()
        return {"pooled_video": vfeats[:, 0], "pooled_text": text}


def test_predictor(tinybert, tmp_path):
    config = {
        "dataset": {"bert_name": str(tinybert)},
        "eval": {"save_path": str(tmp_path)},
        "predictor": "RetrievalPredictor",
        "metric": "RetrievalMetric",
    }
    evaluator = Evaluator(config)
    samples = [
        {
            "caps": torch.tensor([[2, 3, word, 3]]),
            "vfeats": nn.functional.one_hot(torch.tensor([[word]]), 8).float(),
            "video_id": [f"video{word}"],
        }
        for word in (4, 5, 6)
    ]
    model = Planted().train()
    outputs = evaluator.predictor.predict_loop(model, samples, "scores")
    assert np.array_equal(outputs["outputs"], np.eye(3, dtype=np.float32))
    assert outputs["video_ids"] == ["video4", "video5", "video6"] and len(outputs["texts"]) == 3
    assert np.array_equal(np.load(tmp_path / "scores.npy"), outputs["outputs"])
    assert evaluator.evaluate(model, samples, None)["R1"] == 1.0


def test_published_scores_of_clips(tinybert, golden, golden_dir):
    """YouCook: a clip is known by (video, start, end), and drawn with its video."""
    config, arrays = job(tinybert), golden("models_data/predictors.npz")
    stored = described(golden_dir)
    items = []
    for (video, start, end), text in stored["yc_meta_use_annotation_True"]:
        caps, cmasks = text_of(config, text)
        vfeats, vmasks = video_of(config, arrays[f"yc.feat.{video}"][start:end])
        item = {"caps": caps, "cmasks": cmasks, "vfeats": vfeats, "vmasks": vmasks}
        items.append({**item, "video_id": (video, start, end)})
    model = small_model(tinybert, "MMFusionSeparate", golden_dir=golden_dir)
    batches = [collated(items[:4]), collated(items[4:])]
    found = RetrievalPredictor(config).predict_loop(model, batches, None)
    np.testing.assert_allclose(found["outputs"], arrays["yc.outputs"], rtol=1e-5, atol=1e-4)
    assert found["texts"] == stored["yc"]["texts"]
    assert found["video_ids"] == stored["yc"]["video_ids"]
    measured = RetrievalMetric().compute_metrics(**found)
    assert {name: measured[name] for name in stored["yc"]["metrics"]} == stored["yc"]["metrics"]


def test_unknown_names(tinybert):
    config = {"dataset": {"bert_name": str(tinybert)}, "predictor": "RetrievalPredicter"}
    with pytest.raises(ConfigError, match="did you mean RetrievalPredictor"):
        Evaluator(config)


def test_a_job_without_a_metric_only_predicts(tinybert):
    config = {"dataset": {"bert_name": str(tinybert)}, "predictor": "RetrievalPredictor"}
    evaluator = Evaluator(config)
    assert evaluator.metric is None
    with pytest.raises(ConfigError, match=r"metric is not set; known names: .*RetrievalMetric"):
        evaluator.evaluate(Planted(), [])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("pooled_video", "retrieval: videos: the model gives NaN or inf for 1 of 2: v1; look"),
        ("pooled_text", "retrieval: texts: the model gives NaN or inf for 1 of 2: 'a'; look"),
    ],
)
def test_what_is_not_finite_is_named_and_not_written(key, message, tinybert, tmp_path):
    class Spoiling(Planted):
        def forward(self, caps, **batch):
            outputs = super().forward(caps, **batch)
            outputs[key][caps[:, 2] == 5] = torch.inf
            return outputs

    config = {"dataset": {"bert_name": str(tinybert)}, "eval": {"save_path": str(tmp_path)}}
    samples = [
        {
            "caps": torch.tensor([[2, 3, word, 3]]),
            "vfeats": torch.ones(1, 1, 8),
            "video_id": [f"v{number}"],
        }
        for number, word in enumerate((6, 5))
    ]
    with pytest.raises(NonFiniteScores) as caught:
        RetrievalPredictor(config).predict_loop(Spoiling(), samples, "scores")
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_names_are_cut():
    check_encoded([True] * 3, "abc", "x")
    with pytest.raises(NonFiniteScores, match=r"^x: .* for 4 of 5: a, b, d, …; look"):
        check_encoded([False, False, True, False, False], "abcde", "x")
