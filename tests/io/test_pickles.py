"""Plain data passes, everything else is refused before it is imported."""

import datetime
import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from mmpt.errors import DataError
from mmpt.io.pickles import encode_plain, load_pickle, save_pickle, write_dict

PLAIN = {
    0: ["trainVid_000-x", "ü"],
    "numbers": (1, -2.5, True, None, 10**30, 1 + 2j),
    "sets": {1, 2},
    "frozen": frozenset({"a"}),
    "ordered": OrderedDict(a=1),
    "bytes": b"\x00\xff",
    "writable": bytearray(b"ab"),
    "array": np.arange(6, dtype=np.float16).reshape(2, 3),
    "fortran": np.asfortranarray(np.eye(3)),
    "strings": np.array(["a", "bc"]),
    "scalar": np.float32(1.5),
    "integer": np.int64(7),
    "dtype": np.dtype("int32"),
}


def same(left, right):
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    return type(left) is type(right) and left == right


def test_a_saved_pickle_comes_back(tmp_path):
    save_pickle(tmp_path / "a.pkl", PLAIN)
    assert same(load_pickle(tmp_path / "a.pkl"), PLAIN)
    assert os.listdir(tmp_path) == ["a.pkl"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_reads(protocol, tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(PLAIN, protocol=protocol))
    assert same(load_pickle(path), PLAIN)


def test_arrays_of_older_numpy_read(tmp_path):
    payload = pickle.dumps(PLAIN["array"], protocol=2)
    assert b"numpy._core.multiarray" in payload
    path = tmp_path / "a.pkl"
    path.write_bytes(payload.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert same(load_pickle(path), PLAIN["array"])


def test_the_golden_meta_file_reads(golden_dir):
    folder = golden_dir / "models_data/corpus/feat/feat_how2_s3d_shard_small"
    meta = load_pickle(folder / "train_meta.pkl")
    assert list(meta) == [0, 1]
    assert meta[0][0] == "trainVid_000-x"


class Command:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_command_is_refused_and_not_run(tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"a": Command(f"touch {trace}")}))
    with pytest.raises(DataError, match=r"evil\.pkl: refused to load (posix|os|nt)\.system"):
        load_pickle(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"cnumpy.core.multiarray\nfrombuffer\n.", "numpy.core.multiarray.frombuffer"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.", "numpy.ndarray.dump"),
        (pickle.dumps(datetime.date(2024, 1, 1)), "datetime.date"),
    ],
)
def test_other_names_are_refused(payload, name, tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(payload)
    with pytest.raises(DataError) as caught:
        load_pickle(path)
    assert f"refused to load {name}" in str(caught.value)
    assert str(path) in str(caught.value)


def test_references_to_the_outside_are_refused(tmp_path):
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.persistent_id = lambda obj: "token" if obj == "x" else None
    pickler.dump(["x"])
    (tmp_path / "a.pkl").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="outside the file"):
        load_pickle(tmp_path / "a.pkl")


def test_every_truncation_is_one_clear_line(tmp_path):
    payload, path = pickle.dumps(PLAIN), tmp_path / "a.pkl"
    for length in range(len(payload)):
        path.write_bytes(payload[:length])
        with pytest.raises(DataError) as caught:
            load_pickle(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_missing_file_and_no_pickle(tmp_path):
    with pytest.raises(DataError, match=r"a\.pkl: no such file"):
        load_pickle(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_text("video_id,caption\n")
    with pytest.raises(DataError, match="truncated or not a pickle"):
        load_pickle(tmp_path / "a.pkl")


def test_what_could_not_be_read_is_not_written(tmp_path):
    with pytest.raises(DataError, match=r"a\.pkl: refused to load datetime\.date"):
        save_pickle(tmp_path / "a.pkl", [datetime.date(2024, 1, 1)])
    assert os.listdir(tmp_path) == []


# ---- item by item -----------------------------------------------------------------------------


def texts(count, longest=3000):
    rng = np.random.default_rng(count)
    return {f"v{i}": "é".join("ab" * int(n)) for i, n in enumerate(rng.integers(1, longest, count))}


@pytest.mark.parametrize("count", [0, 2, 999, 1000, 1001])
def test_a_dict_of_text_becomes_what_pickle_writes(count, tmp_path):
    content = texts(count, 300)
    if count:
        content |= {"v1": "x" * (64 * 1024 - 1), "large": "y" * (64 * 1024), "v0": "z" * 200_000}
    with write_dict(tmp_path / "a.pkl") as writer:
        for key, value in content.items():
            writer.add(key, value)
    assert (tmp_path / "a.pkl").read_bytes() == pickle.dumps(content, protocol=5)
    assert load_pickle(tmp_path / "a.pkl") == content


def test_a_dict_of_any_plain_data_is_written_item_by_item(tmp_path):
    shared = ["same", 1.5]
    content = {
        "": {"start": [0, -1.25, 2**70], "cap": [[], [1, 300, 70_000]], "twice": [shared, shared]},
        "k\ud800": None,
        "text": "\udfff",
        "others": (True, b"\x00\xff", {1: {2.5: ()}}, "ü" * 70_000),
    }
    with write_dict(tmp_path / "a.pkl") as writer:
        for number in range(1500):
            writer.add(f"n{number}", number)
        for key, value in content.items():
            writer.add(key, "old")
            writer.add_encoded(key, encode_plain(value))
    expected = {f"n{number}": number for number in range(1500)} | content
    assert same(load_pickle(tmp_path / "a.pkl"), expected)


@pytest.mark.parametrize("value", [np.float32(1), datetime.date(2020, 1, 1), object(), [len], {1}])
def test_what_has_no_opcode_is_not_written_item_by_item(value, tmp_path):
    refused = pytest.raises(DataError, match="cannot write an object of type")
    with refused, write_dict(tmp_path / "a.pkl") as writer:
        writer.add("a", "fine")
        writer.add("b", value)
    assert os.listdir(tmp_path) == []
