"""What is noticed in shards before a run begins, and what of it is an error."""

import os
import shutil

import numpy as np
import pytest

from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import DataError
from mmpt.io.pickles import load_pickle, save_pickle
from mmpt.processors import ShardedHow2MetaProcessor
from mmpt.processors.how2checks import check_times, check_words
from mmpt.utils.shardedtensor import ShardedTensor

TEXT = "sentencified_htm_1200k.tinybert."
TIMES, CAPS = f"{TEXT}train_0.startends", f"{TEXT}train_0.caps_ids"


@pytest.fixture
def corpus(how2_config, golden_dir, tmp_path):
    """(folder, config, change(shard name, function of the list of its arrays))."""
    folder = tmp_path / "shards"
    shutil.copytree(golden_dir / "models_data/corpus/feat/feat_how2_s3d_shard_small", folder)

    def change(name, edit):
        entries = [entry.copy() for entry in ShardedTensor.load(folder / name)]
        ShardedTensor.from_list(edit(entries) or entries).save(folder / name)

    return folder, how2_config(vfeat_dir=str(folder), tfeat_dir=f"{folder}/{TEXT}"), change


def set_time(video, caption, column, value):
    def edit(entries):
        entries[video][caption, column] = value

    return edit


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_times_that_are_not_finite_are_an_error(value, corpus, tmp_path):
    _, config, change = corpus
    change(TIMES, set_time(3, 1, 0, value))
    with pytest.raises(DataError) as caught:
        ShardedHow2MetaProcessor(config)
    message = str(caught.value)
    assert f"{TIMES}: NaN or inf in the caption times of 1 videos: trainVid_003-x" in message
    assert "leave them out of" in message
    # what the message says to do helps
    listed = tmp_path / "own.lst"
    listed.write_text("trainVid_002-x\ntrainVid_004-x\n")
    config.train_path = str(listed)
    assert len(ShardedHow2MetaProcessor(config)) == 2


def test_oddities_of_real_narration_are_counted_and_used(corpus, caplog):
    _, config, change = corpus

    def edit(entries):
        entries[0][0] = 3.0, 1.0  # ends before it begins
        entries[1][1, 0] = entries[1][0, 0] - 1.0  # begins before the one before it
        entries[2][-1] = 900.0, 901.0  # behind the end of the video

    change(TIMES, edit)
    data = MMDataset.from_config(config)
    assert len(data.meta_processor.data) == 16
    lines = [record.getMessage() for record in caplog.records if "used as they are" in record.msg]
    total = sum(
        len(entry)
        for shard in (0, 1)
        for entry in ShardedTensor.load(f"{config.tfeat_dir}train_{shard}.startends")
    )
    assert len(lines) == 1
    assert f"of {total} captions 1 end before they begin, " in lines[0]
    for index in range(len(data)):
        assert data[index]["vfeats"].isfinite().all()


@pytest.mark.parametrize("shift", [1000.0, -1000.0])
def test_a_video_whose_captions_are_all_outside_is_left_out(shift, corpus, caplog):
    _, config, change = corpus

    def edit(entries):
        entries[5] += shift

    change(TIMES, edit)
    meta = ShardedHow2MetaProcessor(config)
    assert len(meta) == 15
    assert "trainVid_005-x" not in meta.data
    assert "1 videos left out: all captions lie outside the video" in caplog.text


@pytest.mark.parametrize("wrong", [lambda e: e * 1000 + 999, lambda e: e * 0 - 5])
def test_times_that_mean_nothing_leave_no_video(wrong, corpus):
    _, config, change = corpus
    for shard in (0, 1):
        change(f"{TEXT}train_{shard}.startends", lambda entries: [wrong(e) for e in entries])
    with pytest.raises(DataError, match="none of its 16 ids is a video with captions"):
        ShardedHow2MetaProcessor(config)


def test_what_is_counted():
    times = [[0, 2], [1, 3], [0.5, 0.2], [9, 10], [np.nan, 1], [30, 40], [31, 41], [-3, 0], [-2, 1]]
    times, counts, seconds = np.array(times), np.array([4, 1, 0, 2, 2]), np.array([9, 9, 9, 20, 9])
    damaged, outside, odd = check_times(times, counts, seconds, np.ones(5, bool))
    assert damaged.tolist() == [1]
    assert outside.tolist() == [False, False, False, True, False]  # one word of the last is inside
    assert odd == (9, 1, 1, 3, 2)
    listed = np.array([True, False, True, False, False])
    damaged, outside, odd = check_times(times, counts, seconds, listed)
    assert (damaged.tolist(), outside.any(), odd) == ([], False, (4, 1, 1, 1, 0))
    times[-1] = -2, -1
    assert check_times(times, counts, seconds, np.ones(5, bool))[1].tolist()[-1]


def test_videos_without_a_word_are_left_out(corpus, caplog):
    _, config, change = corpus

    def edit(entries):
        entries[2][:] = -1
        entries[4][:-1] = -1
        entries[6][:, 0] = -1  # no tool writes that, yet there are words

    change(CAPS, edit)
    meta = ShardedHow2MetaProcessor(config)
    assert len(meta) == 15 and "trainVid_002-x" not in meta.data
    assert [r.levelname for r in caplog.records if "without a token" in r.getMessage()] == ["INFO"]
    assert "1 videos left out: all captions are without a token" in caplog.text
    for shard in (0, 1):
        change(f"{TEXT}train_{shard}.caps_ids", lambda entries: [0 * e - 1 for e in entries])
    with pytest.raises(DataError, match="none of its 16 ids is a video with captions"):
        ShardedHow2MetaProcessor(config)
    last = [r for r in caplog.records if "without a token (of 16)" in r.getMessage()][-1]
    assert last.levelname == "WARNING" and ": 16 videos left out" in last.getMessage()


def test_words_are_looked_for_in_listed_videos_alone():
    captions = [np.array([[5, -1]]), np.zeros((0, 2), int), np.array([[-1, -1]] * 2)] * 2
    shard = ShardedTensor.from_list(captions)
    found = check_words(shard, np.array([True, True, True, False, False, False]))
    assert found.tolist() == [False, False, True, False, False, False]


def test_text_shards_of_another_bert_name_both_keys(corpus):
    folder, config, _ = corpus
    for name, there in (("other", f"{TEXT}"), ("nowhere/other", "no such shards")):
        config.tfeat_dir = f"{folder}/{name}."
        with pytest.raises(DataError) as caught:
            ShardedHow2MetaProcessor(config)
        message = str(caught.value)
        assert f"{folder}/{name}.train_0.startends_starts.npy is missing" in message
        assert "dataset.tfeat_dir" in message and "dataset.bert_name" in message
        assert message.endswith(f"{(folder / name).parent} holds {there}")


def test_a_pipe_in_place_of_a_shard(corpus):
    folder, config, _ = corpus
    path = folder / "train_0_data.npy"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(
        DataError, match=r"shard .*train_0: .*train_0_data\.npy is a pipe, no \.npy"
    ):
        ShardedHow2MetaProcessor(config)


def test_captions_without_times(corpus):
    _, config, change = corpus

    def edit(entries):
        entries[4] = entries[4][:-1]

    change(TIMES, edit)
    with pytest.raises(DataError, match=r"1 videos have other numbers of times.*trainVid_004-x"):
        ShardedHow2MetaProcessor(config)


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        (CAPS, lambda e: e[:-1], r"caps_ids: 7 videos, meta lists 8; .*dataset\.tfeat_dir"),
        (TIMES, lambda e: e[:-1], r"startends: 7 videos, meta lists 8"),
        (TIMES, lambda e: [x[:, :1] for x in e], r"startends: float32 rows of shape \(1,\)"),
        (TIMES, lambda e: [x[:, 0] for x in e], r"startends: float32 rows of shape \(\)"),
        (CAPS, lambda e: [x[:, 0] for x in e], r"caps_ids: int32 rows of shape \(\); expected"),
        (CAPS, lambda e: [x.astype(np.float32) for x in e], r"caps_ids: float32 rows"),
        ("train_0", lambda e: [x.astype(np.int16) for x in e], r"train_0: dtype int16; allowed"),
        ("train_0", lambda e: [x[:, :64] for x in e], r"rows of shape \(64,\); .*vfeat_dim is 512"),
    ],
)
def test_shards_of_another_form(name, edit, message, corpus):
    _, config, change = corpus
    change(name, edit)
    with pytest.raises(DataError, match=message) as caught:
        ShardedHow2MetaProcessor(config)
    assert "\n" not in str(caught.value)


def test_token_ids_of_another_tokenizer_name_the_video(corpus):
    _, config, change = corpus

    def edit(entries):
        entries[6][:, 0] = 30_000

    change(CAPS, edit)
    data = MMDataset.from_config(config)
    index = data.meta_processor.data.index("trainVid_006-x") // config.num_video_per_batch
    with pytest.raises(DataError) as caught:
        data[index]
    assert "video trainVid_006-x: token id 30000 in its captions" in str(caught.value)
    assert "knows 183 ids" in str(caught.value)


def test_ids_that_are_listed_twice_count_once(how2_config, tmp_path, caplog):
    listed = tmp_path / "own.lst"
    listed.write_text("trainVid_003-x\ntrainVid_001-x\ntrainVid_003-x\n")
    meta = ShardedHow2MetaProcessor(how2_config(train_path=str(listed)))
    assert meta.data == ["trainVid_003-x", "trainVid_001-x"]
    assert "own.lst: 1 lines left out: their ids were listed before" in caplog.text


def test_a_video_twice_in_the_meta_file(corpus, caplog):
    folder, config, change = corpus
    meta = load_pickle(folder / "train_meta.pkl")
    meta[1][2] = meta[0][1]
    save_pickle(folder / "train_meta.pkl", meta)
    first = ShardedTensor.load(folder / "train_0")[1]

    def same_length(entries):
        entries[2] = first.copy()

    change("train_1", same_length)
    found = ShardedHow2MetaProcessor(config)
    assert "train_meta.pkl: lists 1 videos twice, with equal lengths" in caplog.text
    assert found.video_id_to_shard["trainVid_001-x"] == (1, 2)

    def longer(entries):
        entries[2] = np.concatenate([first, first])

    change("train_1", longer)
    with pytest.raises(DataError, match=r"video trainVid_001-x stands in it twice, with \d+ sec"):
        ShardedHow2MetaProcessor(config)


def test_a_meta_file_of_another_form(corpus):
    folder, config, _ = corpus
    for bad in ({0: ["a", 3]}, {"0": ["a"]}, {0: "abc"}):
        save_pickle(folder / "train_meta.pkl", bad)
        with pytest.raises(DataError, match=r"expected \{shard number: \[video ids\]\}"):
            ShardedHow2MetaProcessor(config)
