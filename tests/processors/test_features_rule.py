"""Who has features, and segments that reach behind them."""

import os

import numpy as np
import pytest

from mmpt.errors import DataError
from mmpt.processors.downstream.features import require_features, stored_names, with_features
from mmpt.processors.downstream.segments import covered_rows, feature_seconds, report_overruns


def test_a_benchmark_of_fixed_size_counts_what_is_missing(put_features):
    folder = put_features({"v1": 1})
    require_features(folder, ["v1", "v1"], "table.csv")
    with pytest.raises(DataError) as caught:
        require_features(folder, ["v1", "v5", "v3", "v2", "v4", "v2"], "table.csv")
    assert str(caught.value) == (
        f"{folder}: 4 of the 5 videos of table.csv have no feature file: v2, v3, v4, …; the size "
        "of this benchmark is fixed"
    )


def test_the_first_of_the_allowed_names_counts(put_features):
    folder = put_features({"a.mp4": 1, "a": 1, "b": 1})
    names = {"a.mp4": ("a.mp4", "a"), "b.mov": ("b.mov", "b")}
    assert stored_names(folder, names, "t") == {"a.mp4": "a.mp4", "b.mov": "b"}


def test_videos_without_features_are_left_out_and_counted_in_one_line(put_features, said):
    folder = put_features({"v1": 1, "v2": 1})
    assert with_features(folder, ["v2", "v1", "v2"], "COIN.json") == {"v1", "v2"}
    assert said() == []
    assert with_features(folder, ["v9", "v1", "v8", "v7", "v6"], "COIN.json") == {"v1"}
    assert said() == [
        f"COIN.json: 4 of 5 videos have no features in {folder} and are left out: v6, v7, v8, …"
    ]
    with pytest.raises(DataError, match=r"none of the 1 videos of COIN.json has a .* \(v9.npy\)"):
        with_features(folder, ["v9"], "COIN.json")


def test_segments_behind_the_features_are_reported_in_one_line(put_features, said):
    folder = put_features({"v1": 10, "v2": 20, "v3": 30})
    report_overruns({"v1": [(0, 11)], "v2": [(19.5, 21)], "v3": [], "v4": [(0, 99)]}, folder, "t")
    assert said() == []  # rounding, and a file that its reader will report
    report_overruns({"v1": [(0, 11.5), (10, 12)], "v2": [(0, 3)], "v3": [(40, 50)]}, folder, "t")
    assert said() == [
        f"t: 3 segments in 2 of 3 videos end more than 1 s behind the features in {folder}, 2 of "
        "them lie wholly behind: v1 (10 s, annotated up to 12 s), v3 (30 s, annotated up to 50 s); "
        "features of other videos, or cut short?"
    ]


def test_only_the_head_of_a_feature_file_is_read(tmp_path):
    np.save(tmp_path / "good.npy", np.zeros((7, 2)))
    np.save(tmp_path / "scalar.npy", np.zeros(()))
    (tmp_path / "bad.npy").write_bytes(b"no array")
    (tmp_path / "empty.npy").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.npy")
    with (tmp_path / "archive.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    found = {path.stem: feature_seconds(str(path)) for path in tmp_path.iterdir()}
    assert found.pop("good") == 7
    assert set(found.values()) == {None}
    assert feature_seconds(str(tmp_path / "none.npy")) is None


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [(2.3, 5.1, [2, 3, 4, 5]), (2, 5, [2, 3, 4]), (4, 4, []), (4.5, 4.5, [4]), (8.2, 30, [8, 9])],
)
def test_a_segment_covers_every_second_that_it_touches(start, end, rows):
    assert list(range(10))[covered_rows(start, end)] == rows
