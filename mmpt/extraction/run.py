"""One run of feature extraction: videos decoded, computed, written and noted.

Features are written as `FDIR/VIDEO_ID.npy`, [seconds, width], each file whole or not there, and
then noted in the manifest; so a run that is killed at any moment goes on with the same command.
"""

import io
import logging
import time
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmpt.errors import first_few
from mmpt.extraction.batching import Batches, steady_size
from mmpt.extraction.decoding import Clip, Decoders, End
from mmpt.extraction.manifest import Entry, Failure, Record, feature_file
from mmpt.extraction.networks import NETWORKS
from mmpt.extraction.plan import Options, Plan, make_plan
from mmpt.extraction.reading import require_pyav
from mmpt.io.atomic import atomic_write

logger = logging.getLogger(__name__)

EPSILON = 1e-12
"""Shortest length that a vector is divided by."""


class Summary(NamedTuple):
    """How a run ended.

    Attributes:
        done: videos with new features.
        before: videos that had theirs already.
        failed: videos, and ids of a list, without.
        damaged: of the done, those whose files were not whole.
        seconds: of video that were computed.
        wall: seconds that it took.
        starved: seconds of that in which the network waited for clips.
    """

    done: int
    before: int
    failed: int
    damaged: int
    seconds: int
    wall: float
    starved: float

    def __str__(self) -> str:
        text = (
            f"{self.done} videos done, {self.before} done before, {self.failed} without features, "
            f"{self.damaged} of damaged files"
        )
        if not self.seconds:
            return text
        share = self.starved / self.wall
        slower = "decoding" if share > 0.5 else "the network"
        return (
            f"{text}; {self.seconds} s of video, {self.seconds / self.wall:.2f} s a second; the "
            f"network waited for clips {share:.0%} of the time: {slower} sets the pace"
        )


def extract(options: Options) -> Summary:
    """Makes the features that are missing or of a changed video or setting.

    Raises:
        LaunchError: PyAV is missing, another process does this part, the network has no weights
            and is given some, or the device's memory is too small for a batch.
        CheckpointError: the weights are missing or of another network.
        DataError: folders, ids, the list or a manifest cannot be used.
    """
    require_pyav()
    plan = make_plan(options)
    run = Run(options, plan)
    try:
        summary = run.do()
    except (KeyboardInterrupt, SystemExit):
        logger.info("stopped after %d videos; the same command goes on from there", run.done)
        raise
    if run.failures:
        reasons = first_few([f"{failure.id}: {failure.reason}" for failure in run.failures])
        logger.warning("without features: %s", reasons)
    return summary


class Run:
    """The videos of one run on their way.

    Args:
        options: of the run.
        plan: what there is to do.

    Attributes:
        done, damaged: as in `Summary`.
        failures: videos without features.
    """

    def __init__(self, options: Options, plan: Plan):
        self.done = self.damaged = 0
        self.failures: list[Failure] = []
        self._options = options
        self._plan = plan
        self._record = Record(options.features, options.split)
        self._videos = list(plan.todo.items())
        self._rows: dict[int, list[np.ndarray]] = defaultdict(list)
        self._ends: dict[int, End] = {}
        self._dropped: set[int] = set()

    def do(self) -> Summary:
        """Does what the plan says."""
        begin = time.perf_counter()
        for failure in self._plan.lost:
            self._fail(failure)
        seconds, starved = self._compute() if self._videos else (0, 0.0)
        self._record.finish(settled=self._plan.done)
        return Summary(
            done=self.done,
            before=len(self._plan.done),
            failed=len(self.failures),
            damaged=self.damaged,
            seconds=seconds,
            wall=time.perf_counter() - begin,
            starved=starved,
        )

    def _compute(self) -> tuple[int, float]:
        """Seconds of video computed, and seconds that the network waited for them."""
        network = NETWORKS[self._options.network]
        size = steady_size(self._options.batch_size)
        batches = Batches(
            network.build(self._plan.weights.path),
            size,
            (network.rate, network.size, network.size, 3),
            self._options.device,
            self._options.dtype,
        )
        files = [path for _, path in self._videos]
        decoders = Decoders(files, network.rate, network.size, self._options.decoders, 2 * size)
        with tqdm(total=len(files), desc="extracting", unit="video", delay=1) as bar, decoders:
            for item in decoders:
                if isinstance(item, Clip):
                    self._take(batches.add(item.video, item.pixels))
                else:
                    self._end(item)
                bar.update(len(files) - self._left() - bar.n)
            self._take(batches.flush())
            bar.update(len(files) - bar.n)
        return batches.clips, decoders.waited

    def _left(self) -> int:
        lost = len(self._plan.lost)
        return len(self._videos) - self.done - (len(self.failures) - lost)

    def _end(self, end: End) -> None:
        if end.failure:
            # clips that came before are of no use, also those that are being computed
            self._dropped.add(end.video)
            self._rows.pop(end.video, None)
            name, path = self._videos[end.video]
            self._fail(Failure(name, str(path), end.failure))
        else:
            self._ends[end.video] = end
            self._write_if_whole(end.video)

    def _take(self, vectors: list[tuple[int, np.ndarray]]) -> None:
        for video, vector in vectors:
            if video not in self._dropped:
                self._rows[video].append(vector.copy())
                self._write_if_whole(video)

    def _write_if_whole(self, video: int) -> None:
        end = self._ends.get(video)
        if end is None or len(self._rows[video]) < end.seconds:
            return
        del self._ends[video]
        rows = np.stack(self._rows.pop(video))
        name, path = self._videos[video]
        settings = self._plan.settings
        features = as_stored(rows, settings.l2_normalize, settings.stored)
        if np.isfinite(features).all():
            self._record.done(self._written(name, path, features, end))
            self.done += 1
            self.damaged += end.damage is not None
        else:
            reason = f"NaN or infinity computed in {settings.dtype}, stored as {settings.stored}"
            self._fail(Failure(name, str(path), reason))

    def _fail(self, failure: Failure) -> None:
        old = feature_file(self._options.features, failure.id)
        if old.exists():
            failure = failure._replace(reason=f"{failure.reason}; {old.name} is of an earlier run")
        self._record.failed(failure)
        self.failures.append(failure)

    def _written(self, name: str, path: Path, features: np.ndarray, end: End) -> Entry:
        buffer = io.BytesIO()
        np.save(buffer, features, allow_pickle=False)
        content = buffer.getvalue()
        with atomic_write(feature_file(self._options.features, name)) as file:
            file.write(content)
        return Entry(
            id=name,
            source=str(path),
            size=end.size,
            mtime=end.mtime,
            seconds=len(features),
            duration=end.duration,
            fps=end.fps,
            decoder=end.decoder,
            damage=end.damage,
            bytes=len(content),
            sha256=sha256(content).hexdigest(),
            **self._plan.settings._asdict(),
        )


def as_stored(rows: np.ndarray, l2_normalize: bool, stored: str) -> np.ndarray:
    """Vectors in the form of their file.

    Args:
        rows: float32 [seconds, width].
        l2_normalize: to length 1; zero vectors stay zero.
        stored: dtype of the result.
    """
    if l2_normalize:
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), EPSILON)
    with np.errstate(over="ignore"):  # infinity is looked for afterwards
        return rows.astype(stored)
