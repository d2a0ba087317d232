"""Small videos made with PyAV, of every kind that a folder from the web holds."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from mmpt.extraction.networks import NETWORKS, Network
from mmpt.extraction.plan import Options
from mmpt.extraction.run import extract

av = pytest.importorskip("av")


def picture(number, width=64, height=48):
    """A frame that tells its number: brightness 8 x number, and a red left upper corner."""
    pixels = np.full((height, width, 3), 8 * number % 248, np.uint8)
    pixels[: height // 4, : width // 4] = (250, 10, 10)
    return pixels


def write_video(
    path,
    frames=12,
    rate=30,
    stamps=None,
    codec="mpeg4",
    pix_fmt="yuv420p",
    size=(64, 48),
    rotation=0,
    audio_seconds=0,
    options=None,
):
    """Writes a video; `stamps` are times in units of 1/1000 s instead of a constant rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        sound = _sound(container) if audio_seconds else None
        if frames:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            if stamps is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if rotation:
                stream.set_display_rotation(rotation)
            for number in range(frames):
                frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
                if stamps is not None:
                    frame.time_base, frame.pts = Fraction(1, 1000), stamps[number]
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        if sound is not None:
            _hum(container, sound, audio_seconds)
    return path


def _sound(container):
    stream = container.add_stream("aac", rate=8000)
    stream.layout = "mono"
    return stream


def _hum(container, stream, seconds):
    for start in range(0, int(8000 * seconds), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


@pytest.fixture(scope="session")
def make_video():
    return write_video


class Corners(nn.Module):
    """The mean colours of a clip, a constant, and a weight of its own if it has one."""

    def __init__(self, weights=None):
        super().__init__()
        self.register_buffer("one", torch.ones(1) if weights is None else torch.load(weights))

    def forward(self, clips):
        means = clips.float().mean(dim=(1, 2, 3))
        return torch.cat([means, self.one.float().expand(len(clips), 2)], dim=1)


def _randomise(seed, clips, path):
    torch.save(torch.full((1,), seed + clips.float().mean()), path)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Two small networks in the registry: `tiny`, and `weighted`, which has weights."""
    weights = tmp_path / "weighted.pth"
    torch.save(torch.full((1,), 7.0), weights)
    networks = {
        "tiny": Network(4, 16, 5, lambda _: Corners()),
        "weighted": Network(4, 16, 5, Corners, weights, _randomise),
    }
    for name, network in networks.items():
        monkeypatch.setitem(NETWORKS, name, network)
    return networks


@pytest.fixture
def videos(make_video, tmp_path):
    """A folder: three videos (3, 1 and 2 seconds), one cut off, one that is none."""
    folder = tmp_path / "videos"
    make_video(folder / "a.mp4", frames=70)
    make_video(folder / "deep/b.b.mkv", frames=10)
    make_video(folder / "-c.avi", frames=40)
    cut = make_video(folder / "cut.mkv", frames=90)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (folder / "bad.mp4").write_bytes(b"nothing")
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture
def run(videos, tiny, tmp_path):
    """`run(network="tiny", ...)`: extracts to the folder `features`; as from a new process."""

    def call(**given):
        options = {
            "folders": (videos,),
            "features": tmp_path / "features",
            "network": "tiny",
            "batch_size": 4,
        }
        return extract(Options(**{**options, **given}))

    return call
