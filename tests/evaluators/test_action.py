"""ActionRecognitionMetric against the published numbers."""

import numpy as np
import pytest

from mmpt.errors import DataError
from mmpt.evaluators import ActionRecognitionMetric
from mmpt.evaluators.action import class_ranks


def test_published_numbers(golden):
    stored = golden("losses_metrics/metric_action.npz")
    given = {name: stored[f"in_{name}"] for name in ("outputs", "targets", "splits")}
    metric = ActionRecognitionMetric()
    found = metric.compute_metrics(**given)
    assert tuple(found) == metric.metric_names
    for name, number in found.items():
        assert number == pytest.approx(stored[f"out_{name}"].tolist(), abs=1e-12)
    assert metric.best_metric(found) == found["acc"]
    lines = metric.print_computed_metrics(found).split("\n")
    assert lines[1] == "  acc_splits  " + ", ".join(f"{x:.4f}" for x in found["acc_splits"])


def test_of_equal_scores_the_earlier_class_is_better():
    assert class_ranks(np.zeros((3, 4)), np.array([0, 2, 3])).tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": np.zeros((2, 1), int)}, r"targets \[2, 1\], splits \[1, 2\]; needed"),
        ({"splits": np.array([2, 2])}, r"splits \[2\]; needed"),
        ({"outputs": np.array([[0, 1], [np.nan, 0]])}, "1 of 4 scores are NaN"),
        ({"targets": np.array([0, 2])}, "class 2; allowed: 0 to 1"),
        ({"splits": np.array([[1, 0]])}, "split 1 tests no video"),
    ],
)
def test_what_does_not_fit(change, message):
    given = {"outputs": np.eye(2), "targets": np.array([0, 1]), "splits": np.array([[2, 2]])}
    with pytest.raises(DataError, match=f"action recognition: .*{message}"):
        ActionRecognitionMetric().compute_metrics(**{**given, **change})
