"""CrossTask: the published steps and recalls, step texts encoded once, what is refused."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from mmpt.errors import ConfigError, DataError
from mmpt.evaluators import CrossTaskMetric, CrossTaskPredictor
from mmpt.evaluators.base import NonFiniteScores

from .published import job, small_model, windows_of


class Planted(nn.Module):
    """Gives the logits of each video that it is told to."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, video_id, **ignored):
        assert not self.training and not torch.is_grad_enabled()
        return {"logits": self.logits[video_id[0]]}


def batch_of(video_id, features, truth, step=16, task="T1"):
    vfeats, vmasks = windows_of(features, step)
    return {
        "vfeats": vfeats[None],
        "vmasks": vmasks[None],
        "video_id": [video_id],
        "task": [task],
        "video_len": torch.tensor([len(features)]),
        "video_targets": torch.from_numpy(np.asarray(truth, np.float32))[None],
    }


@pytest.fixture(scope="module")
def stored(golden):
    return golden("models_data/crosstask_predictor.npz")


@pytest.fixture
def published(stored):
    """A model with the stored logits, and the batches of the stored videos."""
    logits, batches = {}, []
    for number in range(3):
        truth = stored[f"true{number}"]
        logits[f"v{number}"] = torch.from_numpy(stored[f"logits{number}"])
        batches.append(batch_of(f"v{number}", np.zeros((len(truth), 4)), truth))
    return Planted(logits), batches


@pytest.fixture
def predictor(tinybert, tmp_path):
    config = job(tinybert, sliding_window=16)
    return CrossTaskPredictor({**config, "eval": {"save_path": str(tmp_path)}})


# ---- predictor --------------------------------------------------------------------------------


def test_published_steps(published, predictor, stored, golden_dir, tmp_path):
    found = predictor.predict_loop(*published, "steps")
    for number in range(3):
        assert np.array_equal(found["outputs"]["T1"][f"v{number}"], stored[f"pred{number}"])
        assert np.array_equal(found["targets"]["T1"][f"v{number}"], stored[f"true{number}"])
    path = golden_dir / "models_data/crosstask_predictor.json"
    wanted = json.loads(path.read_text())["metric"]
    assert CrossTaskMetric().compute_metrics(**found) == wanted
    with np.load(tmp_path / "steps.npz", allow_pickle=False) as saved:
        assert len(saved.files) == 6
        assert np.array_equal(saved["outputs/T1/v2"], found["outputs"]["T1"]["v2"])
        assert np.array_equal(saved["targets/T1/v0"], found["targets"]["T1"]["v0"])


def test_step_texts_are_encoded_once_and_change_nothing(tinybert, predictor, monkeypatch):
    model = small_model(tinybert, "MMFusionSeparateActionLocalization", seed=7)
    rng = np.random.default_rng(0)
    words = torch.randint(5, 100, (3, 6), generator=torch.Generator().manual_seed(0))
    caps = torch.cat([torch.tensor([[2, 3]]).expand(3, -1), words], dim=1)[None]
    batches = [
        {
            **batch_of(video, rng.standard_normal((length, 512)), np.eye(length, 3)),
            "caps": caps,
            "cmasks": torch.ones_like(caps, dtype=torch.bool),
        }
        for video, length in (("a", 20), ("b", 50))
    ]
    with torch.inference_mode():
        logits = {batch["video_id"][0]: model(**batch)["logits"] for batch in batches}
    whole = predictor.predict_loop(Planted(logits), batches, None)["outputs"]["T1"]
    asked, forward_text = [], model.forward_text

    def count(caps, cmasks):
        asked.append(len(caps))
        return forward_text(caps, cmasks)

    monkeypatch.setattr(model, "forward_text", count)
    found = predictor.predict_loop(model, batches, None)["outputs"]["T1"]
    assert asked == [3]
    assert all(np.array_equal(found[video], whole[video]) for video in ("a", "b"))


def test_what_cannot_be_predicted(published, predictor, tinybert):
    model, batches = published
    with pytest.raises(ConfigError, match="sliding_window is not set; CrossTask needs it"):
        CrossTaskPredictor(job(tinybert))
    with pytest.raises(DataError, match="CrossTask: the test set is empty"):
        predictor.predict_loop(model, [], None)
    short = batch_of("v", np.zeros((2, 4)), np.eye(2, 3))
    with pytest.raises(DataError, match="video T1/v has 2 seconds for 3 steps"):
        predictor.predict_loop(Planted({"v": torch.zeros(2, 3)}), [short], None)
    model.logits["v1"][3, 1] = torch.nan
    with pytest.raises(NonFiniteScores, match=r"CrossTask: videos: .* for 1 of 3: T1/v1"):
        predictor.predict_loop(model, batches, None)


# ---- metric -----------------------------------------------------------------------------------


def test_published_recalls(golden):
    stored = golden("losses_metrics/metric_crosstask.npz")
    layout = stored["settings"]["layout"]
    given = {
        kind: {
            task: {video: stored[f"in_{kind}__{task}__{video}"] for video in videos}
            for task, videos in tasks.items()
        }
        for kind, tasks in layout.items()
    }
    found = CrossTaskMetric().compute_metrics(outputs=given["pred"], targets=given["true"])
    tasks = list(layout["true"])
    wanted = {name: stored[f"out_{name}"].item() for name in ["recall", *tasks]}
    assert found == pytest.approx(wanted, abs=1e-12) and list(found) == ["recall", *tasks]


def test_tasks_without_predictions_and_without_steps(caplog):
    full, empty = np.eye(4, 2), np.zeros((4, 2))
    targets = {"1": {"a": full, "b": full}, "2": {"c": full}, "3": {"d": empty}}
    outputs = {"1": {"a": full, "b": empty}, "3": {"d": full}, "4": {"e": full}}
    found = CrossTaskMetric().measure(outputs=outputs, targets=targets)
    assert found.metrics == {"recall": 0.25, "1": 0.5, "2": 0.0}
    assert found.intervals["1"] == (0.0, 1.0)
    assert "no prediction for task 2" in caplog.text
    assert "1 of 3 tasks have no annotated step and are left out of the mean: 3" in caplog.text
    with pytest.raises(DataError, match="none of 1 tasks has an annotated step"):
        CrossTaskMetric().compute_metrics(outputs={}, targets={"3": {"d": empty}})


def test_tables_of_another_shape():
    with pytest.raises(DataError, match=r"video 1/a: predictions \[3, 2\] for targets \[4, 2\]"):
        CrossTaskMetric().compute_metrics(
            outputs={"1": {"a": np.eye(3, 2)}}, targets={"1": {"a": np.eye(4, 2)}}
        )
