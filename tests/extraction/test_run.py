"""Runs: what is written, what is done again, what is said about what failed."""

import json
import os
import shutil
import threading
import time

import numpy as np
import pytest
import torch

from mmpt.errors import CheckpointError, DataError, LaunchError
from mmpt.extraction import decoding, plan
from mmpt.extraction import run as module
from mmpt.extraction.manifest import Entry, Failure, read_lines
from mmpt.extraction.reading import VideoReader
from mmpt.extraction.run import as_stored
from mmpt.io.runlock import Owner
from mmpt.utils.split import Split

GOOD = ["-c", "a", "b.b", "cut"]


def content(folder):
    """File name -> bytes of what a run leaves, without its locks."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def lines(folder, name, form=Entry):
    return read_lines(folder / name, form)


def test_features_and_manifest(run, videos, tmp_path):
    summary = run()
    assert (summary.done, summary.before, summary.failed, summary.damaged) == (4, 0, 1, 1)
    out = tmp_path / "features"
    assert sorted(content(out)) == [
        "-c.npy", "a.npy", "b.b.npy", "cut.npy", "failed.jsonl", "manifest.jsonl",
    ]  # fmt: skip
    done = lines(out, "manifest.jsonl")
    assert list(done) == GOOD
    assert {name: done[name].seconds for name in GOOD} == {"-c": 2, "a": 3, "b.b": 1, "cut": 2}
    entry, source = done["a"], videos / "a.mp4"
    assert entry.source == str(source)
    assert (entry.size, entry.mtime) == (source.stat().st_size, int(source.stat().st_mtime))
    assert (entry.duration, entry.fps, entry.damage) == (2.333, 30.0, None)
    assert entry.decoder.startswith("mpeg4, PyAV ")
    assert "of 3.0 s" in done["cut"].damage
    features = np.load(out / "a.npy", allow_pickle=False)
    assert (features.shape, features.dtype, entry.bytes) == ((3, 5), np.float16, 128 + 30)
    np.testing.assert_allclose(np.linalg.norm(features.astype(float), axis=1), 1, atol=1e-3)
    failed = lines(out, "failed.jsonl", Failure)
    assert list(failed) == ["bad"] and "not a video" in failed["bad"].reason


def test_vectors_are_those_of_the_clips(run, videos, tmp_path):
    run(half=False, l2_normalize=False, batch_size=1)
    for name, file in (("a", "a.mp4"), ("-c", "-c.avi")):
        means = [clip.mean(axis=(0, 1, 2)) for clip in VideoReader(videos / file, 4, 16)]
        stored = np.load(tmp_path / "features" / f"{name}.npy")
        assert stored.dtype == np.float32
        np.testing.assert_allclose(stored[:, :3], means, rtol=1e-5)


def test_a_rerun_does_nothing(run, videos, tmp_path, monkeypatch):
    (videos / "bad.mp4").unlink()
    run()
    before = content(tmp_path / "features")
    monkeypatch.setattr(module, "Batches", None)
    summary = run()
    assert (summary.done, summary.before, summary.failed) == (0, 4, 0)
    assert content(tmp_path / "features") == before


@pytest.mark.parametrize(
    ("spoil", "redone"),
    [
        (lambda out, videos: (out / "a.npy").unlink(), 1),
        (lambda out, videos: (out / "a.npy").write_bytes(b"\x93NUMPY"), 1),
        (lambda out, videos: os.utime(videos / "a.mp4", (1, 1)), 1),
        (lambda out, videos: (out / "manifest.jsonl").unlink(), 4),
        (lambda out, videos: shutil.rmtree(out), 4),
    ],
)
def test_what_is_missing_or_changed_is_done_again(spoil, redone, run, videos, tmp_path):
    run()
    out = tmp_path / "features"
    before = content(out)
    spoil(out, videos)
    assert run().done == redone
    after = content(out)
    assert after.pop("manifest.jsonl") and before.pop("manifest.jsonl")
    assert after == before


@pytest.mark.parametrize(
    "other",
    [
        {"half": False},
        {"l2_normalize": False},
        {"dtype": torch.bfloat16},
        {"network": "weighted"},
        {"force": True},
    ],
)
def test_other_settings_do_all_again(other, run):
    run()
    assert run(**other).done == 4
    assert run(**{**other, "force": False}).done == 0


def test_the_weights_count_by_their_content(run, tmp_path):
    run(network="weighted")
    copy = tmp_path / "copy.pth"
    shutil.copy(tmp_path / "weighted.pth", copy)
    assert run(network="weighted", weights=copy).done == 0
    torch.save(torch.full((1,), 8.0), copy)
    assert run(network="weighted", weights=copy).done == 4


def test_a_video_that_is_whole_by_now_is_no_failure(run, videos, make_video, tmp_path):
    run()
    make_video(videos / "bad.mp4", frames=10)
    summary = run()
    assert (summary.done, summary.before, summary.failed) == (1, 4, 0)
    assert "failed.jsonl" not in content(tmp_path / "features")


def test_a_video_that_broke_keeps_no_entry(run, videos, tmp_path):
    run()
    (videos / "a.mp4").write_bytes(b"nothing")
    assert run().failed == 2
    out = tmp_path / "features"
    assert "a" not in lines(out, "manifest.jsonl")
    assert "a.npy is of an earlier run" in lines(out, "failed.jsonl", Failure)["a"].reason


def test_a_list_with_ids_that_have_no_video(run, tmp_path):
    summary = run(listed=("a", "gone", "bad"))
    assert (summary.done, summary.failed) == (1, 2)
    failed = lines(tmp_path / "features", "failed.jsonl", Failure)
    assert failed["gone"].source is None and "no video of this id" in failed["gone"].reason
    assert run(listed=("b.b",)).failed == 0
    assert set(lines(tmp_path / "features", "failed.jsonl", Failure)) == {"bad", "gone"}


def test_parts_are_the_whole(run, tmp_path):
    run()
    done = [run(split=Split(i, 2), features=tmp_path / "parts").done for i in (1, 2)]
    assert sum(done) == 4 and all(done)
    whole, parts = content(tmp_path / "features"), content(tmp_path / "parts")
    assert {n: parts[n] for n in parts if n.endswith(".npy")} == {
        n: whole[n] for n in whole if n.endswith(".npy")
    }
    joined = sorted(line for i in (1, 2) for line in parts[f"manifest.{i}-of-2.jsonl"].splitlines())
    assert joined == sorted(whole["manifest.jsonl"].splitlines())
    # a run of all sees what the parts did
    assert run(features=tmp_path / "parts").before == 4


def test_a_stale_entry_of_another_part_is_not_believed(run, tmp_path):
    run()
    for split in (Split(1, 1), None):
        assert run(split=split, half=split is None).done == 4
        assert run(split=split, half=split is None).done == 0


def test_random_weights_are_kept(run, videos, tmp_path, make_video):
    out = tmp_path / "features"
    assert run(network="weighted", random_seed=3, split=Split(1, 2)).done
    kept = (out / "weighted_random_3.pth").read_bytes()
    make_video(videos / "0.mp4", frames=80)
    run(network="weighted", random_seed=3)
    assert (out / "weighted_random_3.pth").read_bytes() == kept
    label = lines(out, "manifest.jsonl")["0"].weights
    assert label.startswith("random 3 ") and len(label) == len("random 3 ") + 64
    assert run(network="weighted", random_seed=4).done == 5


def test_nan_is_a_failure(run, tmp_path):
    torch.save(torch.full((1,), float("nan")), tmp_path / "nan.pth")
    summary = run(network="weighted", weights=tmp_path / "nan.pth")
    assert (summary.done, summary.failed) == (0, 5)
    torch.save(torch.full((1,), 1e6), tmp_path / "large.pth")
    large = {"network": "weighted", "weights": tmp_path / "large.pth", "l2_normalize": False}
    assert run(**large).done == 0
    assert run(**large, half=False).done == 4


def test_vectors_as_they_are_stored():
    rows = np.array([[3, 4], [0, 0]], np.float32)
    np.testing.assert_array_equal(
        as_stored(rows, True, "float16"), np.array([[0.6, 0.8], [0, 0]], np.float16)
    )
    assert as_stored(rows, False, "float32").tolist() == rows.tolist()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"weights": "x.pth"}, LaunchError, "--type tiny has no weights"),
        ({"random_seed": 1}, LaunchError, "--type tiny has no weights"),
        ({"network": "weighted", "weights": "no.pth"}, CheckpointError, "no.pth: no such file"),
        ({"listed": ("gone",)}, DataError, "no video of the 1 listed"),
        ({"network": "weighted", "random_seed": 1, "listed": ("bad",)}, DataError, "not a video"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(given, error, message, run, tmp_path):
    if "weights" in given:
        given = {**given, "weights": tmp_path / given["weights"]}
    with pytest.raises(error, match=message):
        run(**given)


def test_too_long_ids_are_failures(run, videos, make_video, tmp_path):
    make_video(videos / f"{'x' * 240}.mp4", frames=2)
    assert (run().done, run().failed) == (4, 2)


def test_an_error_of_ours_is_not_hidden(run, monkeypatch):
    monkeypatch.setattr(decoding, "decoder_of", lambda codec: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()


def test_a_stopped_run_ends_its_threads_and_goes_on(run, tmp_path, monkeypatch, caplog):
    real, calls = module.Run._written, []

    def stop_at_second(self, *given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *given)

    monkeypatch.setattr(module.Run, "_written", stop_at_second)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert time.monotonic() - begin < 5
    assert "stopped after 1 videos" in caplog.text
    assert not [t for t in threading.enumerate() if t.name.startswith("decoder")]
    monkeypatch.setattr(module.Run, "_written", real)
    assert (run().before, run().before) == (1, 4)


def test_a_torn_last_line_is_left_out(run, tmp_path):
    run()
    manifest = tmp_path / "features/manifest.jsonl"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-40])
    assert run().done == 1
    assert manifest.read_bytes() == whole
    manifest.write_bytes(b"{}\n" + whole)
    with pytest.raises(DataError, match=r"manifest\.jsonl: line 1 is damaged"):
        run()


def test_left_overs_of_killed_runs_go(run, tmp_path):
    out = tmp_path / "features"
    out.mkdir()
    mine = [".a.npy.12-0af3.tmp", ".manifest.jsonl.12-0af3.tmp"]
    others = [".else.npy.12-0af3.tmp", ".a.npy.tmp", ".manifest.1-of-2.jsonl.1-a.tmp"]
    for name in mine + others:
        (out / name).touch()
    run()
    assert sorted(path.name for path in out.glob(".*.tmp")) == sorted(others)


def test_one_process_a_part(run, monkeypatch):
    monkeypatch.setattr(plan, "lock_owner", lambda folder: Owner("far", 77, None))
    with pytest.raises(LaunchError, match="process 77 on far extracts the same part"):
        run()


def test_the_manifest_is_json_of_numbers_and_texts(run, tmp_path):
    run()
    first = json.loads((tmp_path / "features/manifest.jsonl").read_text().splitlines()[0])
    assert {"id", "source", "size", "mtime", "seconds", "fps", "decoder", "weights", "sha256"} <= (
        first.keys()
    )
