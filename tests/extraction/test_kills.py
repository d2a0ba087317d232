"""Killed at any moment, a run goes on and leaves the bytes of one that was left alone."""

import random
import subprocess
import sys
import time

import pytest

from mmpt.config.load import REPOSITORY_ROOT

SCRIPT = REPOSITORY_ROOT / "scripts/video_feature_extractor/extract.py"
KILLS = 20


def command(videos, out):
    return [
        sys.executable, str(SCRIPT), "--vdir", str(videos), "--fdir", str(out), "--device", "cpu",
        "--type", "colour_grid", "--batch_size", "4",
    ]  # fmt: skip


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.lock"
    }


def wait_for_start(process, out):
    """Until the process has locked the folder: from then on it reads and writes there."""
    lock = out / ".extract/all/run.lock"
    while process.poll() is None:
        if lock.exists() and f'"pid": {process.pid}' in lock.read_text():
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_twenty_kills(make_video, tmp_path):
    videos = tmp_path / "videos"
    for number in range(60):
        make_video(videos / f"v{number:02d}.mp4", frames=30 + 7 * (number % 9))
    (videos / "bad.mp4").write_bytes(b"nothing")
    begin = time.monotonic()
    assert subprocess.run(command(videos, tmp_path / "alone")).returncode == 3
    whole = time.monotonic() - begin
    expected, out = content(tmp_path / "alone"), tmp_path / "killed"
    assert len(expected) == 62
    rng, begun = random.Random(0), 0
    for _ in range(KILLS):
        process = subprocess.Popen(command(videos, out), stderr=subprocess.DEVNULL)
        wait_for_start(process, out)
        try:
            process.wait(rng.uniform(0, 0.3) * whole)
        except subprocess.TimeoutExpired:
            begun += 1
        process.kill()
        process.wait()
        for name in content(out).keys() & set(rng.sample(sorted(expected), 50)):
            if name.endswith(".npy"):
                (out / name).unlink()  # so that there is something to do at the next start
    assert begun > KILLS // 2
    assert subprocess.run(command(videos, out)).returncode == 3
    assert content(out) == expected
    assert subprocess.run(command(videos, out)).returncode == 3
    assert content(out) == expected
