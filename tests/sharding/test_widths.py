"""How wide features are, where nobody says it."""

import numpy as np
import pytest

import mmpt.sharding.widths as module
from mmpt.errors import DataError
from mmpt.sharding.widths import find_width
from mmpt.utils.shardedtensor import ShardedTensor


@pytest.fixture
def found(tmp_path):
    """`found([4, 8, 4], shards={"train_0": 8})`: the width for such files and such shards."""

    def find(widths, shards=()):
        ids = []
        for number, width in enumerate(widths):
            ids.append(f"v{number}")
            np.save(tmp_path / f"v{number}.npy", np.ones((2, width), np.float16))
        target = tmp_path / "shards"
        for name, width in dict(shards).items():
            target.mkdir(exist_ok=True)
            ShardedTensor.from_list([np.ones((2, width))]).save(target / name)
        (tmp_path / "broken.npy").write_bytes(b"")
        return find_width(tmp_path, target, ["gone", "broken", *ids])

    return find


def test_the_most_frequent_width_is_taken(found, caplog):
    assert found([8, 4, 4]) == 4
    assert "widths, 4 (2 videos), 8 (1 videos); 4 is taken, the most frequent one" in caplog.text


def test_one_width_is_nothing_to_tell(found, caplog):
    assert found([8, 8], {"val_3": 8}) == 8
    assert caplog.text == ""


def test_shards_that_are_there_have_the_right_width(found, tmp_path, caplog):
    assert found([4, 4, 8], {"train_0": 4, "train_1": 8}) == 4
    (tmp_path / "shards/train_0_data.npy").write_bytes(b"")
    assert found([4, 4, 8]) == 8
    assert "8 is taken, as the shards that are there" in caplog.text
    with pytest.raises(DataError, match=r"of width 8, the features in .* have 4 \(3 videos\)"):
        found([4, 4, 4])


def test_only_so_many_files_are_looked_at(found, monkeypatch):
    monkeypatch.setattr(module, "LOOKED_AT", 3)
    assert found([8, 4, 8, 4, 4, 4]) == 8


def test_features_that_cannot_be_opened(found):
    with pytest.raises(DataError, match=r"no listed video .*broken: an empty file"):
        found([])
