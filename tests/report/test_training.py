"""Training curves out of event files."""

import pytest

from mmpt.errors import DataError
from mmpt.report.training import Curve, losses, read_training

from .conftest import write_events


def test_curves_of_training_and_validation(results):
    found = read_training(results)
    assert found.curves["train", "loss"] == Curve([5, 10], [3.0, 2.0])
    assert found.curves["valid", "loss"] == Curve([10], [2.5])
    assert losses(found) == ["loss"]


def test_a_run_that_goes_on_replaces_what_it_repeats(tmp_path):
    write_events(tmp_path / "run_0", "train_inner", loss={5: 3.0, 10: 2.0, 15: 1.5})
    (first,) = (tmp_path / "run_0/train_inner").iterdir()
    first.rename(first.with_name("events.out.tfevents.100.host"))
    write_events(
        tmp_path / "run_1", "train_inner", loss={10: 2.25, 15: 1.75, 20: 1.0}, loss_seq={20: 1}
    )
    found = read_training(tmp_path)
    assert found.curves["train", "loss"] == Curve([5, 10, 15, 20], [3.0, 2.25, 1.75, 1.0])
    assert losses(found) == ["loss", "loss_seq"]


def test_an_event_that_is_being_written_is_left_out(results):
    (file,) = (results / "run_0/train_inner").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    assert ("train", "loss") in read_training(results).curves


def test_folders_without_curves_are_named(tmp_path):
    with pytest.raises(DataError, match="no TensorBoard events of a training"):
        read_training(tmp_path)
    with pytest.raises(DataError, match="gone: no such folder"):
        read_training(tmp_path / "gone")
    folder = tmp_path / "run_0/train_inner"
    folder.mkdir(parents=True)
    (folder / "events.out.tfevents.1.x").write_bytes(b"\x04" + bytes(11) + b"\xff" * 8)
    with pytest.raises(DataError, match=r"events.out.tfevents.1.x: damaged events"):
        read_training(tmp_path)
