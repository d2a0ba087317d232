"""The record of a run folder: starts, ends, progress, the data's fingerprint."""

import os
import subprocess
from pathlib import Path

import pytest

from mmpt.errors import DataError
from mmpt.io import fingerprint, run_record
from mmpt.io.fingerprint import changes, data_fingerprint


@pytest.fixture(autouse=True)
def _no_run_of_another_test(monkeypatch):
    monkeypatch.setattr(run_record, "_current", None)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A list, a folder with two shards and text shards that a prefix names."""
    monkeypatch.chdir(tmp_path)
    os.makedirs("data/feat")
    os.makedirs("data/text")
    Path("data/train.lst").write_text("a\nb\n")
    for name in ("feat/train_0.npy", "feat/train_1.npy", "text/caps.train_0.npy", "text/other"):
        Path("data", name).write_bytes(name.encode())
        os.utime(Path("data", name), (1_000_000, 1_000_000))
    return {
        "train_path": "data/train.lst",
        "vfeat_dir": "data/feat",
        "tfeat_dir": "data/text/caps.",
        "val_path": "data/none.lst",
        "split": "data",
        "max_len": 48,
    }


def begin(dataset, folder="runs/a", **settings):
    os.makedirs(folder, exist_ok=True)
    run_record.begin_run(folder, job="job.yaml", dataset=dataset, **settings)
    return run_record.read_record(folder)


def test_a_run_from_its_start_to_its_end(dataset, monkeypatch):
    monkeypatch.setattr("sys.orig_argv", ["python", "train.py", "job.yaml", "--lr", "(1, 2)"])
    monkeypatch.setenv(run_record.LAUNCHED_BY, "python locallaunch.py job.yaml")
    (start,) = begin(dataset, max_update=10, max_epoch=0)["starts"]
    assert start["command"].endswith("train.py job.yaml --lr '(1, 2)'")
    assert start["launched_by"] == "python locallaunch.py job.yaml"
    assert start["host"] and start["pid"] == os.getpid() and start["end"] is None
    assert start["versions"]["torch"] and "fairseq" not in start["versions"]
    assert (start["max_update"], start["max_epoch"]) == (10, None)
    assert run_record.read_status("runs/a") == {}
    run_record.note_start("first.pt", 3)
    run_record.note_progress(updates=4, epoch=1, loss=2.5)
    run_record.end_run("stopped", "SIGTERM")
    record, status = run_record.read_record("runs/a"), run_record.read_status("runs/a")
    assert (record["starts"][0]["checkpoint"], record["starts"][0]["updates"]) == ("first.pt", 3)
    assert record["starts"][0]["end"].items() >= {"state": "stopped", "reason": "SIGTERM"}.items()
    assert status.items() >= {"updates": 4, "epoch": 1, "loss": 2.5}.items()

    second = begin(dataset)["starts"]
    assert len(second) == 2 and second[0]["end"] and second[1]["end"] is None
    assert run_record.read_status("runs/a")["updates"] == 4
    run_record.note_progress(at_once=True, loss=float("nan"))
    assert '"loss": "nan"' in Path("runs/a/status.json").read_text()
    assert sorted(os.listdir("runs/a")) == ["run.json", "status.json"]


def test_progress_is_written_at_intervals(dataset, monkeypatch):
    begin(dataset)
    now = [100.0]
    monkeypatch.setattr(run_record.time, "monotonic", lambda: now[0])
    for update in range(1, 30):
        run_record.note_progress(updates=update)
        now[0] += 1
    assert run_record.read_status("runs/a")["updates"] == 26
    run_record.note_progress(at_once=True, updates=29)
    assert run_record.read_status("runs/a")["updates"] == 29


def test_without_a_run_nothing_happens(dataset):
    run_record.note_start(None, 0)
    run_record.note_progress(at_once=True, updates=1)
    run_record.end_run("finished")
    assert not os.path.exists("runs")
    with pytest.raises(ValueError, match="'done'; allowed: finished, stopped, failed"):
        run_record.end_run("done")


def test_a_forked_process_leaves_the_record_alone(dataset):
    before = begin(dataset)
    child = os.fork()
    if child == 0:
        run_record.note_progress(at_once=True, updates=9)
        run_record.end_run("failed", "not mine")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert run_record.read_record("runs/a") == before
    assert run_record.read_status("runs/a") == {}


def test_a_full_disk_does_not_end_the_run(dataset, monkeypatch, caplog):
    begin(dataset)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_record.os, "replace", full)
    for update in (1, 2):
        run_record.note_progress(at_once=True, updates=update)
    run_record.end_run("failed", "disk")
    assert caplog.text.count("runs/a: the run's record cannot be written (No space left") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "run.json: not a JSON file"),
        ("[]", "run.json: no record of a run"),
        ('{"form": 1, "starts": []}', "run.json: no record of a run"),
        ('{"form": 9, "starts": [{}]}', "run.json: form 9; this version reads form 1"),
    ],
)
def test_a_damaged_record_is_named_and_begun_anew(dataset, caplog, content, said):
    os.makedirs("runs/a")
    Path("runs/a/run.json").write_text(content)
    Path("runs/a/status.json").write_text("7")
    with pytest.raises(DataError, match=said):
        run_record.read_record("runs/a")
    assert len(begin(dataset)["starts"]) == 1
    assert said in caplog.text and "status.json: not the status of a run" in caplog.text


def test_git_state(tmp_path):
    assert run_record.git_state(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y"]
    (tmp_path / "code.py").write_text("1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    clean = run_record.git_state(tmp_path)
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (tmp_path / "code.py").write_text("2")
    assert run_record.git_state(tmp_path) == {**clean, "dirty": True}


def test_fingerprint_lists_what_the_job_names(dataset):
    data = data_fingerprint(dataset)
    sources = data["sources"]
    assert list(sources) == ["dataset.train_path", "dataset.vfeat_dir", "dataset.tfeat_dir"]
    assert sources["dataset.train_path"]["bytes"] == 4
    assert sources["dataset.vfeat_dir"]["list"] == {
        "train_0.npy": "16 1000000",
        "train_1.npy": "16 1000000",
    }
    assert sources["dataset.tfeat_dir"]["files"] == 1
    os.utime("data/train.lst", (5, 5))  # a small file counts with its content
    os.rename("data", "moved")
    moved = {k: v.replace("data", "moved") if k != "max_len" else v for k, v in dataset.items()}
    assert data_fingerprint(moved)["hash"] == data["hash"]
    assert changes(data, data_fingerprint(moved)) == []


def test_what_changed_is_named(dataset, caplog):
    before = data_fingerprint(dataset)
    begin(dataset)
    os.utime("data/feat/train_1.npy", (2_000_000, 2_000_000))
    Path("data/feat/train_2.npy").touch()
    os.remove("data/feat/train_0.npy")
    Path("data/train.lst").write_text("a\nc\n")
    Path("data/none.lst").touch()
    os.remove("data/text/caps.train_0.npy")
    expected = [
        "dataset.tfeat_dir (data/text/caps.) is gone",
        "dataset.train_path (data/train.lst): other content of the same size",
        "dataset.val_path (data/none.lst) is new",
        "dataset.vfeat_dir (data/feat): changed train_1.npy, added train_2.npy, "
        "removed train_0.npy",
    ]
    assert changes(before, data_fingerprint(dataset)) == expected
    begin(dataset)
    assert f"the data differs from this run's earlier start: {'; '.join(expected)}" in caplog.text
    caplog.clear()
    begin(dataset)
    assert caplog.text == ""


def test_large_folders_and_files_are_summed_up(dataset, monkeypatch):
    monkeypatch.setattr(fingerprint, "LISTED", 1)
    monkeypatch.setattr(fingerprint, "SMALL", 3)
    before = data_fingerprint(dataset)
    assert "list" not in before["sources"]["dataset.vfeat_dir"]
    assert "sha256" not in before["sources"]["dataset.train_path"]
    os.utime("data/train.lst", (5, 5))
    Path("data/feat/train_2.npy").touch()
    assert changes(before, data_fingerprint(dataset)) == [
        "dataset.train_path (data/train.lst): written anew since then",
        "dataset.vfeat_dir (data/feat): 3 files, 2 before",
    ]
    monkeypatch.setattr(fingerprint, "STAT_LIMIT", 1)
    names = data_fingerprint(dataset)["sources"]["dataset.vfeat_dir"]
    assert names.keys() == {"path", "files", "hash"}


def test_what_cannot_be_read_is_noted(dataset, monkeypatch):
    before = data_fingerprint(dataset)

    def refused(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(fingerprint.os, "scandir", refused)
    now = data_fingerprint(dataset)
    assert now["sources"]["dataset.vfeat_dir"]["unreadable"] == "Permission denied"
    assert changes(before, now) == [
        "dataset.tfeat_dir (data/text/caps.): unreadable now",
        "dataset.vfeat_dir (data/feat): unreadable now",
    ]
