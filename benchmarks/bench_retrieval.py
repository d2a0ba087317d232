"""Retrieved batches: all anchors at once against one anchor after the other.

    python -m benchmarks.bench_retrieval [--vectors 100000] [--repeats 3] [--threads 2]

The paper's settings: 512 cells of 48 examples, batches of 64 videos out of 192 neighbours, one
anchor for 64 videos. The vectors (width 768) lie around 2,000 centres, as videos of one task do.
What is timed is the index together with the batches drawn from it, from the vectors on:

ours          `VectorRetriever` and `draw_batches`: the anchors' vectors are read back and searched
              together; cells are visited until 192 neighbours are found
one by one    the same index; each anchor's vector is read back and searched by itself, in all
              cells, which is what one call needs to be sure of 192
one by one, one cell
              the same, in one cell, as published: 192 are rarely found
one by one, same cells
              the same, in as many cells as ours begins with, where it may find fewer than 192
index alone   what all of them have in common
"""

import argparse
import functools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import RESULTS, compare, report
from mmpt.modules.hardbatches import draw_batches
from mmpt.modules.retri import VectorRetriever

WIDTH, CENTRES, CELLS, EXAMPLES, VIDEOS, CANDIDATES = 768, 2000, 512, 48, 64, 192


def make_vectors(count: int) -> np.ndarray:
    """[count, WIDTH] float32."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CENTRES, WIDTH), dtype=np.float32)
    vectors = rng.standard_normal((count, WIDTH), dtype=np.float32)
    vectors += centres[rng.integers(CENTRES, size=count)]
    return vectors


def retriever(vectors: np.ndarray, names: list[str], nprobe: int | None) -> VectorRetriever:
    made = VectorRetriever(WIDTH, CELLS, "flatl2", EXAMPLES, nprobe)
    made.add(vectors, names, last=True)
    return made


def build(way: str, count: int) -> Callable[[], list]:
    """One call makes the index and the batches of an epoch."""
    vectors = make_vectors(count)
    names = [f"video{i:07d}" for i in range(count)]
    beginning = max(1, -(-2 * CANDIDATES * CELLS // count))
    nprobe = {
        "one by one": CELLS,
        "one by one, one cell": 1,
        "one by one, same cells": beginning,
    }.get(way)

    def call() -> list:
        made = retriever(vectors, names, nprobe)
        if way == "index alone":
            return []
        together = made.search_by_video_ids

        def one_by_one(anchors, k):
            return [together([anchor], k)[0] for anchor in anchors]

        search = together if way == "ours" else one_by_one
        return draw_batches(names, VIDEOS, CANDIDATES, search, random.Random(1))

    return call


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS / "retrieval.csv")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    ways = (
        "ours",
        "one by one",
        "one by one, one cell",
        "one by one, same cells",
        "index alone",
    )
    builds = {way: functools.partial(build, way, args.vectors) for way in ways}
    case = f"{args.vectors} x {WIDTH}, {CELLS} cells, {VIDEOS} of {CANDIDATES}"
    rows = compare("retrieval", case, builds, "one by one", repeats=args.repeats, memory=False)
    report(rows, args.output)


if __name__ == "__main__":
    main()
