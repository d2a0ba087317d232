"""Multiple choice: the published answers, what is encoded, and what is refused."""

import numpy as np
import pytest
import torch

from mmpt.errors import ConfigError, DataError
from mmpt.evaluators import QAMetric, QAPredictor
from mmpt.evaluators.base import NonFiniteScores

from .published import collated, described, job, small_model, text_of, video_of


@pytest.fixture(scope="module")
def questions(golden_dir, golden, tinybert):
    """The job config and the items of the stored questions."""
    config = job(tinybert, max_video_len=16)
    arrays = golden("models_data/predictors.npz")
    items = []
    for line in described(golden_dir)["qa_tsv"][1:]:
        key, *answers, right = line.split("\t")
        texts = [text_of(config, answer) for answer in answers]
        video = key.replace("msr", "video")
        vfeats, vmasks = video_of(config, arrays[f"vtt.feat.{video}"])
        items.append(
            {
                "caps": torch.stack([caps for caps, _ in texts]),
                "cmasks": torch.stack([cmasks for _, cmasks in texts]),
                "vfeats": vfeats,
                "vmasks": vmasks,
                "answers": torch.tensor([int(right)]),
                "video_id": video,
            }
        )
    return config, items


@pytest.fixture(scope="module")
def model(tinybert, golden_dir):
    return small_model(tinybert, "MMFusionSeparate", golden_dir=golden_dir, max_video_len=16)


def test_published_answers(questions, model, golden, golden_dir, tmp_path):
    config, items = questions
    batches = [collated(items[:2]), collated(items[2:])]
    predictor = QAPredictor({**config, "eval": {"save_path": str(tmp_path)}})
    found = predictor.predict_loop(model, batches, "scores")
    stored = golden("models_data/predictors.npz")
    np.testing.assert_allclose(found["scores"], stored["qa.scores"], rtol=1e-5, atol=1e-4)
    assert np.array_equal(found["outputs"], stored["qa.outputs"])
    assert np.array_equal(found["targets"], stored["qa.targets"][:, 0])
    assert found["targets"].shape == (5,)
    assert QAMetric().compute_metrics(**found) == {"acc": described(golden_dir)["qa"]["acc"]}
    assert np.array_equal(np.load(tmp_path / "scores.npy"), found["scores"])


def test_every_text_and_every_video_is_encoded_once(questions, model, monkeypatch):
    config, items = questions
    encoded = {"forward_text": 0, "forward_video": 0}
    for name in encoded:
        whole = getattr(model, name)

        def count(first, *rest, name=name, whole=whole, **named):
            encoded[name] += len(first)
            return whole(first, *rest, **named)

        monkeypatch.setattr(model, name, count)
    batches = [collated([items[0], items[0]]), collated([items[1], items[0]])]
    found = QAPredictor(config).predict_loop(model, batches, None)
    assert encoded == {"forward_text": 10, "forward_video": 2}
    assert np.array_equal(found["scores"][0], found["scores"][3])


def test_published_accuracy(golden):
    stored = golden("losses_metrics/metric_qa.npz")
    found = QAMetric().compute_metrics(outputs=stored["in_outputs"], targets=stored["in_targets"])
    assert found == pytest.approx({"acc": stored["out_acc"].item()}, abs=1e-12)


def test_questions_of_one_video_are_drawn_together():
    answers = {"outputs": [1] * 6, "targets": [1, 1, 1, 0, 0, 0]}
    apart = QAMetric().measure(**answers, video_ids=list("aaabbb"))
    assert apart.metrics == {"acc": 0.5} and apart.intervals == {"acc": (0.0, 1.0)}
    single = QAMetric().measure(**answers).intervals["acc"]
    assert 0 < single[0] < 0.5 < single[1] < 1


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.zeros((3, 1)), r"predictions \[3\] for targets \[3, 1\]"),
        ([0, 1], r"\[3\] for targets \[2\]"),
    ],
)
def test_targets_of_another_shape(targets, message):
    with pytest.raises(DataError, match=message):
        QAMetric().compute_metrics(outputs=[0, 1, 2], targets=targets)
    with pytest.raises(DataError, match="2 video ids for 3 items"):
        QAMetric().compute_metrics(outputs=[0, 1, 2], targets=[0, 1, 2], video_ids=["a", "b"])


def test_what_cannot_be_predicted(questions, model):
    config, items = questions
    with pytest.raises(ConfigError, match="Linear does not encode video and text apart"):
        QAPredictor(config).predict_loop(torch.nn.Linear(1, 1), [], None)
    with pytest.raises(DataError, match="multiple choice: the test set is empty"):
        QAPredictor(config).predict_loop(model, [], None)
    broken = {**items[0], "vfeats": torch.full_like(items[0]["vfeats"], torch.nan)}
    with pytest.raises(NonFiniteScores, match=r"multiple choice: videos: .* for 1 of 1: video0"):
        QAPredictor(config).predict_loop(model, [collated([broken])], None)
