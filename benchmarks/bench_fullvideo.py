"""Video-paragraph retrieval of YouCook2's shape: all pairs at once against one pair at a time.

    python -m benchmarks.bench_fullvideo [--repeats 3]

Caption average, published DTW and published OTAM; 60 videos in both forms (the plain one is
`mmpt.ops.alignment.reference`), and the 436 videos of the validation set in the fast one, with and
without background.  Memory is what one call needs on top of the scores.
"""

import argparse
from functools import partial

import numpy as np

from benchmarks.harness import RESULTS, compare, report
from mmpt.evaluators.video_paragraph import (
    BACKGROUND_COST,
    KEPT_CLIPS,
    Videos,
    caption_average,
    clips_of_videos,
    exact_alignments,
    published_alignments,
    windows_of_videos,
)
from mmpt.ops.alignment.reference import published_dtw, published_otam

CAPTIONS = {3: 14, 4: 27, 5: 76, 6: 70, 7: 60, 8: 62, 9: 43, 10: 28, 11: 23, 12: 20, 13: 17}
CAPTIONS |= {14: 11, 15: 5, 16: 1}
"""Captions of a video -> videos of YouCook2's validation set."""
WINDOWS = (8, 40)
"""Windows of 16 s that a video has."""


def make_videos(count: int, background: bool) -> Videos:
    """Random scores, float32."""
    random = np.random.default_rng(0)
    lengths, weights = np.array(list(CAPTIONS)), np.array(list(CAPTIONS.values()))
    captions = random.choice(lengths, size=count, p=weights / weights.sum())
    ids = [f"v{number:04d}" for number in range(count)]
    if not background:
        scores = random.random((captions.sum(),) * 2, dtype=np.float32)
        return clips_of_videos(scores, np.repeat(ids, captions))
    windows = random.integers(*WINDOWS, size=count)
    scores = random.random((captions.sum(), windows.sum()), dtype=np.float32)
    return windows_of_videos(scores, ids, windows, captions)


def plain(videos: Videos, background: bool) -> None:
    """Every pair by itself, as the published evaluation goes about it."""
    most = int(videos.captions.max()), int(videos.clips.max())
    row = 0
    for n in videos.captions:
        column = 0
        for k in videos.clips:
            block = videos.scores[row : row + n, column : column + k]
            block.max(axis=1).mean()
            if background:
                kept = np.argsort(-block.max(axis=0), kind="stable")[: int(KEPT_CLIPS * n)]
                block = block[:, np.sort(kept)]
                size = n * block.shape[1]
                published_dtw((BACKGROUND_COST - block) * (most[0] * most[1] / size), most)
                published_otam(-block * (max(most) / max(block.shape)), most)
            else:
                cost = -block * (most[1] ** 2 / (n * k))
                published_dtw(cost, most)
                published_otam(cost, most)
            column += k
        row += n


def published(videos: Videos, background: bool) -> None:
    caption_average(videos)
    published_alignments(videos, background)


def everything(videos: Videos, background: bool) -> None:
    published(videos, background)
    exact_alignments(videos, background)


def build(form, count: int, background: bool):
    return partial(form, make_videos(count, background), background)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    output = RESULTS / "fullvideo.csv"
    for background in (False, True):
        name = "with background" if background else "clips alone"
        forms = {"per pair": plain, "all pairs": published}
        builds = {name: partial(build, form, 60, background) for name, form in forms.items()}
        rows = compare("fullvideo", f"60 videos, {name}", builds, "per pair", repeats=1)
        report(rows, output)
        forms = {"all pairs": published, "with exact": everything}
        builds = {name: partial(build, form, 436, background) for name, form in forms.items()}
        rows = compare(
            "fullvideo", f"436 videos, {name}", builds, "all pairs", repeats=args.repeats
        )
        report(rows, output)


if __name__ == "__main__":
    main()
