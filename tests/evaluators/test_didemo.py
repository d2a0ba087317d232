"""DiDeMo: the published rankings and numbers, ties, what is encoded and what is refused."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from mmpt.errors import ConfigError, DataError
from mmpt.evaluators import DiDeMoMetric, DiDeMoPredictor
from mmpt.evaluators.base import NonFiniteScores
from mmpt.evaluators.didemo import (
    MOMENTS,
    mean_overlap,
    mean_rank,
    moment_scores,
    moments_shown,
    overlap,
    rank_moments,
)

from .published import collated, described, job, small_model, text_of, video_of


def moments_of(rows):
    return [[tuple(moment) for moment in row] for row in rows]


@pytest.fixture(scope="module")
def model(tinybert, golden_dir):
    return small_model(tinybert, "MMFusionSeparate", golden_dir=golden_dir)


@pytest.fixture(scope="module")
def items(golden_dir, golden, tinybert):
    arrays, config = golden("models_data/predictors.npz"), job(tinybert)
    made = []
    for row in described(golden_dir)["dd_json"]:
        caps, cmasks = text_of(config, row["description"])
        vfeats, vmasks = video_of(config, arrays[f"dd.feat.{row['video']}"])
        item = {"caps": caps, "cmasks": cmasks, "vfeats": vfeats, "vmasks": vmasks}
        made.append({**item, "video_id": row["video"], "times": row["times"]})
    return made


# ---- predictor --------------------------------------------------------------------------------


def test_published_rankings(model, items, golden_dir, tinybert, tmp_path):
    config = {**job(tinybert), "eval": {"save_path": str(tmp_path)}}
    batches = [collated(items[:3]), collated(items[3:])]
    found = DiDeMoPredictor(config).predict_loop(model, batches, "moments")
    wanted = described(golden_dir)["dd"]
    assert list(MOMENTS) == moments_of([wanted["possible_segments"]])[0]
    assert found["outputs"] == moments_of(wanted["outputs"])
    assert DiDeMoMetric().compute_metrics(**found) == pytest.approx(wanted["metrics"], abs=1e-12)
    saved = json.loads((tmp_path / "moments.json").read_text())
    assert [row["video"] for row in saved] == found["video_ids"]
    assert moments_of(row["moments"] for row in saved) == found["outputs"]
    assert moments_of(row["times"] for row in saved) == found["targets"]


def test_every_video_is_encoded_once(model, items, tinybert, monkeypatch):
    asked, forward_video = [], model.forward_video

    def count(vfeats, *rest, **named):
        asked.append(len(vfeats))
        return forward_video(vfeats, *rest, **named)

    monkeypatch.setattr(model, "forward_video", count)
    twice = [collated([items[0], items[1], items[0]]), collated([items[1]])]
    found = DiDeMoPredictor(job(tinybert)).predict_loop(model, twice, None)
    assert asked == [2]
    assert found["outputs"][0] == found["outputs"][2] and len(found["outputs"]) == 4


@pytest.mark.parametrize("seed", range(5))
def test_of_equal_moments_the_longer_is_better_and_then_the_earlier(seed):
    """Single precision, or a matrix product, makes differences out of rounding here."""
    generator = torch.Generator().manual_seed(seed)
    chunks = torch.rand(1, 1, 100, generator=generator).expand(1, 6, 100)
    text = torch.rand(1, 100, generator=generator) - 0.5
    ranked = rank_moments(moment_scores(chunks, text)[0].tolist(), [True] * 21)
    assert ranked == sorted(MOMENTS, key=lambda moment: (moment[0] - moment[1], moment[0]))


def test_moments_behind_the_end_are_left_out():
    vmasks = torch.arange(32)[None] < torch.tensor([[30], [12], [0]])
    kept = moments_shown(vmasks)
    assert kept.sum(dim=1).tolist() == [21, 15, 0]
    left_out = [moment for moment, shown in zip(MOMENTS, kept[1], strict=True) if not shown]
    assert all(first >= 3 for first, _ in left_out)
    assert rank_moments([0.5] * 21, kept[2].tolist()) == []


def test_what_cannot_be_predicted(model, items, tinybert):
    with pytest.raises(ConfigError, match=r"dataset\.max_video_len: got 16; .* second 30"):
        DiDeMoPredictor(job(tinybert, max_video_len=16))
    predictor = DiDeMoPredictor(job(tinybert))
    with pytest.raises(ConfigError, match="Linear does not encode video and text apart"):
        predictor.predict_loop(nn.Linear(1, 1), [], None)
    with pytest.raises(DataError, match="DiDeMo: the test set is empty"):
        predictor.predict_loop(model, [], None)
    broken = {**items[1], "vfeats": torch.full_like(items[1]["vfeats"], torch.nan)}
    with pytest.raises(NonFiniteScores, match="for 1 of 2: dd1"):
        predictor.predict_loop(model, [collated([items[0], broken])], None)


# ---- metric -----------------------------------------------------------------------------------


def test_published_numbers(golden):
    stored = golden("losses_metrics/metric_didemo.npz")
    given = {}
    for name, kind in (("outputs", "segments"), ("targets", "times")):
        rows = zip(stored[f"in_{kind}"], stored[f"in_{kind}_len"], strict=True)
        given[name] = [row[:length].tolist() for row, length in rows]
    found = DiDeMoMetric().compute_metrics(**given)
    wanted = {name: stored[f"out_{name}"].item() for name in ("rank1", "rank5", "miou")}
    assert found == pytest.approx(wanted, abs=1e-12) and list(found) == list(wanted)


def test_three_annotators_count():
    ranked = [(0, 1), (2, 2), (0, 0), (5, 5)]
    assert mean_rank(ranked, [(5, 5), (0, 1), (0, 1), (0, 0), (3, 3)]) == (1 + 1 + 3) / 3
    assert mean_overlap(ranked, [(0, 1), (0, 0), (5, 5), (1, 3)]) == (1 + 1 / 2 + 1 / 4) / 3
    assert overlap((0, 1), (4, 5)) == 0 and overlap((2, 2), (2, 2)) == 1


@pytest.mark.filterwarnings("error")
def test_no_annotated_moment_in_the_list_is_a_miss():
    found = DiDeMoMetric().measure(
        outputs=[[(0, 0)], [], [(1, 1)]],
        targets=[[(0, 0)], [(0, 0)], [(1, 2)]],
        video_ids=["a", "b", "a"],
    )
    assert found.metrics == pytest.approx({"rank1": 1 / 3, "rank5": 1 / 3, "miou": 0.5})
    assert np.array(found.intervals["miou"]) == pytest.approx([0, 0.75])


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        ([[(0, 0)]], [], "1 ranked lists for 0 sentences"),
        ([], [], "0 ranked lists for 0 sentences"),
        ([[(0, 0)], [(0, 0)]], [[(0, 0)], []], "sentence 1 has no annotated moment"),
    ],
)
def test_what_does_not_fit(outputs, targets, message):
    with pytest.raises(DataError, match=f"DiDeMo: {message}"):
        DiDeMoMetric().compute_metrics(outputs=outputs, targets=targets)


def test_moments_compare_by_value_whatever_they_come_as():
    ranked, times = [[0, 0], [1, 1]], [[0, 0], [0, 0], [0, 0]]
    for kind in (list, np.array, torch.tensor):
        found = DiDeMoMetric().compute_metrics([kind(ranked)], [kind(times)])
        assert found["rank1"] == found["miou"] == 1.0
