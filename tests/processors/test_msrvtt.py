"""MSR-VTT tables and captions, and per-video feature files."""

import json
import os

import numpy as np
import pytest

from mmpt.errors import ConfigError, DataError
from mmpt.processors import MSRVTTMetaProcessor, MSRVTTTextProcessor, VideoProcessor
from mmpt.utils.seeds import set_seed


@pytest.fixture
def stored(golden_dir):
    return json.loads((golden_dir / "models_data/predictors.json").read_text())


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_training_texts_equal_the_stored_ones(stored, tmp_path, tinybert):
    facts = stored["vtt_train"]
    captions = tmp_path / "data.json"
    captions.write_text(json.dumps(facts["json"]))
    config = {
        "split": "train",
        "train_path": write(tmp_path / "train.csv", "video_id", "video0", "video1", "video2"),
        "json_path": str(captions),
        "bert_name": str(tinybert),
        "dup": 2,
    }
    meta, text = MSRVTTMetaProcessor(config), MSRVTTTextProcessor(config)
    assert len(meta) == facts["n"]
    assert [list(meta[i]) for i in range(len(meta))] == facts["items"]
    set_seed(facts["seed"])
    assert [text(meta[i][1]) for i in range(len(meta))] == facts["tokens"]


def test_test_table_equals_the_stored_one(stored, tmp_path, tinybert):
    config = {
        "split": "test",
        "test_path": write(tmp_path / "test.csv", *stored["vtt_csv"]),
        "bert_name": str(tinybert),
    }
    meta, text = MSRVTTMetaProcessor(config), MSRVTTTextProcessor(config)
    pairs = [meta[i] for i in range(len(meta))]
    assert [pair[0] for pair in pairs] == stored["vtt"]["video_ids"]
    assert [pair[1] for pair in pairs] == stored["vtt"]["texts"]
    tokenizer = text.tokenizer
    assert tokenizer.decode(text(pairs[0][1])) == pairs[0][1]


def test_videos_of_the_full_test_table_join_before_the_table_is_repeated(tmp_path):
    config = {
        "train_path": write(tmp_path / "train.csv", "video_id", "video0", "video1"),
        "full_test_path": write(tmp_path / "full.csv", "k,video_id", "a,video7", "b,video8"),
        "jsfusion_path": write(tmp_path / "test.csv", "video_id,sentence", "video8,a dog"),
        "dup": 2,
    }
    meta = MSRVTTMetaProcessor(config)
    assert [meta[i][0] for i in range(len(meta))] == ["video0", "video1", "video7"] * 2
    with pytest.raises(ConfigError, match=r"without dataset\.jsfusion_path"):
        MSRVTTMetaProcessor({**config, "jsfusion_path": None})


def test_validation_does_not_repeat_the_table(tmp_path):
    path = write(tmp_path / "test.csv", "video_id,sentence", 'video8,"a dog, running"')
    meta = MSRVTTMetaProcessor({"split": "valid", "val_path": path, "dup": 20})
    assert [meta[0], len(meta)] == [("video8", "a dog, running"), 1]


def test_missing_features_are_counted_before_the_evaluation(tmp_path):
    rows = [f"video{i},text {i}" for i in range(6)]
    path = write(tmp_path / "test.csv", "video_id,sentence", *rows)
    features = tmp_path / "features"
    features.mkdir()
    np.save(features / "video2.npy", np.zeros((3, 512), np.float16))
    config = {"split": "test", "test_path": path, "vfeat_dir": str(features)}
    with pytest.raises(DataError) as caught:
        MSRVTTMetaProcessor(config)
    assert "5 of the 6 videos" in str(caught.value)
    assert "video0, video1, video3, …" in str(caught.value)
    for i in range(6):
        np.save(features / f"video{i}.npy", np.zeros((3, 512), np.float16))
    assert len(MSRVTTMetaProcessor(config)) == 6


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["key,sentence", "a,b"], "no column 'video_id'; it has key, sentence"),
        (["video_id", "v1"], "no column 'sentence'; it has video_id"),
        (["video_id,sentence"], "the table has no row"),
        (["video_id,sentence", "v1,one", "v2,"], "row 1 has no sentence"),
        (["video_id,sentence", "v1,one", "v2"], "row 1 has no sentence"),
        (["video_id,sentence", 'v1,"one', "v2,two"], "not a CSV table (unexpected end of data)"),
        (["video_id,sentence", "v1,o\0ne", "v2,two"], "row 0 has a NUL byte in its sentence"),
        (
            ["video_id,sentence", "v1,one", "v2,two, three"],
            "row 1 has more values than the 2 columns; a comma inside a value needs quotes around "
            "it",
        ),
        (
            ["video_id,sentence", "v1,one", "v2,two", "v1,three", "v2,two"],
            "2 videos stand in it more than once: v1, v2; a test table has one row a video",
        ),
    ],
)
def test_bad_tables(lines, message, tmp_path):
    path = write(tmp_path / "test.csv", *lines)
    with pytest.raises(DataError) as caught:
        MSRVTTMetaProcessor({"split": "test", "test_path": path})
    assert str(caught.value) == f"{path}: {message}"


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = write(tmp_path / "test.csv", "\ufeffvideo_id,sentence", "v1,one")
    assert MSRVTTMetaProcessor({"split": "test", "test_path": path}).data == [("v1", "one")]


def test_a_training_table_may_repeat_a_video(tmp_path):
    path = write(tmp_path / "train.csv", "video_id", "v1", "v1")
    assert len(MSRVTTMetaProcessor({"train_path": path})) == 2


def test_training_captions_that_cannot_be_had(tmp_path, tinybert):
    config = {"bert_name": str(tinybert), "split": "train"}
    with pytest.raises(ConfigError, match=r"dataset\.json_path is not set"):
        MSRVTTTextProcessor(config)
    with pytest.raises(DataError, match=r"no such file; dataset\.json_path .*'MSR-VTT'"):
        MSRVTTTextProcessor({**config, "json_path": str(tmp_path / "no.json")})
    for content, message in (("{", "not a JSON file"), ('{"videos": []}', '"sentences"')):
        path = write(tmp_path / "bad.json", content)
        with pytest.raises(DataError, match=message):
            MSRVTTTextProcessor({**config, "json_path": path})
    path = write(tmp_path / "ok.json", '{"sentences": []}')
    with pytest.raises(DataError, match="no caption for video video9"):
        MSRVTTTextProcessor({**config, "json_path": path})("video9")


# ---- per-video features -----------------------------------------------------------------------


def good():
    return np.arange(8, dtype=np.float16).reshape(4, 2)


def with_nan():
    features = good()
    features[2, 1] = np.nan
    return features


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((4, 3), np.float16), "shape (4, 3); expected [seconds, 2] (dataset.vfeat_dim)"),
        (np.zeros(4, np.float16), "shape (4,); expected [seconds, 2]"),
        (np.zeros((0, 2), np.float16), "the video has no second"),
        (np.zeros((4, 2), np.int64), "dtype int64; allowed: float16, float32"),
        (with_nan(), "NaN or inf in 1 of 4 seconds"),
        (np.full((4, 2), np.inf, np.float32), "NaN or inf in 4 of 4 seconds"),
    ],
)
def test_bad_feature_files_are_named(features, message, tmp_path):
    np.save(tmp_path / "v1.npy", features)
    with pytest.raises(DataError) as caught:
        VideoProcessor({"vfeat_dir": str(tmp_path), "vfeat_dim": 2})("v1")
    assert message in str(caught.value)
    assert str(tmp_path / "v1.npy") in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_features_come_as_stored(dtype, tmp_path):
    np.save(tmp_path / "v1.npy", good().astype(dtype))
    features = VideoProcessor({"vfeat_dir": str(tmp_path), "vfeat_dim": 2})("v1")
    assert features.dtype == dtype
    np.testing.assert_array_equal(features, good())


def test_missing_truncated_and_pickled_feature_files(tmp_path):
    video = VideoProcessor({"vfeat_dir": str(tmp_path), "vfeat_dim": 2})
    with pytest.raises(DataError, match=r"v1\.npy: no such file \(features of video v1\)"):
        video("v1")
    np.save(tmp_path / "v1.npy", good())
    (tmp_path / "v1.npy").write_bytes((tmp_path / "v1.npy").read_bytes()[:-3])
    with pytest.raises(DataError, match=r"v1\.npy: truncated or no \.npy file"):
        video("v1")
    np.save(tmp_path / "v2.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"v2\.npy"):
        video("v2")


def put_archive(path):
    with path.open("wb") as file:
        np.savez(file, features=good())


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (lambda path: path.mkdir(), "a folder in place of the features of video v1"),
        (os.mkfifo, "a pipe in place of the features of video v1"),
        (put_archive, "an archive of arrays (.npz); one array is expected (.npy)"),
        (
            lambda path: np.save(path, np.where(np.eye(4, 2) > 0, 1e60, 1.0)),
            "too large for float32 in 2 of 4 seconds, first at 0",
        ),
    ],
)
def test_what_is_no_feature_file(put, message, tmp_path):
    put(tmp_path / "v1.npy")
    with pytest.raises(DataError) as caught:
        VideoProcessor({"vfeat_dir": str(tmp_path), "vfeat_dim": 2})("v1")
    assert str(caught.value) == f"{tmp_path / 'v1.npy'}: {message}"


@pytest.mark.parametrize(
    ("path", "found"), [("folder", "a folder"), ("pipe", "a pipe"), ("dangling", "no such file")]
)
def test_what_is_no_table(path, found, tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(DataError) as caught:
        MSRVTTMetaProcessor({"split": "test", "test_path": str(tmp_path / path)})
    assert f"{tmp_path / path}: {found}" in str(caught.value)
    assert "dataset.test_path asks for it" in str(caught.value)


def test_a_file_is_no_folder(tmp_path):
    path = write(tmp_path / "test.csv", "video_id,sentence", "v1,one")
    with pytest.raises(
        DataError, match=r"test\.csv: a file, where a folder is needed; dataset.vfea"
    ):
        VideoProcessor({"vfeat_dir": path})


def test_the_usual_width_is_that_of_s3d(tmp_path):
    np.save(tmp_path / "v1.npy", np.zeros((1, 512), np.float16))
    assert VideoProcessor({"vfeat_dir": str(tmp_path)})("v1").shape == (1, 512)
