"""Lists, shards and groups of videos: what is left out, and what is refused."""

import json
import logging
import random
import shutil

import numpy as np
import pytest

from mmpt.config.access import lookup
from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import ConfigError, DataError
from mmpt.io.pickles import load_pickle, save_pickle
from mmpt.processors import (
    ALIGNERS,
    ROLES,
    ShardedHow2MetaProcessor,
    ShardedHow2VideoRetriMetaProcessor,
    ShardedTextProcessor,
    ShardedVideoProcessor,
    ShardedVideoRetriTextProcessor,
    ShardedVideoRetriVideoProcessor,
)
from mmpt.processors.how2retriprocessor import group_videos
from mmpt.utils.shardedtensor import ShardedTensor

TEXT = "sentencified_htm_1200k.tinybert."


@pytest.fixture
def own_corpus(how2_config, golden_dir, tmp_path):
    """(folder, config of a copy of the shards that a test may damage)."""
    folder = tmp_path / "shards"
    shutil.copytree(golden_dir / "models_data/corpus/feat/feat_how2_s3d_shard_small", folder)
    return folder, how2_config(vfeat_dir=str(folder), tfeat_dir=f"{folder}/{TEXT}")


def write_list(tmp_path, *ids):
    path = tmp_path / "own.lst"
    path.write_text("\n".join(ids) + "\n")
    return str(path)


def test_ids_in_no_shard_are_left_out_and_counted(how2_config, tmp_path, caplog):
    listed = write_list(tmp_path, "gone1", "trainVid_004-x", "", "gone2", "trainVid_001-x")
    meta = ShardedHow2MetaProcessor(how2_config(train_path=listed))
    assert meta.data == ["trainVid_004-x", "trainVid_001-x"]
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("mmpt.processors")]
    assert len(lines) == 1
    assert "2 videos left out: in no train shard" in lines[0]


def test_videos_without_captions_or_seconds_are_left_out(own_corpus, caplog):
    folder, config = own_corpus
    caps = ShardedTensor.load(folder / f"{TEXT}train_0.caps_ids")
    times = ShardedTensor.load(folder / f"{TEXT}train_0.startends")
    features = ShardedTensor.load(folder / "train_1")
    for shard, name in ((caps, "caps_ids"), (times, "startends")):
        kept = [entry if i != 3 else entry[:0] for i, entry in enumerate(shard)]
        ShardedTensor.from_list(kept).save(folder / f"{TEXT}train_0.{name}")
    kept = [entry if i != 0 else entry[:0] for i, entry in enumerate(features)]
    ShardedTensor.from_list(kept).save(folder / "train_1")
    meta = ShardedHow2MetaProcessor(config)
    assert len(meta) == 14
    assert not {"trainVid_003-x", "trainVid_008-x"} & set(meta.data)
    assert "2 videos left out: without a second or without a caption" in caplog.text


def test_no_video_left_is_an_error(how2_config, tmp_path):
    with pytest.raises(DataError, match=r"own\.lst: none of its 2 ids"):
        ShardedHow2MetaProcessor(how2_config(train_path=write_list(tmp_path, "a", "b")))


def test_valid_and_test_read_the_val_shards(how2_config):
    valid = ShardedHow2MetaProcessor(how2_config("valid"))
    assert valid[0][0] == ("valVid_000-x", 0, 0, 0)
    config = how2_config("test", test_path=how2_config().val_path)
    assert ShardedHow2MetaProcessor(config).data == valid.data
    np.testing.assert_array_equal(
        ShardedVideoProcessor(config)(valid[9][0]),
        ShardedVideoProcessor(how2_config("valid"))(valid[9][0]),
    )


def test_an_unset_split_means_training(how2_config):
    config = how2_config()
    del config["split"]
    meta = ShardedHow2MetaProcessor(config)
    assert (meta.split, meta.data[0]) == ("train", "trainVid_000-x")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"train_path": None}, ConfigError, "dataset.train_path is not set"),
        ({"train_path": "no.lst"}, DataError, "no.lst: no such file; dataset.train_path asks for"),
        ({"vfeat_dir": "nowhere"}, DataError, "nowhere: no such folder; dataset.vfeat_dir asks"),
        ({"vfeat_dir": None}, ConfigError, "dataset.vfeat_dir is not set"),
        (
            {"tfeat_dir": "nowhere/x."},
            DataError,
            "nowhere/x.train_0.startends_starts.npy is missing",
        ),
        ({"num_video_per_batch": 17}, DataError, "16 videos do not fill one batch"),
        ({"num_video_per_batch": 0}, ConfigError, "dataset.num_video_per_batch: got 0"),
        ({"num_video_per_batch": None}, ConfigError, "dataset.num_video_per_batch is not set"),
    ],
)
def test_bad_paths_and_settings(changes, error, message, how2_config):
    with pytest.raises(error) as caught:
        ShardedHow2VideoRetriMetaProcessor(how2_config(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_message_about_a_file_names_the_section_of_the_docs(how2_config):
    with pytest.raises(DataError, match=r"DATASET\.md, section 'HowTo100M'"):
        ShardedHow2MetaProcessor(how2_config(train_path="no.lst"))


def test_an_empty_list_is_refused(how2_config, tmp_path):
    with pytest.raises(DataError, match="the list is empty"):
        ShardedHow2MetaProcessor(how2_config(train_path=write_list(tmp_path, "", " ")))


def test_shards_of_another_list_are_refused(own_corpus):
    folder, config = own_corpus
    meta = load_pickle(folder / "train_meta.pkl")
    save_pickle(folder / "train_meta.pkl", {0: meta[0][:-1], 1: meta[1]})
    with pytest.raises(DataError, match=r"train_0: 8 videos, meta lists 7; .*dataset\.vfeat_dir"):
        ShardedHow2MetaProcessor(config)


def test_a_damaged_meta_file_is_refused(own_corpus):
    folder, config = own_corpus
    save_pickle(folder / "train_meta.pkl", ["a", "b"])
    with pytest.raises(DataError, match=r"train_meta\.pkl: expected \{shard number"):
        ShardedHow2MetaProcessor(config)
    (folder / "train_meta.pkl").unlink()
    with pytest.raises(DataError, match=r"train_meta\.pkl: no such file"):
        ShardedHow2MetaProcessor(config)


@pytest.mark.parametrize("name", ["train_1_data", f"{TEXT}train_0.caps_ids_data"])
def test_a_truncated_shard_ends_the_run_before_it_begins(name, own_corpus):
    folder, config = own_corpus
    path = folder / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError) as caught:
        ShardedHow2MetaProcessor(config)
    assert str(path) in str(caught.value)


def test_features_of_another_width_are_refused(how2_config):
    config = how2_config(vfeat_dim=256)
    with pytest.raises(DataError, match=r"train_0: rows of shape \(512,\).*vfeat_dim is 256"):
        ShardedVideoProcessor(config)(("v", 0, 0, 0))


def test_a_position_behind_the_shard_is_refused(how2_config):
    with pytest.raises(DataError, match="has 8 videos, position 8"):
        ShardedVideoProcessor(how2_config())(("v", 0, 0, 8))


def test_text_shards_that_do_not_fit_each_other(own_corpus):
    folder, config = own_corpus
    times = ShardedTensor.load(folder / f"{TEXT}train_0.startends")
    ShardedTensor.from_list([entry[:-1] for entry in times]).save(
        folder / f"{TEXT}train_0.startends"
    )
    with pytest.raises(DataError, match="do not fit caps_ids"):
        ShardedTextProcessor(config)(("v", 0, 0, 0))


def test_lists_of_videos_are_read_one_by_one(how2_config):
    config = how2_config()
    metas, _ = ShardedHow2VideoRetriMetaProcessor(config)[3]
    assert [meta[:2] for meta in metas] == [("trainVid_006-x", -1), ("trainVid_007-x", -1)]
    videos = ShardedVideoRetriVideoProcessor(config)(metas)
    texts = ShardedVideoRetriTextProcessor(config)(metas)
    for meta, video, text in zip(metas, videos, texts, strict=True):
        np.testing.assert_array_equal(video, ShardedVideoProcessor(config)(meta))
        assert text["start"] == ShardedTextProcessor(config)(meta)["start"]


# ---- groups -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("videos", "size", "multiple", "groups"),
    [
        (16, 2, 8, 8),
        (31, 2, 8, 8),
        (16, 2, 1, 8),
        (17, 2, 1, 8),
        (16, 2, 3, 6),
        (16, 3, 2, 4),
        (4, 2, 8, 2),
        (2, 2, 8, 1),
    ],
)
def test_groups_are_shared_evenly_by_the_processes(videos, size, multiple, groups):
    ids = [str(i) for i in range(videos)]
    cut = group_videos(ids, size, multiple)
    assert len(cut) == groups
    assert all(len(group) == size for group in cut)
    assert [i for group in cut for i in group] == ids[: groups * size]


def test_the_number_of_processes_decides(how2_config, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    meta = ShardedHow2VideoRetriMetaProcessor(how2_config())
    assert len(meta) == 6
    meta.random_candidates(seed=1, epoch=1)
    assert len(meta) == 6


def test_random_groups_depend_on_seed_and_epoch_alone(how2_config):
    first = ShardedHow2VideoRetriMetaProcessor(how2_config())
    again = ShardedHow2VideoRetriMetaProcessor(how2_config())
    state = random.getstate()
    seen = []
    for epoch in (1, 2, 3):
        first.random_candidates(seed=5, epoch=epoch)
        seen.append(first.cands)
        assert sorted(i for group in first.cands for i in group) == sorted(first.data)
    again.random_candidates(seed=5, epoch=3)
    assert again.cands == seen[2]
    again.random_candidates(seed=6, epoch=3)
    assert again.cands != seen[2]
    assert seen[0] != seen[1] != seen[2] != seen[0]
    assert random.getstate() == state


def test_groups_made_elsewhere(how2_config):
    meta = ShardedHow2VideoRetriMetaProcessor(how2_config())
    meta.set_candidates([["trainVid_009-x", "trainVid_000-x", "trainVid_001-x"]])
    assert len(meta) == 1
    assert [entry[0] for entry in meta[0][0]] == meta.cands[0]
    for bad, message in (
        ([], "at least one group"),
        ([["trainVid_009-x"], []], "no empty group"),
        ([["trainVid_009-x", "valVid_000-x"]], "1 ids are not of the train split: valVid_000-x"),
    ):
        with pytest.raises(DataError, match=message):
            meta.set_candidates(bad)
    assert len(meta) == 1


# ---- registries -------------------------------------------------------------------------------


def test_names_of_a_job_file_are_known():
    for role, name in (
        ("meta_processor", "ShardedHow2VideoRetriMetaProcessor"),
        ("video_processor", "VideoProcessor"),
        ("text_processor", "MSRVTTTextProcessor"),
        ("aligner", "DSAligner"),
    ):
        assert lookup(ROLES[role], name, f"dataset.{role}").__name__ == name
    with pytest.raises(ConfigError, match=r"did you mean OverlappedAligner\?"):
        lookup(ALIGNERS, "OverlapedAligner", "dataset.aligner")


def test_logging_is_for_rank_0(how2_config, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    listed = write_list(tmp_path, "gone", "trainVid_004-x")
    with caplog.at_level(logging.INFO):
        ShardedHow2MetaProcessor(how2_config(train_path=listed))
    assert "left out" not in caplog.text


def test_sidecars_of_rewritten_shards_are_read(own_corpus):
    folder, config = own_corpus
    ShardedTensor.load(folder / "train_0").save(folder / "train_0")
    assert json.loads((folder / "train_0.json").read_text())["width"] == 512
    assert len(ShardedHow2MetaProcessor(config)) == 16


def test_nan_in_a_shard_names_the_video(own_corpus):
    folder, config = own_corpus
    shard = ShardedTensor.load(folder / "train_0")
    data = shard.data.copy()
    data[shard.starts[3] : shard.starts[4]] = np.nan
    ShardedTensor(data, shard.starts).save(folder / "train_0")
    dataset = MMDataset.from_config(config)
    video_id = dataset.meta_processor.data[3]
    with pytest.raises(DataError, match=rf"{video_id}.*NaN or inf"):
        [dataset[i] for i in range(len(dataset))]


def test_shards_of_another_width_are_refused_at_once(own_corpus):
    _, config = own_corpus
    config.vfeat_dim = 96
    with pytest.raises(DataError, match=r"rows of shape \(512,\); dataset.vfeat_dim is 96"):
        ShardedHow2MetaProcessor(config)
