"""Feature files -> shards against a plain copy of the same bytes into one file.

Both read every file, write all of it and wait for the disk (fsync).  Sharding looks at every number
for NaN, hashes every byte, and writes shards that are compared with the copy before anything is
timed.

    python -m benchmarks.bench_sharding                     2,000 videos, 0.8 GB
    python -m benchmarks.bench_sharding --folder /data/tmp  on another disk than /tmp
"""

import argparse
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import RESULTS, compare, report
from mmpt.sharding.features import FeatureSettings, shard_split
from mmpt.utils.shardedtensor import ShardedTensor

WIDTH = 512
MEAN_SECONDS = 400
"""HowTo100M's videos are 6.5 minutes long on average."""
COPY_BUFFER = 1 << 20


def write_videos(folder: Path, videos: int) -> None:
    """Feature files of different lengths, and their list."""
    rng = np.random.default_rng(0)
    pattern = rng.normal(size=(4 * MEAN_SECONDS, WIDTH)).astype(np.float16)
    ids = [f"video{number:05d}" for number in range(videos)]
    for video_id in ids:
        seconds = int(np.clip(rng.gamma(4, MEAN_SECONDS / 4), 20, len(pattern)))
        np.save(folder / f"{video_id}.npy", pattern[:seconds])
    (folder / "all.lst").write_text("\n".join(ids))


def copy(folder: Path) -> None:
    """All files one after the other into one."""
    target = folder / "copy.bin"
    with open(target, "wb") as out:
        for path in (folder / "all.lst").read_text().split():
            with open(folder / f"{path}.npy", "rb") as file:
                shutil.copyfileobj(file, out, COPY_BUFFER)
        out.flush()
        os.fsync(out.fileno())
    target.unlink()


def shards(folder: Path, shard_size: int) -> None:
    """What `mmpt shard` does with one list."""
    target = folder / "shards"
    shard_split(FeatureSettings(folder, target, shard_size, WIDTH), "train", folder / "all.lst")
    shutil.rmtree(target)


BUILDS: dict[str, Callable] = {"copy": copy, "shards": shards}


def build(name: str, *arguments: object) -> Callable[[], None]:
    return functools.partial(BUILDS[name], *arguments)


def assert_equal(folder: Path, shard_size: int) -> int:
    """The shards hold what the files hold; returns the bytes."""
    target = folder / "shards"
    shard_split(FeatureSettings(folder, target, shard_size, WIDTH), "train", folder / "all.lst")
    ids = (folder / "all.lst").read_text().split()
    total = 0
    for number, first in enumerate(range(0, len(ids), shard_size)):
        shard = ShardedTensor.load(target / f"train_{number}", mmap_mode="r")
        total += shard.data.nbytes
        for video_id, rows in zip(ids[first : first + shard_size], shard, strict=True):
            assert np.array_equal(rows, np.load(folder / f"{video_id}.npy")), video_id
    shutil.rmtree(target)
    return total


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--shard-size", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="measure peak memory too")
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary one)")
    parser.add_argument("--output", type=Path, default=RESULTS / "sharding.csv")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        write_videos(folder, args.videos)
        total = assert_equal(folder, args.shard_size)
        os.sync()
        builds = {
            "copy": functools.partial(build, "copy", folder),
            "shards": functools.partial(build, "shards", folder, args.shard_size),
        }
        case = f"{args.videos} videos, {total / 1e6:.0f} MB, float16"
        rows = compare("sharding", case, builds, "copy", repeats=args.repeats, memory=args.memory)
        report(rows, args.output)
    plain, ours = rows
    for row in rows:
        print(f"{row.implementation}: {total / 1e6 / row.seconds_median:,.0f} MB/s by the median")
    print(
        f"speed of sharding over a plain copy: {plain.seconds_median / ours.seconds_median:.2f} by "
        f"the medians, {plain.seconds_min / ours.seconds_min:.2f} by the fastest"
    )


if __name__ == "__main__":
    main()
