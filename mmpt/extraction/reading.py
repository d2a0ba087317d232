"""Reads a video file as seconds of frames: whatever decodes, with a word on what does not.

Files from the web are cut off, damaged, turned, of a varying rate, or no videos at all.  What can
be decoded is given, `VideoReader.damage` says what was wrong with it, and a file that gives
nothing is an error with the reason.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmpt.errors import DataError, LaunchError
from mmpt.extraction.pictures import PictureCutter, Unscalable
from mmpt.extraction.timeline import BestStamps, Timeline, shown_frames
from mmpt.io.files import no_file

if TYPE_CHECKING:
    import av

MISSING_SECONDS = 1
"""So much less than the header promises is no damage: tracks of one file differ in length."""
MICROSECOND = Fraction(1, 1_000_000)
"""FFmpeg's unit for times of a whole file."""
NO_VIDEO = "not a video, or one whose header is cut off or damaged"
PLAYLISTS = ("concat", "dash", "hls", "imf")
"""FFmpeg's names of what is no video and opens other files."""
LOCAL_FILES = {"protocol_whitelist": "file"}
"""A file may be a playlist in disguise, and must not make us open addresses of the network."""


class UnreadableVideo(DataError):
    """A file that gives no frame; `reason` is the message without the file's name."""

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = reason


class VideoReader:
    """The seconds of a video, each as frames of a constant rate.

    Frames are placed by their time stamps, time 0 being the start of the file (of its earliest
    track).  Iterating decodes the file from its beginning; at most one second and one frame are
    held.

    Args:
        path: the file.
        rate: frames a second.
        size: edge of the pictures, see `PictureCutter`.

    Attributes (whole after iterating):
        seconds: how many were given.
        duration: when the last frame ends, in seconds.
        fps: frames a second as the file tells it; None where it does not.
        codec: FFmpeg's name of it.
        damage: what was wrong with the file, None if nothing was.

    Raises:
        LaunchError: PyAV is not installed.
    """

    def __init__(self, path: str | os.PathLike, rate: int = 30, size: int = 224):
        require_pyav()
        self.path = Path(path)
        self.rate = rate
        self.size = size
        self._begin()

    def _begin(self) -> None:
        self.seconds = 0
        self.duration = 0.0
        self.fps: float | None = None
        self.codec = ""
        self._undecoded = 0
        self._first_error = ""
        self._corrupt = 0
        self._stopped: str | None = None
        self._cut: tuple[float, float] | None = None
        self._stamps = BestStamps()
        self._timeline = Timeline(Fraction(0), Fraction(1, self.rate))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Gives uint8 [rate, size, size, 3], RGB, a second; the last one is padded with zeros.

        Raises:
            UnreadableVideo: the file is missing, no video, or no frame of it can be decoded.
        """
        self._begin()
        with self._open() as container:
            stream = self._stream(container)
            try:
                yield from self._seconds(self._timed(container, stream))
            except Unscalable as error:
                raise UnreadableVideo(self.path, str(error)) from error
        if not self.seconds:
            raise UnreadableVideo(
                self.path, f"no frame can be decoded ({self.damage or 'the track is empty'})"
            )

    @property
    def damage(self) -> str | None:
        notes = []
        if self._undecoded:
            notes.append(f"{self._undecoded} packets not decoded ({self._first_error})")
        if self._corrupt:
            notes.append(f"{self._corrupt} frames decoded in part")
        if self._stopped:
            notes.append(f"not read to its end ({self._stopped})")
        if self._cut:
            notes.append(f"ends after {self._cut[0]:.1f} of {self._cut[1]:.1f} s")
        if self._timeline.first_jump:
            at, by = self._timeline.first_jump
            jumps = f"time stamps jump {self._timeline.jumps} times"
            notes.append(f"{jumps}, closed (first: by {by:.0f} s at {at:.1f} s)")
        return "; ".join(notes) or None

    def _open(self) -> "av.container.InputContainer":
        """The file, opened; an absolute name, which FFmpeg takes for no protocol's."""
        import av

        other = no_file(self.path)
        if other is not None:
            raise UnreadableVideo(self.path, f"{other}, no file")
        path = os.path.abspath(self.path)
        try:
            if os.stat(path).st_size == 0:
                raise UnreadableVideo(self.path, "an empty file")
            container = av.open(path, metadata_errors="ignore", options=LOCAL_FILES)
        except av.error.InvalidDataError as error:
            raise UnreadableVideo(self.path, f"{NO_VIDEO} ({_reason(error)})") from error
        except (av.error.FFmpegError, OSError) as error:
            raise UnreadableVideo(self.path, _reason(error)) from error
        except UnicodeEncodeError:
            raise UnreadableVideo(self.path, "a file name that is not UTF-8") from None
        if container.format.name in PLAYLISTS:
            container.close()
            raise UnreadableVideo(self.path, "a list of other files, no video")
        return container

    def _stream(self, container: "av.container.InputContainer") -> "av.video.stream.VideoStream":
        """The video track to decode, its facts noted."""
        import av

        cover = av.stream.Disposition.attached_pic
        tracks = [track for track in container.streams.video if not track.disposition & cover]
        if not tracks:
            others = sorted({track.type for track in container.streams if track.type})
            found = f"only {', '.join(others)}" if others else "no track at all"
            raise UnreadableVideo(self.path, f"no video in it ({found})")
        best = container.streams.best("video")
        stream = best if best in tracks else tracks[0]
        if stream.codec_context is None:
            raise UnreadableVideo(self.path, "a video codec that FFmpeg cannot decode")
        # several videos are decoded beside each other: one thread each
        stream.codec_context.thread_count = 1
        self.codec = stream.codec_context.name
        rate = stream.average_rate or stream.guessed_rate
        self.fps = round(float(rate), 3) if rate else None
        interval = 1 / rate if rate else Fraction(1, self.rate)
        self._timeline = Timeline(_start(container, stream), interval)
        return stream

    def _timed(
        self, container: "av.container.InputContainer", stream: Any
    ) -> Iterator[tuple[Fraction, "av.VideoFrame"]]:
        """The frames with their times; the file's end is compared with its header at the end."""
        last = Fraction(0)
        for packet in self._packets(container):
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                last = max(last, end)
            if packet.stream_index == stream.index:
                for frame in self._decoded(packet):
                    self._corrupt += frame.is_corrupt
                    yield self._time_of(frame, stream), frame
        self.duration = round(float(self._timeline.end), 3)
        self._compare_with_header(container, stream, last)

    def _time_of(self, frame: "av.VideoFrame", stream: Any) -> Fraction:
        base = frame.time_base or stream.time_base
        stamp = self._stamps.pick(frame.pts, frame.dts)
        stamp = None if stamp is None else stamp * base
        return self._timeline.place(stamp, frame.duration * base if frame.duration else None)

    def _packets(self, container: "av.container.InputContainer") -> Iterator["av.Packet"]:
        """Those of all tracks: where the others end tells whether the file is whole."""
        import av

        try:
            yield from container.demux()
        except (av.error.FFmpegError, OSError) as error:
            self._stopped = _reason(error)

    def _decoded(self, packet: "av.Packet") -> list["av.VideoFrame"]:
        import av

        try:
            return packet.decode()
        except EOFError:
            return []
        except (av.error.FFmpegError, OSError) as error:
            self._undecoded += 1
            self._first_error = self._first_error or _reason(error)
            return []

    def _compare_with_header(
        self, container: "av.container.InputContainer", stream: Any, last: Fraction
    ) -> None:
        pairs = []
        if stream.duration:
            pairs.append((self._timeline.end, stream.duration * stream.time_base))
        if container.duration:
            pairs.append((last, container.duration * MICROSECOND))
        for got, promised in pairs:
            if got < promised - MISSING_SECONDS and not self._timeline.jumps:
                self._cut = (float(got), float(promised))
                return

    def _seconds(self, timed: Iterator[tuple[Fraction, "av.VideoFrame"]]) -> Iterator[np.ndarray]:
        cut = PictureCutter(self.size)
        clip, filled = None, 0
        for frame, slots in shown_frames(timed, self._timeline, self.rate):
            picture = cut(frame)
            while slots:
                if clip is None:
                    clip = np.empty((self.rate, self.size, self.size, 3), np.uint8)
                    filled = 0
                count = min(slots, self.rate - filled)
                clip[filled : filled + count] = picture
                filled += count
                slots -= count
                if filled == self.rate:
                    self.seconds += 1
                    yield clip
                    clip = None
        if clip is not None:
            clip[filled:] = 0
            self.seconds += 1
            yield clip


def require_pyav() -> None:
    """
    Raises:
        LaunchError: PyAV is not installed.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise LaunchError(
            f"videos are decoded with PyAV, which cannot be imported ({error}); "
            "pip install -e '.[video]'"
        ) from error


def decoder_of(codec: str) -> str:
    """What decoded a video, with its version: `h264, PyAV 18.1.0, libavcodec 62.28.102`."""
    import av

    version = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"{codec}, PyAV {av.__version__}, libavcodec {version}"


def _start(container: Any, stream: Any) -> Fraction:
    """The time stamp of the file's beginning, in seconds.

    FFmpeg rounds it to microseconds; where it is the video's own, that one is exact.
    """
    own = None if stream.start_time is None else stream.start_time * stream.time_base
    if container.start_time is None:
        return own or Fraction(0)
    start = container.start_time * MICROSECOND
    return own if own is not None and abs(own - start) <= MICROSECOND else start


def _reason(error: OSError | ValueError) -> str:
    """The text of an error of FFmpeg or of the system, without number and file name."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
