"""Windows of whole videos."""

import numpy as np
import pytest

from mmpt.errors import ConfigError
from mmpt.processors.downstream.windows import WindowAligner, cover, cut


def windows_by_hand(seconds, step, size):
    found, start = [], 0
    while True:
        found.append((start, min(start + size, seconds)))
        if start + size >= seconds:
            return found
        start += step


@pytest.mark.parametrize(("step", "size"), [(8, 32), (16, 16), (1, 3), (5, 7), (3, 3)])
def test_windows_stop_with_the_first_that_reaches_the_end(step, size):
    for seconds in range(1, 120):
        windows = cover(seconds, step, size)
        pairs = list(zip(windows.starts.tolist(), windows.ends.tolist(), strict=True))
        assert pairs == windows_by_hand(seconds, step, size)


def test_every_second_keeps_what_belongs_to_it():
    rows = np.arange(20).reshape(10, 2)
    chosen = cut(rows, cover(10, 3, 4), slots=5, padding=-1)
    assert chosen.shape == (3, 5, 2)
    assert chosen[:, :, 0].tolist() == [[0, 2, 4, 6, -1], [6, 8, 10, 12, -1], [12, 14, 16, 18, -1]]
    assert cut(np.array([7]), cover(1, 3, 4), slots=3, padding=0).tolist() == [[7, 0, 0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_frames_of_the_windows(dtype, tinybert):
    config = {"bert_name": str(tinybert), "max_video_len": 4, "max_len": 12}
    aligner = WindowAligner({**config, "sliding_window": 2, "sliding_window_size": 3})
    features = np.arange(12, dtype=dtype).reshape(6, 2)
    windows, vfeats, vmasks = aligner._windows(features)
    assert windows.starts.tolist() == [0, 2, 4]
    assert vfeats[:, :, 0].tolist() == [[0, 2, 4, 0], [4, 6, 8, 0], [8, 10, 0, 0]]
    assert vmasks.sum(1).tolist() == [3, 3, 2]
    caps, cmasks = aligner._no_text(3)
    assert caps.tolist() == [[2, 3, 0, 3]] * 3
    assert cmasks.tolist() == [[False, True, False, True]] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sliding_window": None}, "dataset.sliding_window is not set"),
        ({"sliding_window_size": None}, "dataset.sliding_window_size is not set"),
        (
            {"sliding_window": 5},
            "dataset.sliding_window 5, sliding_window_size 4: allowed are 1 <=",
        ),
        ({"sliding_window_size": 9}, "sliding_window_size <= max_video_len = 8"),
        ({"sliding_window": 0}, "dataset.sliding_window 0"),
    ],
)
def test_windows_that_leave_seconds_out(changes, message, tinybert):
    config = {"bert_name": str(tinybert), "max_video_len": 8, "max_len": 12}
    with pytest.raises(ConfigError) as caught:
        WindowAligner({**config, "sliding_window": 4, "sliding_window_size": 4, **changes})
    assert message in str(caught.value)
