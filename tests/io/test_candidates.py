"""Files of retrieved batches: read back whole, or refused by name."""

import json

import pytest
import torch

from mmpt.errors import DataError
from mmpt.io.candidates import (
    Candidates,
    candidates_path,
    differences,
    digest,
    read_candidates,
    weights_digest,
    write_candidates,
)

BATCHES = [["a", "b"], ["c", "ü"]]
WRITTEN = Candidates(BATCHES, {"data": "1", "weights": "2"}, {"retrieved_similarity": 0.5})


@pytest.fixture
def file(tmp_path):
    path = candidates_path(tmp_path, 3, 1)
    write_candidates(path, WRITTEN)
    return path


def test_what_is_written_is_read(file, tmp_path):
    assert file == tmp_path / "retri/batched_e3_videos1.json"
    assert read_candidates(file) == WRITTEN
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_no_batches(tmp_path):
    path = candidates_path(tmp_path, 1, 1)
    write_candidates(path, WRITTEN._replace(batches=[]))
    assert read_candidates(path).batches == []


def test_damaged_files(file):
    whole = file.read_bytes()
    for size in (0, 1, 20, len(whole) // 2, len(whole) - 3):
        file.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"videos1.json: truncated or no candidates file \("):
            read_candidates(file)
    file.write_bytes(whole.replace(b'"c"', b'"d"'))
    with pytest.raises(DataError, match=r"videos1.json: damaged: it does not hold what"):
        read_candidates(file)
    for lost in ("batches", "made_from", "facts", "digest"):
        file.write_text(json.dumps({k: v for k, v in json.loads(whole).items() if k != lost}))
        with pytest.raises(DataError, match=r"videos1.json: damaged: it does not hold what"):
            read_candidates(file)
    for other in ({"form": 99}, [1], {}):
        file.write_text(json.dumps(other))
        with pytest.raises(DataError, match=r"no candidates file of form 1, got"):
            read_candidates(file)
    file.write_bytes(b"\x80\x04\x95\xff")  # the older toolkit's form, a pickle
    with pytest.raises(DataError, match="truncated or no candidates file"):
        read_candidates(file)
    file.unlink()
    with pytest.raises(DataError, match="no such file"):
        read_candidates(file)


def test_fingerprints():
    assert digest(BATCHES) == digest([["a", "b"], ["c", "ü"]]) != digest([["a"], ["b", "c", "ü"]])
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert differences({"data": "1"}, {"data": "1", "weights": "2"}) == ["weights"]
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    before = weights_digest(model)
    assert before == weights_digest(model)
    with torch.no_grad():
        model[0].weight[0, 0] += 1e-6
    assert weights_digest(model) != before
    assert len(weights_digest(model.half())) == 16
