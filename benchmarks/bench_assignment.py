"""Ordered assignment: running minima against the walk through states.

    python -m benchmarks.bench_assignment [--frames 300] [--steps 8] [--repeats 5]

Random costs of some videos, float64.

minima       `mmpt.ops.alignment.assignment`: one running minimum over the frames a step
states       `mmpt.ops.alignment.reference`: state by state, frame by frame
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import RESULTS, compare, report
from mmpt.ops.alignment import assignment, reference

VIDEOS = 20
WAYS = {
    "minima": assignment.ordered_assignment,
    "states": reference.ordered_assignment_walk,
}


def build(way: str, frames: int, steps: int) -> Callable[[], list]:
    costs = np.random.default_rng(0).standard_normal((VIDEOS, frames, steps))
    return lambda: [WAYS[way](cost) for cost in costs]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS / "assignment.csv")
    args = parser.parse_args(argv)
    builds = {way: functools.partial(build, way, args.frames, args.steps) for way in WAYS}
    case = f"{VIDEOS} videos, L={args.frames} K={args.steps}"
    rows = compare("assignment", case, builds, "states", repeats=args.repeats, memory=False)
    report(rows, args.output)


if __name__ == "__main__":
    main()
