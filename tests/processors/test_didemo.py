"""DiDeMo's descriptions and moments."""

import json

import pytest

from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import ConfigError, DataError
from mmpt.processors import DiDeMoMetaProcessor


def record(video="b.m4v", times=((0, 0), (1, 5)), **changes):
    times = [list(moment) for moment in times]
    return {"video": video, "description": "a dog", "times": times, **changes}


@pytest.fixture
def config(tmp_path, tinybert, put_features):
    """`config(content, **changes)`: a section with this annotation."""

    def make(content, **changes):
        (tmp_path / "test.json").write_text(json.dumps(content))
        return {
            "split": "test",
            "meta_processor": "DiDeMoMetaProcessor",
            "video_processor": "VideoProcessor",
            "text_processor": "DiDeMoTextProcessor",
            "aligner": "DiDeMoAligner",
            "test_path": str(tmp_path / "test.json"),
            "vfeat_dir": put_features({"a.b.mov": 30, "b": 12, "c..": 3}),
            "vfeat_dim": 2,
            "bert_name": str(tinybert),
            "max_video_len": 32,
            "max_len": 40,
            **changes,
        }

    return make


def test_items_in_the_order_of_the_file(config):
    data = MMDataset.from_config(config([record(), record("a.b.mov", [(3, 3)]), record()]))
    items = [data[i] for i in range(3)]
    # both forms of feature files: with the video's extension, and without
    assert [item["video_id"] for item in items] == ["b", "a.b.mov", "b"]
    assert items[0]["times"] == [(0, 0), (1, 5)]
    batch = data.collater(items)
    assert batch["times"] == [[(0, 0), (1, 5)], [(3, 3)], [(0, 0), (1, 5)]]
    assert batch["caps"].shape == (3, 8) and batch["vmasks"].sum(1).tolist() == [12, 30, 12]


def test_a_name_that_ends_in_a_dot(config, put_features):
    section = config([record("c.")])
    with pytest.raises(DataError, match=r"1 of the 1 videos of .*: c\.; "):
        DiDeMoMetaProcessor(section)
    section["vfeat_dir"] = put_features({"c": 3}, "other")
    assert DiDeMoMetaProcessor(section)[0][0] == "c"


def test_missing_features_are_counted(config):
    content = [record(f"{name}.mp4") for name in "bwxyz"] + [record("w.mp4")]
    with pytest.raises(DataError) as caught:
        DiDeMoMetaProcessor(config(content))
    assert "4 of the 5 videos" in str(caught.value)
    assert "w.mp4, x.mp4, y.mp4, …; the size of this benchmark is fixed" in str(caught.value)


@pytest.mark.parametrize("split", ["train", "valid", None])
def test_there_is_a_test_split_only(split, config):
    with pytest.raises(ConfigError, match=r"dataset\.split: got '\w+'; DiDeMo is for evaluation"):
        DiDeMoMetaProcessor(config([record()], split=split))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("b", 'record 1: expected {"video": …, "description": …, "times": […]}, got \'b\''),
        (record(video=None), "record 1: video is None; a text is expected"),
        (record(description=" "), "record 1: description is ' '; a text is expected"),
        (record(times=[]), "record 1: times is []; at least one [first, last] is expected"),
        (record(times=[(0, 6)]), "record 1: a moment is [0, 6]; allowed is [first, last] with 0 <"),
        (record(times=[(0, 1), (-1, 2)]), "record 1: a moment is [-1, 2]"),
        (record(times=[(3, 2)]), "record 1: a moment is [3, 2]"),
        (record(times=[(1,)]), "record 1: a moment is [1]"),
        (record(times=[(0, 2.5)]), "record 1: a moment is [0, 2.5]"),
        (record(times=[("0", 1)]), "record 1: a moment is ['0', 1]"),
    ],
)
def test_bad_records(broken, message, config, tmp_path):
    with pytest.raises(DataError) as caught:
        DiDeMoMetaProcessor(config([record(), broken]))
    assert str(caught.value).startswith(f"{tmp_path / 'test.json'}: {message}")


@pytest.mark.parametrize("content", [[], {}, {"database": {}}])
def test_another_layout(content, config):
    with pytest.raises(DataError, match=r'test\.json: expected \[\{"video": …'):
        DiDeMoMetaProcessor(config(content))


def test_missing_files_and_keys(config):
    for key in ("test_path", "vfeat_dir"):
        with pytest.raises(ConfigError, match=rf"dataset\.{key} is not set"):
            DiDeMoMetaProcessor(config([record()], **{key: None}))
        with pytest.raises(DataError, match=rf"nowhere: no such .*dataset\.{key} .*'DiDeMo'"):
            DiDeMoMetaProcessor(config([record()], **{key: "nowhere"}))
