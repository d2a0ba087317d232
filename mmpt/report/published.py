"""The published numbers, by job file and metric.

They belong to the released data and checkpoints: only jobs below projects/retri/norton and
projects/retri/videoclip may stand beside them.
"""

from collections.abc import Iterable
from typing import NamedTuple

SOURCE = "Lin et al., ICLR 2024, tables 1-6 and 9"
DECIMALS = 3
"""Of a fraction: the paper gives percent with one decimal."""


class Published(NamedTuple):
    """One number, a fraction, of both models."""

    norton: float
    videoclip: float


def _recalls(
    norton: Iterable[float], videoclip: Iterable[float], protocol: str = ""
) -> dict[str, Published]:
    """R@1, R@5 and R@10, given in percent."""
    names = (f"{protocol}R{depth}" for depth in (1, 5, 10))
    return {
        name: _percent(one, other)
        for name, one, other in zip(names, norton, videoclip, strict=True)
    }


def _percent(norton: float, videoclip: float) -> Published:
    return Published(round(norton / 100, DECIMALS), round(videoclip / 100, DECIMALS))


PUBLISHED: dict[str, dict[str, Published]] = {
    "test_vtt_zs": _recalls((10.7, 24.1, 31.6), (10.4, 22.2, 30.0)),
    "test_vtt_ft": _recalls((31.2, 55.7, 66.8), (30.9, 55.4, 66.8)),
    "test_vttqa_zs": {"acc": _percent(77.1, 73.9)},
    "test_vttqa_ft": {"acc": _percent(92.7, 92.1)},
    "test_youcook_zs": _recalls((24.2, 51.9, 64.1), (22.7, 50.4, 63.1)),
    "test_youcook_fullvideo_zs": {
        **_recalls((75.5, 95.0, 97.7), (74.5, 94.5, 97.9)),
        **_recalls((88.7, 98.8, 99.5), (56.0, 89.9, 96.3), "DTW-"),
        **_recalls((88.9, 98.4, 99.5), (52.8, 89.2, 95.0), "OTAM-"),
    },
    "test_youcook_fullvideo_bg_zs": {
        **_recalls((74.8, 94.7, 98.4), (73.6, 94.7, 98.4)),
        **_recalls((76.1, 95.0, 97.7), (55.7, 93.1, 98.9), "DTW-"),
        **_recalls((73.6, 94.7, 97.7), (56.6, 92.8, 98.9), "OTAM-"),
    },
    "test_coin_ft": {"frame_acc": _percent(69.8, 68.7)},
    "test_how2align_zs": {"Recall": _percent(46.9, 44.4)},
}
"""Job file (stem) -> metric -> the numbers of both models; zero-shot unless the name ends in `_ft`
(COIN: with a trained head)."""

ITEMS = {
    "test_vtt_zs": 1000,
    "test_vtt_ft": 1000,
    "test_vttqa_zs": 2990,
    "test_vttqa_ft": 2990,
    "test_youcook_zs": 3350,
    "test_youcook_fullvideo_zs": 3350,
    "test_youcook_fullvideo_bg_zs": 436,
    "test_coin_ft": 2797,
    "test_how2align_zs": 80,
}
"""Job file (stem) -> items of the whole test set: videos, questions or clips."""
