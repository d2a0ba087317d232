"""Pretraining batches: ours against opening the shards for every video and building clip by clip.

    python -m benchmarks.bench_loader [--repeats 8] [--workers 1]

Shards of the true forms are made in a temporary folder: 2 x 512 videos of 380 s on average, float16
features of width 512, a caption about every six seconds.  One item of the data set is one batch,
as in the released pretraining job: 64 videos x 16 clips, 16 seconds and 32 text tokens at most.
Both ways draw from the same seeds, and their batches are compared before anything is timed.  What
is timed is an epoch of all videos, the files being in the page cache.
"""

import argparse
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.harness import RESULTS, compare, report
from benchmarks.plain_loader import PlainBatches
from mmpt.datasets.mmdataset import MMDataset
from mmpt.io.pickles import save_pickle
from mmpt.utils.seeds import seeded
from mmpt.utils.shardedtensor import ShardedTensor

SHARDS, VIDEOS, WIDTH, CAPTION_TOKENS, CLIPS = 2, 512, 512, 32, 16
WORDS = [f"word{i}" for i in range(3000)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_corpus(folder: Path, seed: int = 0) -> None:
    """Shards, meta file, list and tokenizer of a made-up HowTo100M."""
    rng = np.random.default_rng(seed)
    block = rng.standard_normal((4096, WIDTH), dtype=np.float32).astype(np.float16)
    meta = {}
    for shard in range(SHARDS):
        seconds = np.clip(rng.lognormal(5.8, 0.55, VIDEOS), 60, 1800).astype(int)
        features = [np.roll(block, -int(rng.integers(4096)), 0)[:length] for length in seconds]
        captions = [_captions(int(length), rng) for length in seconds]
        ShardedTensor.from_list(features).save(folder / f"train_{shard}")
        for part, name in enumerate(("startends", "caps_ids")):
            ShardedTensor.from_list([entry[part] for entry in captions]).save(
                folder / f"text.train_{shard}.{name}"
            )
        meta[shard] = [f"video{shard}_{position:04d}" for position in range(VIDEOS)]
    save_pickle(folder / "train_meta.pkl", meta)
    (folder / "train.lst").write_text("".join(f"{i}\n" for ids in meta.values() for i in ids))
    bert = folder / "bert"
    bert.mkdir()
    (bert / "vocab.txt").write_text("\n".join(SPECIAL + WORDS) + "\n")
    (bert / "config.json").write_text('{"model_type": "bert"}')


def _captions(seconds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """[captions, 2] seconds and [captions, 32] token ids, -1 after the last one."""
    count = max(2, round(seconds / 6))
    starts = np.sort(rng.uniform(0, seconds - 2, count))
    startends = np.stack([starts, starts + rng.uniform(1, 8, count)], axis=1).astype(np.float32)
    lengths = np.clip(rng.lognormal(2.4, 0.6, count), 1, CAPTION_TOKENS).astype(int)
    ids = rng.integers(len(SPECIAL), len(SPECIAL) + len(WORDS), (count, CAPTION_TOKENS))
    ids[np.arange(CAPTION_TOKENS) >= lengths[:, None]] = -1
    return startends, ids.astype(np.int32)


def settings(folder: Path, videos: int) -> dict:
    """The `dataset` section of projects/retri/norton/how2_pretrain.yaml over that folder."""
    return {
        "split": "train",
        "meta_processor": "ShardedHow2VideoRetriMetaProcessor",
        "video_processor": "ShardedVideoRetriVideoProcessor",
        "text_processor": "ShardedVideoRetriTextProcessor",
        "aligner": "VideoRetriOverlappedAligner",
        "bert_name": str(folder / "bert"),
        "train_path": str(folder / "train.lst"),
        "vfeat_dir": str(folder),
        "tfeat_dir": f"{folder}/text.",
        "subsampling": 1,
        "sampled_min_len": 8,
        "sampled_max_len": 32,
        "max_video_len": 16,
        "max_len": 48,
        "sampled_video_min_len": 3,
        "sampled_video_max_len": 16,
        "num_video_per_batch": videos,
        "clip_per_video": CLIPS,
    }


class Seeded(Dataset):
    """Item i of either way, drawn from seeds that depend on i alone; as fairseq asks for it."""

    def __init__(self, implementation: str, folder: Path, videos: int):
        config = settings(folder, videos)
        ours = MMDataset.from_config(config)
        ours.meta_processor.random_candidates(seed=0)
        groups = [ours.meta_processor[i][0] for i in range(len(ours))]
        self.source = ours if implementation == "ours" else PlainBatches(config, groups)
        self.collate = self.source.collater

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict:
        with seeded(0, index):
            return self.source[index]


def build(implementation: str, folder: Path, videos: int, workers: int) -> Callable[[], None]:
    """One call goes through the data once, as an epoch of training does."""
    data = Seeded(implementation, folder, videos)

    def call() -> None:
        loader = DataLoader(data, batch_size=1, collate_fn=data.collate, num_workers=workers)
        for _ in loader:
            pass

    return call


def assert_equal(folder: Path, videos: int) -> None:
    """Every batch of an epoch is the same both ways."""
    plain, ours = (Seeded(name, folder, videos) for name in ("plain", "ours"))
    for index in range(len(plain)):
        left, right = (data.collate([data[index]]) for data in (plain, ours))
        assert list(left) == list(right), (list(left), list(right))
        for key, value in left.items():
            same = torch.equal(value, right[key]) if torch.is_tensor(value) else value == right[key]
            assert same, f"batch {index}: {key} differs"
    print(f"{len(plain)} batches equal")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=64, help="videos of a batch")
    parser.add_argument("--workers", type=int, default=0, help="loader workers, 0: in the process")
    parser.add_argument("--repeats", type=int, default=8, help="epochs of each way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="measure peak memory too")
    parser.add_argument("--output", type=Path, default=RESULTS / "loader.csv")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder)
        assert_equal(folder, args.videos)
        builds = {
            implementation: functools.partial(
                build, implementation, folder, args.videos, args.workers
            )
            for implementation in ("plain", "ours")
        }
        case = (
            f"{args.videos} videos x {CLIPS} clips, F=16 d={WIDTH} float16, {args.workers} workers"
        )
        rows = compare("loader", case, builds, "plain", repeats=args.repeats, memory=args.memory)
        report(rows, args.output)
    batches = SHARDS * VIDEOS // args.videos
    for row in rows:
        median, fastest = batches / row.seconds_median, batches / row.seconds_min
        print(
            f"{row.implementation}: {median:.1f} items/s by the median epoch, {fastest:.1f} by the "
            f"fastest ({args.videos * CLIPS * fastest:,.0f} clips/s)"
        )
    plain, ours = rows
    print(
        f"items a second, ours over plain: {plain.seconds_median / ours.seconds_median:.1f} by the "
        f"medians, {plain.seconds_min / ours.seconds_min:.1f} by the fastest"
    )


if __name__ == "__main__":
    main()
