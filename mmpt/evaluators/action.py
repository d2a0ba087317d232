"""Action recognition on the three splits of UCF101 and HMDB51."""

from collections.abc import Sequence

import numpy as np

from mmpt.errors import DataError
from mmpt.evaluators.base import Metric, check_finite

TEST = 2
"""How a split marks the videos that are tested."""
RECALLS = (1, 5, 10)


class ActionRecognitionMetric(Metric):
    """Accuracy and recall of classes; the first number is the accuracy on the first split."""

    metric_names = ("acc", "acc_splits", "r1_splits", "r5_splits", "r10_splits")

    def compute_metrics(
        self,
        outputs: np.ndarray,
        targets: Sequence[int],
        splits: np.ndarray,
        **ignored,
    ) -> dict[str, float | list[float]]:
        """Over the videos that each split tests; of equal scores the earlier class is better.

        Args:
            outputs: scores [N, classes].
            targets: int [N].
            splits: int [S, N]; 2 where the split tests a video.

        Returns:
            `acc`; `acc_splits`, `r1_splits`, `r5_splits`, `r10_splits`: one number a split.

        Raises:
            DataError: shapes that do not fit, a class that is not there, NaN, or a split that tests
                nothing.
        """
        scores, truth, splits = np.asarray(outputs), np.asarray(targets), np.asarray(splits)
        _check(scores, truth, splits)
        ranks = class_ranks(scores, truth)
        tested = [ranks[split == TEST] for split in splits]
        accuracies = [float((own < 1).mean()) for own in tested]
        recalls = {f"r{k}_splits": [float((own < k).mean()) for own in tested] for k in RECALLS}
        return {"acc": accuracies[0], "acc_splits": accuracies, **recalls}


def class_ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The position of each row's class, best first, from 0; of equal scores the earlier class is
    better: int64 [N] of scores [N, classes] and targets int [N]."""
    truth = scores[np.arange(len(targets)), targets][:, None]
    earlier = np.arange(scores.shape[1]) < targets[:, None]
    return ((scores > truth) | ((scores == truth) & earlier)).sum(axis=1)


def _check(scores: np.ndarray, targets: np.ndarray, splits: np.ndarray) -> None:
    fits = scores.ndim == 2 and splits.ndim == 2 and targets.shape == scores.shape[:1]
    if not fits or splits.shape[1:] != targets.shape or len(splits) == 0:
        raise DataError(
            f"action recognition: scores {list(scores.shape)}, targets {list(targets.shape)}, "
            f"splits {list(splits.shape)}; needed: [N, classes], [N], [splits, N]"
        )
    check_finite(scores, "action recognition")
    wrong = (targets < 0) | (targets >= scores.shape[1])
    if wrong.any():
        raise DataError(
            f"action recognition: class {targets[wrong][0]}; allowed: 0 to {scores.shape[1] - 1}"
        )
    for number, split in enumerate(splits, start=1):
        if not (split == TEST).any():
            raise DataError(f"action recognition: split {number} tests no video (no entry is 2)")
