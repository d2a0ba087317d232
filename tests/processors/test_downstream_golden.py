"""The downstream aligners and lists against the stored items."""

import json

import numpy as np
import pytest
import torch

from mmpt.datasets.mmdataset import MMDataset
from mmpt.io.pickles import save_pickle
from mmpt.processors import (
    COINActionSegmentationAligner,
    COINActionSegmentationMetaProcessor,
    CrossTaskAligner,
    DiDeMoMetaProcessor,
    MSRVTTQAAligner,
    MSRVTTQAMetaProcessor,
    YoucookFullVideoBGAligner,
    YoucookFullVideoBGMetaProcessor,
    YoucookMetaProcessor,
    YoucookVideoProcessor,
)


@pytest.fixture(scope="module")
def facts(golden_dir):
    return json.loads((golden_dir / "models_data/aligners.json").read_text())


@pytest.fixture(scope="module")
def arrays(golden):
    return golden("models_data/aligners.npz")


@pytest.fixture(scope="module")
def stored(golden_dir):
    return json.loads((golden_dir / "models_data/predictors.json").read_text())


@pytest.fixture
def config(tinybert):
    """`config(**changes)`: lengths and tokenizer of the stored items."""

    def make(**changes):
        return {"bert_name": str(tinybert), "max_video_len": 32, "max_len": 96, **changes}

    return make


def assert_equals(item, arrays, name, keys):
    assert list(item)[: len(keys)] == list(keys)
    for key in item:
        if f"{name}.{key}" in arrays:
            expected = arrays[f"{name}.{key}"]
            assert item[key].numpy().dtype == expected.dtype, key
            np.testing.assert_array_equal(item[key].numpy(), expected, err_msg=key)


@pytest.mark.parametrize("name", ["qa0", "qa1"])
def test_question(name, facts, arrays, config):
    case = facts[name]
    item = MSRVTTQAAligner(config(max_video_len=16))(
        "video0", arrays[f"{name}.in_feat"], (case["in_answers"], case["in_answer_idx"])
    )
    assert_equals(item, arrays, name, case["keys"])
    assert item["answers"].tolist() == [case["in_answer_idx"]]


@pytest.mark.parametrize("name", [f"coin{i}" for i in range(8)])
def test_coin(name, facts, arrays, config):
    case = facts[name]
    windows = {key: case[key] for key in ("sliding_window", "sliding_window_size")}
    item = COINActionSegmentationAligner(config(**windows))(
        "v", arrays[f"{name}.in_feat"], case["segments"]
    )
    assert_equals(item, arrays, name, case["keys"])
    for key, shape in case["keys"].items():
        if isinstance(shape, list):
            assert list(item[key].shape) == shape
    assert item["video_len"] == case["video_len"] and type(item["video_len"]) is int


@pytest.mark.parametrize("name", [f"ycbg{i}" for i in range(8)])
def test_whole_video_with_background(name, facts, arrays, config):
    case = facts[name]
    windows = {key: case[key] for key in ("sliding_window", "sliding_window_size")}
    item = YoucookFullVideoBGAligner(config(**windows))(
        "v", arrays[f"{name}.in_feat"], case["in_tokens"]
    )
    assert_equals(item, arrays, name, case["keys"])
    assert item["video_len"] == case["out_video_len"]


@pytest.mark.parametrize("name", ["ct0", "ct1"])
def test_crosstask(name, facts, arrays, config, tmp_path):
    case = facts[name]
    task, vid = case["task"], case["video_id"]
    (tmp_path / f"{task}_{vid}.csv").write_text(case["csv"])
    windows = {"sliding_window": 16, "sliding_window_size": 32, "annotation_path": str(tmp_path)}
    aligner = CrossTaskAligner(config(**windows))
    item = aligner((task, vid, ["a", "b", "c"], 3), arrays[f"{name}.in_feat"], case["steps"])
    assert_equals(item, arrays, name, case["keys"])
    assert {key: item[key] for key in ("task", "video_id", "video_len")} == {
        key: case[key] for key in ("task", "video_id", "video_len")
    }


@pytest.mark.parametrize("case", range(3))
def test_crosstask_truth_of_every_second(case, golden, golden_dir, config, tmp_path):
    expected = golden("models_data/crosstask_predictor.npz")[f"true{case}"]
    facts = json.loads((golden_dir / "models_data/crosstask_predictor.json").read_text())
    (tmp_path / "T1_v.csv").write_text(facts[f"csv{case}"])
    windows = {"sliding_window": 16, "sliding_window_size": 32, "annotation_path": str(tmp_path)}
    features = np.ones((facts[f"len{case}"], 8), np.float16)
    item = CrossTaskAligner(config(**windows))(
        ("T1", "v", ["a", "b", "c", "d"], 4), features, [[5]] * 4
    )
    assert item["video_targets"].dtype == torch.uint8
    np.testing.assert_array_equal(item["video_targets"].numpy(), expected)


def put_features(folder, golden, prefix):
    """Writes the stored features of one data set, `PREFIX.feat.VIDEO_ID`."""
    folder.mkdir(exist_ok=True)
    for name, features in golden("models_data/predictors.npz").items():
        if name.startswith(f"{prefix}.feat."):
            np.save(folder / f"{name.removeprefix(f'{prefix}.feat.')}.npy", features)
    return str(folder)


def test_questions_of_the_stored_table(stored, golden, tmp_path):
    (tmp_path / "qa.csv").write_text("\n".join(stored["qa_tsv"]) + "\n")
    folder = put_features(tmp_path / "features", golden, "vtt")
    meta = MSRVTTQAMetaProcessor(
        {"split": "test", "test_path": str(tmp_path / "qa.csv"), "vfeat_dir": folder}
    )
    targets = golden("models_data/predictors.npz")["qa.targets"]
    assert [meta[i][1][1] for i in range(len(meta))] == targets[:, 0].tolist()
    assert [meta[i][0] for i in range(5)] == [f"video{i}" for i in range(5)]
    assert meta[2][1][0][2] == "bread bread wheel is and"


def test_coin_videos_and_label_names(stored, golden, tmp_path, config, tinybert):
    arrays = golden("models_data/predictors.npz")
    (tmp_path / "COIN.json").write_text(json.dumps(stored["coin_json"]))
    section = config(
        split="test",
        meta_processor="COINActionSegmentationMetaProcessor",
        video_processor="VideoProcessor",
        text_processor="COINActionSegmentationTextProcessor",
        aligner="COINActionSegmentationAligner",
        test_path=str(tmp_path / "COIN.json"),
        vfeat_dir=put_features(tmp_path / "features", golden, "coin"),
        sliding_window=8,
        sliding_window_size=32,
    )
    data = MMDataset.from_config(section)
    truth = torch.cat([data[i]["video_targets"] for i in range(len(data))])
    np.testing.assert_array_equal(truth.numpy(), arrays["coin_ft8.targets"])
    meta = data.meta_processor
    assert isinstance(meta, COINActionSegmentationMetaProcessor)
    assert meta.text_labels == stored["coin_zs8"]["text_labels"]
    labels = meta.meta_text_labels(section)
    for key in ("caps", "cmasks"):
        np.testing.assert_array_equal(labels[key].numpy(), arrays[f"coin_zs.label_{key}"])


@pytest.fixture
def youcook(stored, golden, tmp_path):
    save_pickle(tmp_path / "val.pkl", stored["yc_recs"])
    (tmp_path / "annotation.json").write_text(json.dumps(stored["yc_annotations"]))
    return {
        "split": "test",
        "test_path": str(tmp_path / "val.pkl"),
        "trainval_annotation": str(tmp_path / "annotation.json"),
        "vfeat_dir": put_features(tmp_path / "features", golden, "yc"),
    }


@pytest.mark.parametrize("use", [True, False])
def test_youcook_clips(use, stored, youcook):
    meta = YoucookMetaProcessor({**youcook, "use_annotation_text": use})
    items = [[list(meta[i][0]), meta[i][1]] for i in range(len(meta))]
    assert items == stored[f"yc_meta_use_annotation_{use}"]
    video = YoucookVideoProcessor(youcook)
    assert [len(video(meta[i][0])) for i in range(len(meta))] == stored["yc_clip_lens"]


def test_youcook_videos(stored, youcook):
    meta = YoucookFullVideoBGMetaProcessor({**youcook, "use_annotation_text": True})
    items = [meta[i] for i in range(len(meta))]
    assert [video_id for video_id, _ in items] == stored["ycbg"]["video_ids"]
    assert [text for _, texts in items for text in texts] == stored["ycbg"]["texts"]
    assert [len(texts) for _, texts in items] == stored["ycbg"]["text_lengths"]


def test_didemo_records(stored, golden, tmp_path):
    (tmp_path / "test.json").write_text(json.dumps(stored["dd_json"]))
    meta = DiDeMoMetaProcessor(
        {
            "split": "test",
            "test_path": str(tmp_path / "test.json"),
            "vfeat_dir": put_features(tmp_path / "features", golden, "dd"),
        }
    )
    expected = [
        (record["video"], (record["description"], [tuple(t) for t in record["times"]]))
        for record in stored["dd_json"]
    ]
    assert [meta[i] for i in range(len(meta))] == expected
