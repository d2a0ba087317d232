"""The package's own readers take the demo corpus for the real thing."""

import json

import numpy as np
import pytest

from mmpt.datasets.mmdataset import MMDataset
from mmpt.processors import ALIGNERS, META_PROCESSORS, TEXT_PROCESSORS, VIDEO_PROCESSORS


def read_with(config, meta, video, text, aligner):
    return MMDataset(
        META_PROCESSORS[meta](config),
        VIDEO_PROCESSORS[video](config),
        TEXT_PROCESSORS[text](config),
        ALIGNERS[aligner](config),
    )


def test_pretraining_items(corpus):
    shards = corpus / "feat/feat_how2_s3d_shard_small"
    config = {
        "split": "train",
        "train_path": str(corpus / "how2/how2_s3d_train.lst"),
        "val_path": str(corpus / "how2/how2_s3d_val.lst"),
        "vfeat_dir": str(shards),
        "tfeat_dir": f"{shards}/sentencified_htm_1200k.tinybert.",
        "bert_name": str(corpus / "tinybert"),
        "max_video_len": 16,
        "max_len": 48,
        "sampled_min_len": 8,
        "sampled_max_len": 32,
        "sampled_video_min_len": 3,
        "sampled_video_max_len": 16,
        "num_video_per_batch": 4,
        "clip_per_video": 8,
    }
    dataset = read_with(
        config,
        "ShardedHow2VideoRetriMetaProcessor",
        "ShardedVideoRetriVideoProcessor",
        "ShardedVideoRetriTextProcessor",
        "VideoRetriOverlappedAligner",
    )
    assert len(dataset) == 10
    item = dataset[7]
    assert item["vfeats"].shape == (4, 8, 16, 512)
    assert item["caps"].shape == (4, 8, 32)
    assert item["vmasks"].any(dim=-1).all()
    listed = (corpus / "how2/how2_s3d_train.lst").read_text().split()
    assert set(item["video_id"]) <= set(listed)
    durations = item["video_end"] - item["video_start"]
    assert durations.min() >= 3
    assert durations.max() <= 16


@pytest.mark.parametrize("split", ["train", "test"])
def test_msrvtt_items(corpus, truth, split):
    folder = corpus / "msrvtt"
    config = {
        "split": split,
        "train_path": str(folder / "MSRVTT_train.9k.csv"),
        "test_path": str(folder / "MSRVTT_JSFUSION_test.csv"),
        "jsfusion_path": str(folder / "MSRVTT_JSFUSION_test.csv"),
        "json_path": str(folder / "MSRVTT_data.json"),
        "vfeat_dir": str(folder / "msrvtt_feature_fps30_512"),
        "bert_name": str(corpus / "tinybert"),
        "max_video_len": 32,
        "max_len": 96,
    }
    dataset = read_with(
        config, "MSRVTTMetaProcessor", "VideoProcessor", "MSRVTTTextProcessor", "DSAligner"
    )
    videos = list(truth["msrvtt"][split])
    assert len(dataset) == len(videos)
    vocabulary = (corpus / "tinybert/vocab.txt").read_text().splitlines()
    steps = truth["steps"]
    for index, video_id in enumerate(videos):
        item = dataset[index]
        assert item["video_id"] == video_id
        assert int(item["vmasks"].sum()) == truth["msrvtt"][split][video_id]["seconds"]
        read = {vocabulary[i] for i in item["caps"][item["cmasks"]].tolist()}
        for _, _, step in truth["msrvtt"][split][video_id]["segments"]:
            assert step < 0 or {steps[step]["verb"], steps[step]["object"]} <= read


def test_alignment_items(corpus, truth):
    config = {
        "split": "test",
        "anno_path": str(corpus / "how2-align/htm_align.json"),
        "vfeat_dir": str(corpus / "how2-align"),
        "bert_name": str(corpus / "tinybert"),
        "max_video_len": 32,
        "max_len": 96,
    }
    names = ("HTMAlignMetaProcessor", "VideoProcessor", "HTMAlignTextProcessor", "HTMAlignAligner")
    dataset = read_with(config, *names)
    assert len(dataset) == len(truth["htm_align"])
    for index, video_id in enumerate(sorted(truth["htm_align"])):
        item, video = dataset[index], truth["htm_align"][video_id]
        assert item["video_id"] == video_id
        assert len(item["vfeats"]) == video["seconds"]
        assert len(item["caps"]) == len(item["texts"]) == len(video["sentences"])


def test_public_readers_need_no_code_of_ours(corpus):
    """Plain numpy, json and csv are enough, without pickled objects inside arrays."""
    for path in corpus.rglob("*.npy"):
        assert np.load(path, allow_pickle=False).size
    for path in corpus.rglob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))
