"""The MSR-VTT part: its files' forms, and texts that tell the test videos apart."""

import csv
import json
from collections import Counter

import numpy as np
import pytest

from mmpt.config.errors import ConfigError
from mmpt.demo import CorpusSettings


@pytest.fixture(scope="module")
def rows(corpus):
    with open(corpus / "msrvtt/MSRVTT_JSFUSION_test.csv", newline="") as file:
        return list(csv.DictReader(file))


def shown(truth, split, video_id):
    segments = truth["msrvtt"][split][video_id]["segments"]
    return [step for _, _, step in segments if step >= 0]


def test_test_table(rows):
    assert list(rows[0]) == ["key", "vid_key", "video_id", "sentence"]
    assert len(rows) == 30
    for number, row in enumerate(rows):
        assert row["key"] == f"ret{number}"
        assert row["video_id"] == f"video{7010 + number}"
        assert row["vid_key"] == f"msr{7010 + number}"


def test_sentences_name_what_is_shown(truth, rows):
    for row in rows:
        said = row["sentence"].split()
        for step in shown(truth, "test", row["video_id"]):
            assert truth["steps"][step]["verb"] in said
            assert truth["steps"][step]["object"] in said


def test_no_two_test_videos_show_the_same(truth, rows):
    contents = [frozenset(shown(truth, "test", row["video_id"])) for row in rows]
    assert len(set(contents)) == len(rows)
    assert {len(content) for content in contents} == {2}


def test_features(corpus, truth):
    for split in ("train", "test"):
        for video_id, video in truth["msrvtt"][split].items():
            path = corpus / "msrvtt/msrvtt_feature_fps30_512" / f"{video_id}.npy"
            features = np.load(path, allow_pickle=False)
            assert features.dtype == np.float16
            assert features.shape == (video["seconds"], 512)
            assert video["seconds"] <= 32


def test_annotations(corpus, truth, rows):
    content = json.loads((corpus / "msrvtt/MSRVTT_data.json").read_text())
    table = (corpus / "msrvtt/MSRVTT_train.9k.csv").read_text().split()
    assert table == ["video_id", *truth["msrvtt"]["train"]]
    everything = {*truth["msrvtt"]["train"], *truth["msrvtt"]["test"]}
    assert {video["video_id"] for video in content["videos"]} == everything
    assert [entry["sen_id"] for entry in content["sentences"]] == list(range(20 * 34))
    counts = Counter(entry["video_id"] for entry in content["sentences"])
    assert counts == dict.fromkeys(everything, 20)
    for entry in content["sentences"]:
        split = "train" if entry["video_id"] in truth["msrvtt"]["train"] else "test"
        for step in shown(truth, split, entry["video_id"]):
            assert truth["steps"][step]["object"] in entry["caption"].split()
    pairs = {(entry["video_id"], entry["caption"]) for entry in content["sentences"]}
    assert all((row["video_id"], row["sentence"]) in pairs for row in rows)


def test_more_test_videos_than_contents():
    with pytest.raises(ConfigError, match="test_videos is 11; 5 steps allow at most 10"):
        CorpusSettings(steps=5, tasks=1, test_videos=11)
