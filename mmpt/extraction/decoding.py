"""Threads that decode videos ahead of the network, a bounded number of clips ahead."""

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmpt.extraction.reading import UnreadableVideo, VideoReader, decoder_of

POLL_SECONDS = 0.2
"""How soon a thread that waits sees that it is to end."""


class Clip(NamedTuple):
    """A second of the video at index `video`; uint8 [rate, size, size, 3]."""

    video: int
    pixels: np.ndarray


class End(NamedTuple):
    """What follows the last clip of a video.

    Attributes:
        video: index of the video.
        size, mtime: of the file before it was opened; None if it could not be looked at.
        seconds: clips that were given.
        duration, fps, decoder, damage: as in the manifest.
        failure: why there are no features of it; None where there are.
    """

    video: int
    size: int | None = None
    mtime: int | None = None
    seconds: int = 0
    duration: float = 0.0
    fps: float | None = None
    decoder: str = ""
    damage: str | None = None
    failure: str | None = None


class Decoders:
    """Decodes videos in threads and gives their clips and ends as they come.

    The clips of a video come in order and its end after them; videos come mixed.  Used in a `with`
    statement: leaving it stops the threads.

    Args:
        videos: the files.
        rate, size: see `VideoReader`.
        threads: videos that are decoded at a time.
        ahead: clips that may wait for the network; 4.5 MB each at 30 frames of 224 x 224.

    Attributes:
        waited: seconds that the taker waited for the next clip.
    """

    def __init__(self, videos: Sequence[Path], rate: int, size: int, threads: int, ahead: int):
        self._videos = videos
        self._rate, self._size = rate, size
        self._next = iter(range(len(videos)))
        self._taking = threading.Lock()
        self._queue: queue.Queue[Clip | End | BaseException] = queue.Queue(maxsize=ahead)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"decoder {number}", daemon=True)
            for number in range(min(threads, len(videos)))
        ]
        self.waited = 0.0

    def __enter__(self) -> "Decoders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def __iter__(self) -> Iterator[Clip | End]:
        """Until every video has ended; what a thread did not expect is raised here."""
        ended = 0
        while ended < len(self._videos):
            begin = time.perf_counter()
            item = self._queue.get()
            self.waited += time.perf_counter() - begin
            if isinstance(item, BaseException):
                raise item
            ended += isinstance(item, End)
            yield item

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                with self._taking:
                    video = next(self._next, None)
                if video is None or not self._decode(video):
                    return
        except BaseException as error:
            self._put(error)

    def _decode(self, video: int) -> bool:
        """Whether the threads go on."""
        path = self._videos[video]
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            return self._put(End(video, failure=reason))
        known = {"size": status.st_size, "mtime": int(status.st_mtime)}
        reader = VideoReader(path, self._rate, self._size)
        try:
            for pixels in reader:
                if not self._put(Clip(video, pixels)):
                    return False
        except UnreadableVideo as error:
            return self._put(End(video, **known, failure=error.reason))
        return self._put(
            End(
                video,
                **known,
                seconds=reader.seconds,
                duration=reader.duration,
                fps=reader.fps,
                decoder=decoder_of(reader.codec),
                damage=reader.damage,
            )
        )

    def _put(self, item: Clip | End | BaseException) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False
