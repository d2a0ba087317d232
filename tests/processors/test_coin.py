"""COIN's videos, labels and targets."""

import json

import pytest

from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import ConfigError, DataError
from mmpt.processors import COINActionSegmentationMetaProcessor


def segment(label, start, end, name=None):
    return {"id": str(label), "segment": [start, end], "label": name or f"action {label}"}


def video(*segments, subset="testing"):
    return {"subset": subset, "annotation": list(segments)}


DATABASE = {
    "t1": video(segment(2, 1.5, 3.2), segment(1, 3, 5)),
    "t2": video(segment(3, 0, 2)),
    "r1": video(segment(3, 0, 1), subset="training"),
}


@pytest.fixture
def config(tmp_path, tinybert, put_features):
    """`config(database, **changes)`: a section with this annotation."""

    def make(database=None, **changes):
        content = {"database": DATABASE if database is None else database}
        (tmp_path / "COIN.json").write_text(json.dumps(content))
        path = str(tmp_path / "COIN.json")
        return {
            "split": "test",
            "meta_processor": "COINActionSegmentationMetaProcessor",
            "video_processor": "VideoProcessor",
            "text_processor": "COINActionSegmentationTextProcessor",
            "aligner": "COINActionSegmentationAligner",
            "train_path": path,
            "val_path": path,
            "test_path": path,
            "vfeat_dir": put_features({"t1": 6, "t2": 4, "r1": 3}),
            "vfeat_dim": 2,
            "bert_name": str(tinybert),
            "max_video_len": 4,
            "max_len": 12,
            "sliding_window": 2,
            "sliding_window_size": 4,
            **changes,
        }

    return make


@pytest.mark.parametrize(
    ("split", "videos"),
    [("test", ["t1", "t2"]), ("valid", ["t1", "t2"]), ("train", ["r1"]), (None, ["r1"])],
)
def test_the_split_picks_the_subset(split, videos, config):
    meta = COINActionSegmentationMetaProcessor(config(split=split))
    assert [meta[i][0] for i in range(len(meta))] == videos
    assert meta.text_labels == ["action 1", "action 2", "action 3"]


def test_an_item(config):
    data = MMDataset.from_config(config())
    assert data.meta_processor[0][1] == {"start": [1.5, 3], "end": [3.2, 5], "label": [2, 1]}
    batch = data.collater([data[0]])
    assert batch["video_targets"].tolist() == [[0, 2, 2, 1, 1, 0]]  # the later one overwrites
    assert batch["targets"].tolist() == [[[0, 2, 2, 1], [2, 1, 1, 0]]]
    assert batch["video_len"].tolist() == [6] and batch["video_id"] == ["t1"]
    short = data.collater([data[1]])
    assert short["targets"].tolist() == [[[3, 3, 0, 0]]]


def test_videos_without_features_and_segments_behind_them(config, put_features, said):
    folder = put_features({"t1": 2}, "few")
    meta = COINActionSegmentationMetaProcessor(config(vfeat_dir=folder))
    assert len(meta) == 1 and len(meta.text_labels) == 3
    left_out, behind = said()
    assert "1 of 2 videos have no features" in left_out and left_out.endswith("left out: t2")
    assert "2 segments in 1 of 1 videos" in behind and "1 of them lie wholly behind" in behind
    data = MMDataset.from_config(config(vfeat_dir=folder))
    assert data[0]["video_targets"].tolist() == [0, 2]


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_classifier_too_small_for_the_labels(split, config):
    message = r"dataset\.num_labels: got 3; .*COIN\.json has labels 1 to 3, .* at least 4"
    with pytest.raises(ConfigError, match=message):
        COINActionSegmentationMetaProcessor(config(split=split, num_labels=3))
    assert len(COINActionSegmentationMetaProcessor(config(split=split, num_labels=4))) > 0
    many = {"t1": video(*(segment(label, 0, 1) for label in range(1, 780)))}
    with pytest.raises(ConfigError, match=r"got 779; .* at least 780"):
        COINActionSegmentationMetaProcessor(config({**DATABASE, **many}, split=split))


def test_zero_shot_asks_for_no_classifier(config):
    assert len(COINActionSegmentationMetaProcessor(config(num_labels=1))) == 2


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ([1], 'x: expected {"subset": …, "annotation": […]}, got [1]'),
        ({"subset": "testing"}, 'x: expected {"subset": …, "annotation": […]}, got {'),
        (video(subset="validation"), "x: subset is 'validation'; allowed: training, testing"),
        (video([1, 2]), 'x, segment 0: expected {"id": …, "segment": [start, end], "label": …}'),
        (video({"id": "1", "label": "a"}), "x, segment 0: expected"),
        (video(segment(1, 0, 1), segment(1, 5, 4)), "x, segment 1: from 5 to 4; allowed: 0 <= sta"),
        (video(segment(1, -0.5, 4)), "x, segment 0: from -0.5 to 4; allowed: 0 <= start <= end"),
        (video(segment(1, 0, None)), "x, segment 0: end is None; a number of seconds is expected"),
        (video(segment("one", 0, 1)), "x, segment 0: id is 'one'; a whole number from 1 is exp"),
        (video(segment("1.5", 0, 1)), "x, segment 0: id is '1.5'; a whole number from 1"),
        (video(segment(0, 0, 1)), "x, segment 0: id is '0'; a whole number from 1 is expected"),
        (video({"id": "1", "segment": [0, 1]}), "x, segment 0: label is None; the name of the"),
        (video(segment(2, 0, 1, "other")), "x: label 2 is 'other', and 'action 2' in an earlier"),
        (
            video(segment(9, 0, 1)),
            "the label ids of the testing videos must run from 1 without gaps; of 1 to 9, 5 are "
            "missing: 4, 5, 6, …",
        ),
    ],
)
def test_bad_annotations(broken, message, config, tmp_path):
    with pytest.raises(DataError) as caught:
        COINActionSegmentationMetaProcessor(config({**DATABASE, "x": broken}))
    assert str(caught.value).startswith(f"{tmp_path / 'COIN.json'}: {message}")
    assert "\n" not in str(caught.value)


def test_labels_of_training_alone_have_no_name(config):
    database = {**DATABASE, "r2": video(segment(5, 0, 1), subset="training")}
    assert len(COINActionSegmentationMetaProcessor(config(database))) == 2
    with pytest.raises(DataError, match=r"1 labels of training videos .* are 1 to 3: 5"):
        COINActionSegmentationMetaProcessor(config(database, split="train"))


def test_no_testing_video_is_no_label(config):
    with pytest.raises(DataError, match=r"no labels: there is no video of subset 'testing'"):
        COINActionSegmentationMetaProcessor(config({"r1": DATABASE["r1"]}, split="train"))


@pytest.mark.parametrize("content", ["[]", "{}", '{"database": {}}', '{"database": []}'])
def test_another_layout(content, config, tmp_path):
    section = config()
    (tmp_path / "COIN.json").write_text(content)
    with pytest.raises(DataError, match=r'COIN\.json: expected \{"database": \{VIDEO_ID'):
        COINActionSegmentationMetaProcessor(section)


def test_missing_files_and_keys(config, put_features):
    for key in ("test_path", "vfeat_dir"):
        with pytest.raises(ConfigError, match=rf"dataset\.{key} is not set"):
            COINActionSegmentationMetaProcessor(config(**{key: None}))
        with pytest.raises(DataError, match=rf"nowhere: no such .*dataset\.{key} .*'COIN'"):
            COINActionSegmentationMetaProcessor(config(**{key: "nowhere"}))
    with pytest.raises(DataError, match=r"none of the 2 videos of .*COIN\.json has a feature file"):
        COINActionSegmentationMetaProcessor(config(vfeat_dir=put_features({}, "none")))
