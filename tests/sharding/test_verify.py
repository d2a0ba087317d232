"""Lists, feature shards and token shards against each other."""

import shutil

import numpy as np
import pytest

from mmpt.io.pickles import load_pickle, save_pickle
from mmpt.sharding.verify import ROWS, table, verify_split
from mmpt.sharding.writer import write_shard
from mmpt.utils.shardedtensor import ShardedTensor

PREFIX = "sentencified_htm_1200k.tinybert."


@pytest.fixture
def looked(corpus):
    """`looked()`: what is found in a copy of the golden shards, which have no sidecars."""
    shutil.copytree(corpus.golden, corpus.target)

    def look(text=True):
        prefix = f"{corpus.target}/{PREFIX}" if text else None
        return verify_split(corpus.target, "train", corpus.list_of("train"), prefix)

    return look


def resaved(prefix, edit=lambda arrays: arrays):
    ShardedTensor.from_list(edit(list(ShardedTensor.load(prefix)))).save(prefix)


def test_everything_is_there(looked, corpus):
    found = looked()
    assert found.problems == {}
    assert found.cells["feature hashes"] == "0 of 2 agree, 2 have none"
    for name in ("train_0", "train_1"):
        resaved(corpus.target / name)
    assert looked().cells == {
        "ids listed": "16",
        "in shards": "16",
        "missing, reason known": "0",
        "missing, reason unknown": "0",
        "in shards, not listed": "0",
        "feature shards": "2 (16 videos)",
        "hours": "0.19",
        "width, dtype": "512, float16",
        "feature hashes": "2 of 2 agree",
        "ids of feature shards": "0 of 2 checked",
        "token shards": "2 of 2 fit",
        "token hashes": "0 of 4 agree, 4 have none",
        "ids of token shards": "0 of 4 checked",
        "captions": "250",
        "videos without captions": "0",
        "captions outside video": "11",
        "videos all outside": "0",
        "shards not in meta": "0",
    }


def test_without_token_shards_their_rows_are_empty(looked):
    rows = table([looked(text=False)])
    assert [row.name for row in rows] == list(ROWS)
    empty = [row.name for row in rows if row.cells["train"] == "-"]
    assert empty == [*ROWS[10:13], *ROWS[13:17]]
    assert not any(row.problem for row in rows)


def test_ids_that_are_missing_or_too_many(looked, corpus):
    listed = corpus.ids("train")
    corpus.list_of("train").write_text("\n".join([*listed[:-1], listed[0], "lost", "broken"]))
    (corpus.target / "skipped.jsonl").write_text(
        '{"split": "train", "id": "broken", "reason": "NaN or inf"}\n'
        '{"split": "val", "id": "lost", "reason": "NaN or inf"}\n'
    )
    found = looked()
    assert found.cells["missing, reason known"] == "1"
    assert found.problems == {
        "missing, reason unknown": [
            "1 listed ids are neither in a shard nor in skipped.jsonl: lost"
        ],
        "in shards, not listed": [f"1 ids of the shards are not in the list: {listed[-1]}"],
    }


def damage(file, edit):
    def change(target):
        prefix = str(target / file)
        resaved(prefix)
        array = np.load(f"{prefix}_data.npy")
        edit(array)
        np.save(f"{prefix}_data.npy", array)

    return change


def drop_last(file):
    return lambda target: resaved(target / file, lambda arrays: arrays[:-1])


def meta_twice(target):
    meta = load_pickle(target / "train_meta.pkl")
    save_pickle(target / "train_meta.pkl", {0: meta[0], 1: [*meta[0][:1], *meta[1][1:]]})


def narrower(target):
    resaved(target / "train_1", lambda arrays: [a[:, :9].astype(np.float32) for a in arrays])


def no_captions(target):
    for number in (0, 1):
        for kind in ("startends", "caps_ids"):
            name = target / f"{PREFIX}train_{number}.{kind}"
            resaved(name, lambda arrays: [a[:0] for a in arrays])


def later(prefix):
    resaved(prefix, lambda arrays: [a + 1e5 for a in arrays])


def copied(target, name, other):
    for part in ("data", "starts"):
        shutil.copy(target / f"{name}_{part}.npy", target / f"{other}_{part}.npy")


@pytest.mark.parametrize(
    ("change", "row", "message"),
    [
        (drop_last("train_0"), "feature shards", "7 videos, train_meta.pkl lists 8"),
        (lambda t: (t / "train_1_data.npy").unlink(), "feature shards", "is missing"),
        (lambda t: (t / "train_meta.pkl").unlink(), "in shards", "no such file"),
        (meta_twice, "in shards", "lists 1 ids twice"),
        (narrower, "width, dtype", "shards of different forms: 512, float16; 9, float32"),
        (
            damage("train_0", lambda array: array.__setitem__((0, 0), 5)),
            "feature hashes",
            "train_0_data.npy has changed since it was written",
        ),
        (drop_last(f"{PREFIX}train_0.startends"), "token shards", "7 videos, meta lists 8"),
        (drop_last(f"{PREFIX}train_0.caps_ids"), "token shards", "7 videos, meta lists 8"),
        (
            lambda t: (t / f"{PREFIX}train_0.caps_ids_data.npy").write_bytes(b""),
            "token shards",
            "truncated or no .npy file",
        ),
        (
            damage(f"{PREFIX}train_1.startends", lambda array: array.__setitem__((3, 1), np.nan)),
            "token shards",
            "NaN or inf in the caption times of 1 videos: trainVid_008-x",
        ),
        (
            damage(f"{PREFIX}train_1.caps_ids", lambda array: array.__setitem__((0, 0), 7)),
            "token hashes",
            "caps_ids_data.npy has changed since it was written",
        ),
        (no_captions, "captions", "no video has a caption"),
        (
            lambda t: [later(t / f"{PREFIX}train_{n}.startends") for n in (0, 1)],
            "videos all outside",
            "16 of 16 videos have no caption within their seconds",
        ),
        (
            lambda t: [resaved(t / "train_1"), copied(t, "train_1", "train_2")],
            "shards not in meta",
            "1 shards that train_meta.pkl does not list: train_2; of an earlier run",
        ),
        (
            lambda t: copied(t, f"{PREFIX}train_1.caps_ids", f"{PREFIX}train_7.caps_ids"),
            "shards not in meta",
            f"{PREFIX}train_7.caps_ids",
        ),
        (lambda t: (t / "skipped.jsonl").write_text("x"), "missing, reason known", "not a list"),
    ],
)
def test_what_is_wrong_is_told_in_its_row(change, row, message, looked, corpus):
    change(corpus.target)
    found = looked()
    lines = found.problems.pop(row)
    assert message in lines[0]
    assert "\n" not in "".join(lines)
    marked = {row.name: row.problem for row in table([looked()])}
    assert marked[row]


# ---- which videos shards are of ---------------------------------------------------------------


@pytest.fixture
def noted(looked, corpus):
    """As `looked`; every shard is of ten captions or seconds a video, and says of which videos."""
    for shard, ids in load_pickle(corpus.target / "train_meta.pkl").items():
        for name, dtype, width in (
            (f"train_{shard}", np.float16, 512),
            (f"{PREFIX}train_{shard}.startends", np.float32, 2),
            (f"{PREFIX}train_{shard}.caps_ids", np.int32, 32),
        ):
            with write_shard(corpus.target / name, np.dtype(dtype), width) as writer:
                writer.ids = ids
                for _ in ids:
                    writer.append(np.ones((10, width), dtype))
    found = looked()
    assert found.problems == {}
    assert found.cells["ids of feature shards"] == "2 of 2 checked"
    assert found.cells["ids of token shards"] == "4 of 4 checked"
    return looked


def swap(*kinds):
    def change(target):
        for kind in kinds:
            for end in ("_data.npy", "_starts.npy", ".json"):
                first, second = (target / f"{kind.replace('N', n)}{end}" for n in "01")
                content = first.read_bytes()
                first.write_bytes(second.read_bytes())
                second.write_bytes(content)

    return change


def reorder(target):
    meta = load_pickle(target / "train_meta.pkl")
    save_pickle(target / "train_meta.pkl", {0: meta[0][::-1], 1: meta[1]})


TIMES, TOKENS = f"{PREFIX}train_N.startends", f"{PREFIX}train_N.caps_ids"


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (swap("train_N"), {"ids of feature shards": 2}),
        (swap(TIMES, TOKENS), {"ids of token shards": 4}),
        (swap(TOKENS), {"ids of token shards": 2}),
        (reorder, {"ids of feature shards": 1, "ids of token shards": 2}),
    ],
)
def test_shards_of_the_right_size_and_the_wrong_videos(change, counts, noted, corpus):
    change(corpus.target)
    problems = noted().problems
    assert {row: len(lines) for row, lines in problems.items()} == counts
    for lines in problems.values():
        assert "made for other videos, or in another order" in lines[0]


def test_shards_without_ids_are_said_to_be_unchecked(noted, corpus):
    resaved(corpus.target / f"{PREFIX}train_0.caps_ids")
    found = noted()
    assert (found.cells["ids of token shards"], found.problems) == ("3 of 4 checked", {})
