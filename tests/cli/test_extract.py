"""The commands extract and merge-manifests: options, exit statuses, parts, job arrays."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmpt.config.load import REPOSITORY_ROOT
from mmpt_cli import extract, merge_manifests
from mmpt_cli.entry import SOME_LEFT_OUT, run_command

av = pytest.importorskip("av")
SCRIPTS = REPOSITORY_ROOT / "scripts/video_feature_extractor"
GRID = ["--type", "colour_grid", "--batch_size", "4", "--device", "cpu"]


def write_video(path, frames=6):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            pixels = np.full((48, 64, 3), 8 * (number % 30), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with videos in two folders, one of an awkward name."""
    monkeypatch.chdir(tmp_path)
    for name in ("-one/a.mp4", "-one/x/b.c.mp4", "two/-d.mp4"):
        write_video(tmp_path / name)
    return tmp_path


def test_two_folders_and_awkward_names(place, capsys, caplog):
    line = ["--vdir=-one,two", "--fdir", "out", *GRID, "--half_precision", "0"]
    assert run_command(extract.main, line) == 0
    out = capsys.readouterr().out
    assert out.startswith("out: 3 videos done, 0 done before, 0 without features, 0 of damaged")
    assert "3 s of video" in out and "the network waited for clips" in out
    assert "3 videos in -one, two (0 files of other kinds); 0 done before, 3 to do" in caplog.text
    assert sorted(path.name for path in (place / "out").glob("*.npy")) == [
        "-d.npy", "a.npy", "b.c.npy",
    ]  # fmt: skip
    features = np.load("out/a.npy")
    assert (features.shape, features.dtype) == ((1, 384), np.float32)
    assert run_command(extract.main, line) == 0
    assert "0 videos done, 3 done before" in capsys.readouterr().out


def test_failures_set_the_status_and_are_listed(place, caplog):
    (place / "two/bad.mkv").touch()
    (place / "ids.lst").write_text("-d\nbad\ngone\n")
    line = ["--vdir", "two", "--fdir", "out", *GRID, "--list", "ids.lst"]
    assert run_command(extract.main, line) == SOME_LEFT_OUT
    failed = [json.loads(line) for line in (place / "out/failed.jsonl").read_text().splitlines()]
    assert [(entry["id"], entry["reason"]) for entry in failed] == [
        ("bad", "an empty file"),
        ("gone", "no video of this id in two"),
    ]
    assert "without features: gone: no video of this id in two, bad: an empty" in caplog.text


def test_parts_and_their_merging(place, capsys):
    for part in ("1/2", "2/2"):
        assert (
            run_command(extract.main, ["--vdir=-one,two", "--fdir", "o", *GRID, "--split", part])
            == 0
        )
    capsys.readouterr()
    assert run_command(merge_manifests.main, ["o", "--verify"]) == 0
    assert capsys.readouterr().out == (
        "o: 3 videos (3 s, 0 of damaged files), 0 without features; 2 manifests merged\n"
    )
    (place / "o/new.npy").touch()
    assert run_command(merge_manifests.main, ["o"]) == 0
    assert "1 feature files are in no manifest (new)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--type", "s4d"], 1, "--type s4d: no such network (did you mean s3d?)"),
        (["--type", "s3d"], 1, "s3d_howto100m.pth: no such file: the weights of s3d"),
        ([*GRID, "--dtype", "float16"], 1, "colour_grid computes in float32 alone"),
        ([*GRID, "--random-weights", "1"], 1, "colour_grid has no weights"),
        ([*GRID, "--device", "cuda:99"], 1, "--device cuda:99"),
        ([*GRID, "--list", "nope.lst"], 1, "--list nope.lst: no such file"),
        ([*GRID, "--list", "two"], 1, "--list two: a folder"),
        ([*GRID, "--vdir", "nope"], 1, "nope: no such folder (--vdir)"),
        ([*GRID, "--fdir", "two/-d.mp4"], 1, "two/-d.mp4"),
        ([*GRID, "--split", "0/2"], 2, "I/N with I from 1 to N"),
        ([*GRID, "--split", "3/2"], 2, "I/N with I from 1 to N"),
        ([*GRID, "--batch_size", "0"], 2, "no whole number from 1"),
        ([*GRID, "--half_precision", "2"], 2, "invalid choice"),
        ([*GRID, "--vdir", ","], 2, "no folder is named"),
        (["--random-weights", "x"], 2, "a whole number from 0 is needed"),
        (["--random-weights", "1", "--weights", "a.pth"], 2, "not allowed with argument"),
        ([*GRID, "--slurm", "p.yaml", "--split", "1/2"], 2, "not allowed with argument"),
        ([*GRID, "--slurm", "p.yaml"], 1, "p.yaml"),
    ],
)
def test_wrong_command_lines(options, status, message, place, capsys):
    assert run_command(extract.main, ["--vdir", "two", "--fdir", "out", *options]) == status
    err = capsys.readouterr().err
    assert message in err
    assert status == 2 or err.splitlines()[-1].startswith("error: ")


def test_a_job_array_has_one_command_a_part(place, monkeypatch):
    from mmpt_cli import slurm

    (place / "p.yaml").write_text("executor: local\narray: 3\nminutes: 5\n")
    sent = []
    monkeypatch.setattr(slurm, "submit_array", lambda *given, **more: sent.append(given) or 0)
    line = ["--vdir=-one", "--slurm", "p.yaml", "--fdir", "out", *GRID]
    assert run_command(extract.main, line) == 0
    (profile, commands, name, logs, _), rest = sent[0], ["--vdir=-one", "--fdir", "out", *GRID]
    assert commands == [["extract", *rest, "--split", f"{i}/3"] for i in (1, 2, 3)]
    assert (str(profile), name, str(logs)) == ("p.yaml", "extract", "out/slurm")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_cleanly(number, status, place):
    for count in range(40):
        write_video(place / f"many/{count}.mp4", frames=60)
    line = [sys.executable, str(SCRIPTS / "extract.py"), "--vdir", "many", "--fdir", "out", *GRID]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    while not (place / "out/manifest.jsonl").exists():
        time.sleep(0.01)
    os.kill(process.pid, number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == status
    assert "the same command goes on from there" in err and "Traceback" not in err
    assert not list((place / "out").glob(".*.tmp"))
    assert subprocess.run(line, capture_output=True).returncode == 0


@pytest.mark.slow
def test_random_s3d_goes_through_as_a_script(place):
    line = [
        sys.executable, str(SCRIPTS / "extract.py"), "--vdir", "two", "--fdir", "out",
        "--random-weights", "3", "--batch_size", "1", "--device", "cpu",
    ]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "RANDOM WEIGHTS (seed 3)" in done.stderr
    assert np.load("out/-d.npy").shape == (1, 512)
    merge = [sys.executable, str(SCRIPTS / "merge_manifests.py"), "out", "--verify"]
    assert subprocess.run(merge, capture_output=True).returncode == 0
