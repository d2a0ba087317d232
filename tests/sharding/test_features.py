"""Feature files -> shards: which videos, which bytes, and what a second run does."""

import json
import logging
import os

import numpy as np
import pytest

import mmpt.sharding.features as module
from mmpt.errors import DataError
from mmpt.io.pickles import load_pickle
from mmpt.sharding.features import FeatureSettings, clear_feature_left_overs, shard_split
from mmpt.sharding.reports import Skipped, read_skipped, report_skipped, write_skipped
from mmpt.sharding.writer import write_shard
from mmpt.utils.shardedtensor import ShardedTensor, verify_shard
from mmpt.utils.shardids import ids_hash


@pytest.fixture
def place(tmp_path):
    """`place({"a": 3, "b": 2}, **settings)`: feature files of so many seconds, [seconds, 4]."""
    folder = tmp_path / "features"
    folder.mkdir()

    def make(videos, **changes):
        rng = np.random.default_rng(0)
        for video_id, seconds in videos.items():
            np.save(folder / f"{video_id}.npy", rng.normal(size=(seconds, 4)).astype(np.float16))
        (tmp_path / "own.lst").write_text("\n".join(videos) + "\n")
        settings = {"shard_size": 2, "width": 4, "dtype": "float16", **changes}
        return FeatureSettings(folder, tmp_path / "shards", **settings)

    return make


def shard(settings, split="train"):
    return shard_split(settings, split, settings.vfeat_dir.parent / "own.lst")


def features_of(settings, video_id):
    return settings.vfeat_dir / f"{video_id}.npy"


def times(settings):
    return {p.name: p.stat().st_mtime_ns for p in settings.target_dir.glob("*_data.npy")}


def test_the_golden_shards_come_out_byte_for_byte(corpus):
    settings = FeatureSettings(corpus.vfeat_dir, corpus.target, 8, 512)
    for split in ("train", "val"):
        report = shard_split(settings, split, corpus.list_of(split))
        assert (report.listed, report.videos, report.shards, report.skipped) == (16, 16, 2, [])
        meta = load_pickle(corpus.target / f"{split}_meta.pkl")
        assert meta == load_pickle(corpus.golden / f"{split}_meta.pkl")
        for number in (0, 1):
            for part in ("data", "starts"):
                name = f"{split}_{number}_{part}.npy"
                assert (corpus.target / name).read_bytes() == (corpus.golden / name).read_bytes()
            assert verify_shard(corpus.target / f"{split}_{number}")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_files_are_those_of_from_list(dtype, place, tmp_path):
    settings = place({"a": 3, "b": 1, "c": 5}, dtype=dtype, shard_size=3)
    np.save(features_of(settings, "b"), np.ones((2, 4), np.float64))
    shard(settings)
    arrays = [np.load(features_of(settings, i)).astype(dtype) for i in "abc"]
    ShardedTensor.from_list(arrays).save(tmp_path / "expected")
    for end in ("_data.npy", "_starts.npy"):
        expected = (tmp_path / f"expected{end}").read_bytes()
        assert (settings.target_dir / f"train_0{end}").read_bytes() == expected
    expected = json.loads((tmp_path / "expected.json").read_text())
    sidecar = json.loads((settings.target_dir / "train_0.json").read_text())
    assert sidecar == {**expected, "ids_sha256": ids_hash(["a", "b", "c"])}


def test_broken_videos_are_left_out_and_listed(place, caplog):
    settings = place(dict.fromkeys("abcdefgh", 3))
    (settings.vfeat_dir.parent / "own.lst").write_text("a\nb\na\n\nc\nd\ne\nf\ng\nh\ngone\n")
    features_of(settings, "b").write_bytes(features_of(settings, "b").read_bytes()[:-1])
    np.save(features_of(settings, "c"), np.full((2, 4), np.nan, np.float16))
    np.save(features_of(settings, "d"), np.ones((2, 3), np.float16))
    np.save(features_of(settings, "f"), np.ones(4, np.float16))
    report = shard(settings)
    meta = load_pickle(settings.target_dir / "train_meta.pkl")
    # pieces ab, cd, ef, gh, gone: those without a usable video have no shard
    assert meta == {0: ["a"], 2: ["e"], 3: ["g", "h"]}
    assert (report.listed, report.twice, report.videos, report.seconds) == (9, 1, 4, 12)
    reasons = {each.id: each.reason for each in report.skipped}
    assert list(reasons) == ["b", "c", "d", "f", "gone"]
    assert reasons["c"] == "NaN or inf"
    assert reasons["d"] == "width 3; 4 is needed"
    assert reasons["gone"] == "no such file or directory"
    assert not list(settings.target_dir.glob("train_1*"))
    for number in meta:
        assert verify_shard(settings.target_dir / f"train_{number}")
    write_skipped(settings.target_dir, [report])
    lines = (settings.target_dir / "skipped.jsonl").read_text().splitlines()
    assert json.loads(lines[1]) == {"split": "train", "id": "c", "reason": "NaN or inf"}
    report_skipped(settings.target_dir, settings.width, [report])
    assert "5 videos skipped: b, c, d, …; reasons in" in caplog.text
    assert "1 of them have another width than 4; --vfeat_dim says which" in caplog.text
    assert "width 4: set dataset.vfeat_dim: 4 in the job files" in caplog.text


def test_skipped_videos_of_the_other_list_stay_listed(place):
    settings = place({"a": 3})
    settings.target_dir.mkdir()
    train, val = (shard(settings, split) for split in ("train", "val"))
    lost = [Skipped("val", "ü\u2028", "NaN or inf")]
    write_skipped(settings.target_dir, [train, val._replace(skipped=lost)])
    write_skipped(settings.target_dir, [train._replace(skipped=[Skipped("train", "x", "?")])])
    assert [each.split for each in read_skipped(settings.target_dir)] == ["val", "train"]
    write_skipped(settings.target_dir, [train, val])
    assert read_skipped(settings.target_dir) == []
    (settings.target_dir / "skipped.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"skipped\.jsonl: not a list of skipped videos"):
        read_skipped(settings.target_dir)


def test_a_second_run_makes_only_what_changed(place):
    settings = place(dict.fromkeys("abcdef", 3))
    np.save(features_of(settings, "d"), np.ones((0, 4), np.float16))
    first, before = shard(settings), times(settings)
    again = shard(settings)
    assert again == first._replace(kept=3)
    assert times(settings) == before
    np.save(features_of(settings, "d"), np.ones((2, 4), np.float16))
    mended = shard(settings)
    assert (mended.kept, mended.videos, mended.skipped) == (2, 6, [])
    after = times(settings)
    assert [name for name in before if before[name] != after[name]] == ["train_1_data.npy"]
    (settings.target_dir / "train_2_starts.npy").unlink()
    assert shard(settings).kept == 2
    (settings.target_dir / "train_0_data.npy").write_bytes(b"")
    assert shard(settings).kept == 2
    np.testing.assert_array_equal(
        ShardedTensor.load(settings.target_dir / "train_0")[1], np.load(features_of(settings, "b"))
    )
    assert shard(place(dict.fromkeys("abcdef", 3), dtype="float32")).kept == 0


def test_a_shard_that_lost_all_its_videos_goes(place):
    settings = place(dict.fromkeys("abcd", 3))
    shard(settings)
    for video_id in "cd":
        features_of(settings, video_id).unlink()
    assert shard(settings).shards == 1
    assert not list(settings.target_dir.glob("train_1*"))
    assert load_pickle(settings.target_dir / "train_meta.pkl") == {0: ["a", "b"]}


@pytest.mark.parametrize("number", range(1, 10))
def test_a_run_that_is_stopped_anywhere_goes_on_with_the_same_bytes(place, number, monkeypatch):
    settings = place(dict.fromkeys("abcdef", 3))
    shard(settings)
    for video_id in "af":
        np.save(features_of(settings, video_id), np.ones((2, 4), np.float16))
    real, calls = os.replace, []

    def stop(source, target):
        calls.append(target)
        if len(calls) == number:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        shard(settings)
    monkeypatch.setattr(os, "replace", real)
    # rather no meta file than one that does not tell of these shards
    assert not (settings.target_dir / "train_meta.pkl").exists()
    shard(settings)
    meta = load_pickle(settings.target_dir / "train_meta.pkl")
    for shard_number, ids in meta.items():
        assert verify_shard(settings.target_dir / f"train_{shard_number}")
        stored = ShardedTensor.load(settings.target_dir / f"train_{shard_number}")
        for video_id, rows in zip(ids, stored, strict=True):
            np.testing.assert_array_equal(rows, np.load(features_of(settings, video_id)))


def test_every_file_is_opened_once(place, monkeypatch):
    settings = place(dict.fromkeys("abcd", 3))
    opened = []

    class Counted(module.FeatureFile):
        def __init__(self, path, width=None):
            opened.append(os.path.basename(path))
            super().__init__(path, width)

    monkeypatch.setattr(module, "FeatureFile", Counted)
    shard(settings)
    assert opened == ["a.npy", "b.npy", "c.npy", "d.npy"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "own.lst: no such file; a list of video ids, one a line, is needed"),
        ("\n", "own.lst: the list is empty"),
        ("x\ny\n", "own.lst: none of its 2 videos has usable features in"),
    ],
)
def test_lists_that_give_no_shard(content, message, place, caplog):
    settings = place({"a": 3})
    path = settings.vfeat_dir.parent / "own.lst"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError) as caught:
        shard(settings)
    assert message in str(caught.value)
    assert not any(record.levelno > logging.INFO for record in caplog.records)


def test_odd_ids(place):
    ids = ["-leading", "a.b.c", "ünïcode", "with space", "nested/x"]
    settings = place({})
    (settings.vfeat_dir / "nested").mkdir()
    settings = place(dict.fromkeys(ids, 2), shard_size=9)
    assert shard(settings).videos == 5
    assert load_pickle(settings.target_dir / "train_meta.pkl") == {0: ids}


def test_shards_beyond_the_last_one_are_removed_where_they_are_ours(place):
    settings = place(dict.fromkeys("abcdefgh", 3))
    shard(settings)
    target = settings.target_dir
    ShardedTensor.load(target / "train_2").save(target / "train_2")  # somebody else's by now
    ShardedTensor.load(target / "train_0").save(target / "val_9")
    larger = place(dict.fromkeys("abcdefgh", 3), shard_size=4)
    shard(larger)
    names = sorted(path.name.removesuffix("_data.npy") for path in target.glob("*_data.npy"))
    assert names == ["train_0", "train_1", "train_2", "val_9"]
    assert not (target / "train_3.json").exists()
    assert sorted(p.stem for p in (target / ".sharding").iterdir()) == [
        "train_0", "train_1", "train_2"
    ]  # fmt: skip


def test_token_shards_of_other_videos_are_told(place, caplog):
    settings = place(dict.fromkeys("abcd", 3))
    shard(settings)
    for number, ids in {0: ["a", "b"], 1: ["c", "d"], 2: ["e"]}.items():
        prefix = settings.target_dir / f"c.bert.train_{number}.startends"
        with write_shard(prefix, np.dtype(np.float32), 2) as writer:
            writer.ids = ids
            for _ in ids:
                writer.append(np.ones((1, 2)))
    caplog.clear()
    (settings.vfeat_dir.parent / "own.lst").write_text("b\na\nc\nd\n")
    shard(settings)
    assert "2 token shards (" in caplog.text
    assert "of other videos than the feature shards are now: mmpt tokenise must run" in caplog.text


def test_ids_that_no_file_can_have_are_skipped(place):
    settings = place({"a": 3})
    (settings.vfeat_dir.parent / "own.lst").write_text("a\nnul\0\n" + "x" * 300 + "\n")
    reasons = [each.reason for each in shard(settings).skipped]
    assert "null byte" in reasons[0]
    assert reasons[1] == "file name too long"


def test_the_extraction_says_why_a_video_has_no_file(place, caplog):
    settings = place({"a": 3})
    (settings.vfeat_dir.parent / "own.lst").write_text("a\ncut\ngone\n")
    failed = settings.vfeat_dir / "failed.jsonl"
    failed.write_text('{"id": "cut", "source": "v/cut.mp4", "reason": "no picture decodes"}\n')
    reasons = {each.id: each.reason for each in shard(settings).skipped}
    assert reasons == {"cut": "no picture decodes", "gone": "no such file or directory"}
    failed.write_text("x\n\n")
    assert len(shard(settings).skipped) == 2
    assert "its reasons are not taken over" in caplog.text


def test_what_killed_runs_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / ".sharding").mkdir()
    own = [".train_0_data.npy.7-ab12.tmp", ".train_meta.pkl.7-ab.tmp", ".skipped.jsonl.7-ab.tmp",
           ".sharding/.train_12.json.99-0f.tmp"]  # fmt: skip
    others = [".val_0_data.npy.7-ab.tmp", ".c.bert.train_0.caps_ids_data.npy.7-ab.tmp",
              ".train_0.tmp", "train_0_data.npy"]  # fmt: skip
    for name in own + others:
        (tmp_path / name).touch()
    clear_feature_left_overs(tmp_path, ["train"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".sharding", *others])
    assert not list((tmp_path / ".sharding").iterdir())
    clear_feature_left_overs(tmp_path / "none", ["train"])


def test_a_byte_order_mark_is_no_part_of_the_first_id(place):
    settings = place({"a": 3, "b": 2})
    (settings.vfeat_dir.parent / "own.lst").write_text("\ufeffa\nb\n", encoding="utf-8")
    assert shard(settings).skipped == []
