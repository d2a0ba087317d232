"""Captions -> token ids in several processes, with a bound on what is under way."""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from mmpt.errors import LaunchError
from mmpt.sharding.tokens import TokenRequest, VideoTokens, prepare_worker, tokenise

VIDEOS_AT_ONCE = 64
"""What a process is handed together."""
WAITING = 3
"""Such parcels a process that are under way: a bound on memory."""


def tokenise_all(
    entries: Iterable[tuple[str, Any]], asked: TokenRequest, processes: int
) -> Iterator[VideoTokens]:
    """The entries as token ids, in their order whatever the number of processes.

    Args:
        entries: as `stream_captions` gives them.
        asked: how.
        processes: 1: in this process.

    Raises:
        LaunchError: a process was killed.
        DataError: as `tokenise`, and of the entries.
    """
    parcels = _parcels(entries)
    work = partial(tokenise, asked=asked)
    if processes == 1:
        for parcel in parcels:
            yield from work(parcel)
        return
    under_way: deque = deque()
    start = multiprocessing.get_context("spawn")
    prepared = (asked.bert_name, asked.use_fast)
    try:
        with ProcessPoolExecutor(processes, start, prepare_worker, prepared) as pool:
            try:
                for parcel in parcels:
                    under_way.append(pool.submit(work, parcel))
                    if len(under_way) > WAITING * processes:
                        yield from under_way.popleft().result()
                while under_way:
                    yield from under_way.popleft().result()
            finally:
                for left in under_way:
                    left.cancel()
    except BrokenProcessPool:
        raise LaunchError(
            f"processes {processes}: one that tokenised was killed (out of memory?); try fewer"
        ) from None


def _parcels(entries: Iterable[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    iterator = iter(entries)
    while parcel := list(itertools.islice(iterator, VIDEOS_AT_ONCE)):
        yield parcel
