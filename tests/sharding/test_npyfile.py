"""One feature file: what is read, and the reason where it is not."""

import os

import numpy as np
import pytest

from mmpt.errors import DataError
from mmpt.sharding.npyfile import FeatureFile, all_finite


def rows(*shape, dtype=np.float16):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def read(path, dtype=np.float16, width=None):
    with FeatureFile(path, width) as features:
        room = bytearray(features.rows * features.width * np.dtype(dtype).itemsize)
        features.read(memoryview(room), dtype)
        return np.frombuffer(room, dtype).reshape(features.rows, features.width)


@pytest.mark.parametrize("stored", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("wanted", [np.float16, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_come_as_they_are_or_converted(stored, wanted, order, tmp_path):
    array = np.asarray(rows(7, 4), dtype=stored, order=order)
    np.save(tmp_path / "v.npy", array)
    np.testing.assert_array_equal(read(tmp_path / "v.npy", wanted), array.astype(wanted))


def test_a_longer_header_is_read(tmp_path):
    array = rows(3, 4)
    with open(tmp_path / "v.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=(2, 0))
    np.testing.assert_array_equal(read(tmp_path / "v.npy"), array)
    content = (tmp_path / "v.npy").read_bytes()
    header = content[12:128].decode().rstrip() + " " * 300 + "\n"
    longer = content[:8] + len(header).to_bytes(4, "little") + header.encode() + content[128:]
    (tmp_path / "v.npy").write_bytes(longer)
    np.testing.assert_array_equal(read(tmp_path / "v.npy"), array)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (rows(4), "rank 1 (shape (4,)); [seconds, width] is needed"),
        (rows(2, 3, 4), "rank 3"),
        (rows(2, 5), "width 5; 4 is needed"),
        (rows(0, 4), "no numbers (shape (0, 4))"),
        (np.zeros((2, 4), int), "dtype int64; float16, float32 or float64 is needed"),
        (np.zeros((2, 4), np.longdouble), "dtype float128"),
        (np.array([[1, np.nan, 2, 3]], np.float16), "NaN or inf"),
        (np.array([[1, -np.inf, 2, 3]], np.float32), "NaN or inf"),
        (np.array([[1, 2, 3, 1e6]], np.float32), "values too large for float16"),
        (np.array([[None] * 4], object), "dtype object"),
    ],
)
def test_unusable_arrays(array, reason, tmp_path):
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "v.npy", width=4)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda whole: whole[:-1], "truncated: 151 of 152 bytes"),
        (lambda whole: whole[:130], "truncated: 130 of 152 bytes"),
        (lambda whole: whole[:60], "no .npy file of a plain matrix"),
        (lambda whole: whole[:7], "no .npy file of a plain matrix"),
        (lambda whole: b"", "an empty file"),
        (lambda whole: b"PK\3\4" + whole, "no .npy file"),
        (lambda whole: whole.replace(b"'descr'", b"'other'"), "no .npy file of a plain matrix"),
        (lambda whole: whole.replace(b"(3, 4), ", b"(-3, 4),"), "no numbers (shape (-3, 4))"),
        (lambda whole: whole.replace(b"(3, 4), ", b"(3, -4),"), "no numbers (shape (3, -4))"),
        (lambda whole: whole.replace(b"(3, 4)", b"(3, 4 "), "no .npy file of a plain matrix"),
        (lambda whole: whole.replace(b"'fort", b"(1):    "), "no .npy file of a plain matrix"),
        (lambda whole: whole.replace(b"'descr'", b"[]     "), "no .npy file of a plain matrix"),
        (lambda whole: whole.replace(b"'<f2'", b"'<,2'"), "no .npy file of a plain matrix"),
    ],
)
def test_damaged_files(content, reason, tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, rows(3, 4))
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        read(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "folder.npy").mkdir()
    for name, reason in (("pipe", "a pipe"), ("folder", "a folder"), ("none", "no such file")):
        with pytest.raises(DataError, match=reason):
            read(tmp_path / f"{name}.npy")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_finite_is_what_numpy_calls_finite(dtype):
    edge = np.finfo(dtype)
    fine = np.array([0, -0.0, edge.max, edge.min, edge.tiny, edge.smallest_subnormal], dtype)
    values = np.tile(fine, 30_000)
    assert all_finite(values)
    for place in (0, 1000, len(values) - 1):
        for bad in (np.nan, -np.nan, np.inf, -np.inf):
            other = values.copy()
            other[place] = bad
            assert not all_finite(other)


def test_no_damage_to_a_header_is_a_crash(tmp_path):
    path, rng = tmp_path / "v.npy", np.random.default_rng(0)
    np.save(path, rows(5, 16))
    whole = path.read_bytes()
    for _ in range(1500):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(0, 128)] = rng.integers(32, 127)
        path.write_bytes(content)
        try:
            read(path)
        except DataError as error:
            assert "\n" not in str(error)
