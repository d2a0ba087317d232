"""HTM-Align's annotation and items."""

import json

import numpy as np
import pytest
import torch

from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import ConfigError, DataError
from mmpt.processors.downstream.htm_align import HTMAlignMetaProcessor, read_annotation

ANNOTATION = {
    "vB": [[1, 3.5, 8, "chop the onion"], [0, 9.0, 12.25, "thanks for watching"]],
    "vA": [[0, 0, 0, "cut"], [1, 30.0, 40.5, "we stir"], [0, 40.9, 44.0, "bye"]],
}


@pytest.fixture
def config(tmp_path, tinybert):
    (tmp_path / "htm_align.json").write_text(json.dumps(ANNOTATION))
    for video, seconds in (("vA", 40), ("vB", 20)):
        np.save(tmp_path / f"{video}.npy", np.ones((seconds, 6), np.float16) * np.float16(0.1))
    return {
        "split": "test",
        "meta_processor": "HTMAlignMetaProcessor",
        "video_processor": "VideoProcessor",
        "text_processor": "HTMAlignTextProcessor",
        "aligner": "HTMAlignAligner",
        "anno_path": str(tmp_path / "htm_align.json"),
        "vfeat_dir": str(tmp_path),
        "vfeat_dim": 6,
        "bert_name": str(tinybert),
        "max_video_len": 32,
        "max_len": 40,
    }


def test_an_item_is_a_whole_video_in_the_order_of_ids(config):
    dataset = MMDataset.from_config(config)
    assert [dataset[i]["video_id"] for i in range(len(dataset))] == ["vA", "vB"]
    item = dataset[0]
    assert item["vfeats"].shape == (40, 6) and item["vfeats"].dtype == torch.float32
    assert item["sentences"].tolist() == [[0, 0, 0], [1, 30, 40.5], [0, 40.9, 44]]
    assert item["sentences"].dtype == np.float64
    assert item["texts"] == ["cut", "we stir", "bye"]
    assert item["caps"].shape == item["cmasks"].shape == (3, 8)
    ids = dataset.text_processor.tokenizer("we stir", add_special_tokens=False)["input_ids"]
    assert item["caps"][1].tolist() == ([2, 3, *ids, 3] + [0] * 8)[:8]
    batch = dataset.collater([item])
    assert batch["caps"].shape == (1, 3, 8) and batch["texts"] == [item["texts"]]


def test_a_sentence_may_begin_where_the_features_end_but_not_behind(config, tmp_path):
    assert ANNOTATION["vA"][2][1] > 40
    assert MMDataset.from_config(config)[0]["video_id"] == "vA"
    np.save(tmp_path / "vA.npy", np.ones((28, 6), np.float16))
    with pytest.raises(DataError) as caught:
        MMDataset.from_config(config)[0]
    said = str(caught.value)
    assert "(video vA)" in said and "2 of 3 sentences begin behind the end" in said
    assert "(28 seconds), first sentence 1 at 30.0 s" in said


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "v1: a list of at least one [aligned, start, end, text] is expected, got []"),
        ({"0": 1}, "v1: a list of at least one"),
        ([[1, 2.0, "text"]], "v1, sentence 0: expected [aligned, start, end, text], got [1, 2.0"),
        ([[0, 1, 2, "a"], "b"], "v1, sentence 1: expected [aligned, start, end, text], got 'b'"),
        ([[2, 1, 2, "a"]], "v1, sentence 0: aligned is 2; allowed: 0, 1"),
        ([["1", 1, 2, "a"]], "aligned is '1'; allowed: 0, 1"),
        ([[1, 5, 4.5, "a"]], "v1, sentence 0: from 5 to 4.5; allowed: 0 <= start <= end"),
        ([[1, -1, 4.5, "a"]], "from -1 to 4.5; allowed: 0 <= start <= end"),
        ([[1, None, 4.5, "a"]], "start is None; a number of seconds is expected"),
        ([[1, 1, float("nan"), "a"]], "end is nan; a number of seconds is expected"),
        ([[1, 1, 2, " "]], "the text is ' '; words are expected"),
        ([[1, 1, 2, 7]], "the text is 7; words are expected"),
    ],
)
def test_bad_annotations(rows, message, tmp_path):
    path = tmp_path / "htm_align.json"
    path.write_text(json.dumps({"v0": [[1, 0, 1, "fine"]], "v1": rows}))
    with pytest.raises(DataError) as caught:
        read_annotation(str(path))
    said = str(caught.value)
    assert said.startswith(f"{path}: v1") and message in said and "\n" not in said


@pytest.mark.parametrize("content", ["[]", "{}", "null"])
def test_no_annotation_at_all(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=r"a\.json: expected \{VIDEO_ID: \[\[aligned"):
        read_annotation(str(tmp_path / "a.json"))


def test_missing_files_and_keys(config, tmp_path):
    more = {**ANNOTATION, **{f"v{name}": ANNOTATION["vB"] for name in "CDEF"}}
    (tmp_path / "htm_align.json").write_text(json.dumps(more))
    with pytest.raises(DataError, match=r"4 of the 6 videos of .* vC, vD, vE, …"):
        HTMAlignMetaProcessor(config)
    with pytest.raises(DataError, match=r"no such file; dataset\.anno_path asks .*'HTM-Align'"):
        HTMAlignMetaProcessor({**config, "anno_path": str(tmp_path / "no.json")})
    for key in ("anno_path", "vfeat_dir"):
        with pytest.raises(ConfigError, match=rf"dataset\.{key} is not set"):
            HTMAlignMetaProcessor({**config, key: None})
