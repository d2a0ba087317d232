"""RetrievalMetric: counting what is better against sorting every row.

    python -m benchmarks.bench_retrieval_metric [--items 10000] [--repeats 2] [--threads 2]

Random scores float32, as many texts as videos, so that both directions are measured.

count        `RetrievalMetric`: what is better than the truth is counted; all checks included
argsort      each row, and then each column, sorted by `np.argsort` and searched for the truth
stable       the same with a stable sort, which is what settles ties as `count` does
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import RESULTS, compare, report
from mmpt.evaluators import RetrievalMetric


@functools.cache
def make_scores(items: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((items, items), dtype=np.float32)


def by_argsort(outputs: np.ndarray, kind: str | None = None) -> dict[str, float]:
    """The same numbers, row by row."""
    found = {}
    for prefix, scores in (("", outputs), ("V2T-", outputs.T)):
        ranks = np.array(
            [
                np.flatnonzero(np.argsort(row, kind=kind)[::-1] == query)[0]
                for query, row in enumerate(scores)
            ]
        )
        found |= {f"{prefix}R{k}": float((ranks < k).mean()) for k in (1, 5, 10)}
        found[f"{prefix}MR"] = float(np.median(ranks) + 1)
    return found


def build(way: str, items: int) -> Callable[[], dict]:
    scores = make_scores(items)
    if way == "count":
        return functools.partial(RetrievalMetric().compute_metrics, outputs=scores)
    return functools.partial(by_argsort, scores, "stable" if way == "stable" else None)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS / "retrieval_metric.csv")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    ways = ("count", "argsort", "stable")
    if any(build(way, 500)() != build("count", 500)() for way in ways):
        raise SystemExit("they do not give the same numbers")
    builds = {way: functools.partial(build, way, args.items) for way in ways}
    case = f"{args.items} x {args.items} float32"
    report(
        compare("retrieval_metric", case, builds, "argsort", repeats=args.repeats, memory=False),
        args.output,
    )


if __name__ == "__main__":
    main()
