"""RetrievalMetric against the published numbers; RetrievalPredictor on a model it can check."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from mmpt.errors import ConfigError, DataError
from mmpt.evaluators import Evaluator, RetrievalMetric, RetrievalPredictor
from mmpt.evaluators.base import NonFiniteScores, check_encoded
from mmpt.evaluators.retrieval import retrieval_ranks

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


def test_row_blocks_do_not_change_the_ranks(monkeypatch):
    scores = np.random.default_rng(0).integers(0, 4, (50, 60)).astype(np.float32)
    whole = retrieval_ranks(scores)
    monkeypatch.setattr("mmpt.evaluators.retrieval.RANKS_AT_ONCE", 7 * 60)
    assert np.array_equal(retrieval_ranks(scores), whole)


@pytest.mark.parametrize("shape", [(4,), (0, 0), (5, 4)])
def test_wrong_shapes(shape):
    with pytest.raises(DataError, match="retrieval: scores are"):
        retrieval_ranks(np.zeros(shape))


def test_nan_is_an_error_not_a_perfect_score():
    scores = np.eye(3)
    scores[1, 1] = np.nan
    with pytest.raises(DataError, match="1 of 9 scores are NaN"):
        RetrievalMetric().compute_metrics(outputs=scores)


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
