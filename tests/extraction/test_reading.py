"""Videos of every kind: what is seen when, and what is said about what is not whole."""

import builtins
import os
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from mmpt.errors import LaunchError
from mmpt.extraction.pictures import NARROWEST, PictureCutter, Unscalable, middle, scaled_size
from mmpt.extraction.reading import UnreadableVideo, VideoReader, decoder_of

SIZE = 32


def read(path):
    reader = VideoReader(path, size=SIZE)
    return reader, list(reader)


def numbers(clips):
    """Which frame is seen in each slot, by its brightness; 0 in padding too."""
    middle_pixels = np.concatenate([clip[:, SIZE // 2, SIZE // 2] for clip in clips])
    return np.round(middle_pixels.mean(axis=1) / 8).astype(int).tolist()


def why(path):
    with pytest.raises(UnreadableVideo) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    return caught.value.reason


def test_a_video_is_seconds_of_frames(make_video, tmp_path):
    reader, clips = read(make_video(tmp_path / "a.mkv", frames=40, codec="ffv1"))
    assert [clip.shape for clip in clips] == [(30, SIZE, SIZE, 3)] * 2
    assert clips[0].dtype == np.uint8
    assert (reader.seconds, reader.duration, reader.fps) == (2, 1.333, 30.0)
    assert (reader.codec, reader.damage) == ("ffv1", None)
    assert decoder_of("ffv1").startswith("ffv1, PyAV ")
    assert numbers(clips[:1]) == list(range(30))
    assert not clips[1][10:].any() and clips[1][:10].any()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.ts", "mpeg2video"),
        ("a.webm", "libvpx-vp9"),
        ("a.h264", "libx264"),  # no time stamps, no length, no frame count
        ("a:b|c %03d.mp4", "mpeg4"),
        ("-ünï.cödé.MP4", "mpeg4"),
    ],
)
def test_containers_and_names(name, codec, make_video, tmp_path):
    reader, clips = read(make_video(tmp_path / name, frames=24, codec=codec))
    assert reader.seconds == 1
    assert numbers(clips)[:24] == list(range(24))
    assert reader.damage is None


def test_frames_are_shown_by_their_time_stamps(make_video, tmp_path):
    stamps = [0, 100, 133, 400, 1500, 1600]
    reader, clips = read(make_video(tmp_path / "v.mkv", frames=6, stamps=stamps))
    slots = [round(stamp * 30 / 1000) for stamp in stamps]
    expected = [frame for frame, (a, b) in enumerate(pairwise(slots)) for _ in range(b - a)]
    assert numbers(clips)[: slots[-1] + 1] == [*expected, 5]
    assert reader.seconds == 2


@pytest.mark.parametrize("rate", [24, 25, Fraction(30000, 1001), 60, 10])
def test_the_slots_are_those_of_ffmpeg(rate, make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=30, rate=rate, codec="libx264")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(template=stream),
            graph.add("fps", "30"),
            graph.add("scale", "42:32:flags=bicubic"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ).configure()
        expected = []
        for frame in [*container.decode(stream), None]:
            graph.push(frame)
            while True:
                try:
                    expected.append(graph.pull().to_ndarray()[:, 5:37])
                except (av.error.BlockingIOError, av.error.EOFError):
                    break
    clips = np.concatenate(read(path)[1]).astype(int)
    got = clips[: len(expected)]
    assert not clips[len(expected) :].any()
    assert np.abs(got - np.stack(expected)).mean(axis=(1, 2, 3)).max() < 1


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotated_videos_are_upright(rotation, make_video, tmp_path):
    path = make_video(tmp_path / "r.mp4", rotation=rotation, codec="libx264", size=(48, 48))
    first = read(path)[1][0][0].astype(int)
    red = first[..., 0] - first[..., 1] > 100
    corner = np.zeros_like(red)
    corner[: SIZE // 4, : SIZE // 4] = True
    corner = np.rot90(corner, rotation // 90)
    assert (red == corner).mean() > 0.98


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("shape", [(32, 45), (46, 32), (32, 32)])
def test_the_middle_is_cut_out_as_it_is_shown(turns, shape):
    image = np.arange(shape[0] * shape[1]).reshape(shape)
    left, top = middle(shape[1], shape[0], 32, turns)
    shown = np.rot90(image, turns)
    y, x = (shown.shape[0] - 32) // 2, (shown.shape[1] - 32) // 2
    cut = np.rot90(image[top : top + 32, left : left + 32], turns)
    np.testing.assert_array_equal(cut, shown[y : y + 32, x : x + 32])


@pytest.mark.parametrize(
    ("pix_fmt", "codec"),
    [
        ("gray", "ffv1"), ("yuv420p10le", "libx264"), ("bgra", "ffv1"), ("yuv444p", "libx264"),
    ],
)  # fmt: skip
def test_pixel_formats(pix_fmt, codec, make_video, tmp_path):
    path = make_video(tmp_path / "a.mkv", frames=5, codec=codec, pix_fmt=pix_fmt)
    assert numbers(read(path)[1])[:5] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (17, 33), (65, 49), (64, 2)])
def test_odd_and_tiny_pictures(size, make_video, tmp_path):
    path = make_video(tmp_path / "a.mkv", frames=4, codec="ffv1", size=size)
    assert read(path)[1][0].shape == (30, SIZE, SIZE, 3)


def test_scaling_keeps_the_shorter_side():
    assert scaled_size(1280, 720, 224) == (398, 224)
    assert scaled_size(720, 1281, 224) == (224, 398)
    assert scaled_size(100, 100, 224) == (224, 224)
    with pytest.raises(Unscalable, match="1 x 65 pixels"):
        scaled_size(1, NARROWEST + 1, 224)


def test_too_narrow_pictures_are_refused(make_video, tmp_path):
    path = make_video(tmp_path / "a.mkv", frames=2, codec="ffv1", size=(4, 400))
    assert "a picture of 4 x 400 pixels" in why(path)


def test_only_frames_that_are_shown_are_converted(make_video, tmp_path, monkeypatch):
    made = []
    convert = PictureCutter.__call__
    monkeypatch.setattr(PictureCutter, "__call__", lambda s, f: made.append(f) or convert(s, f))
    read(make_video(tmp_path / "a.mkv", frames=60, rate=120))
    assert len(made) <= 16
    made.clear()
    read(make_video(tmp_path / "b.mkv", frames=2, stamps=[0, 2000]))
    assert len(made) == 2


# ---- what is not whole ------------------------------------------------------------------------


def test_no_video_at_all(make_video, tmp_path):
    bad = tmp_path / "bad.mp4"
    assert why(bad) == "No such file or directory"
    assert why(tmp_path) == "a folder, no file"
    bad.touch()
    assert why(bad) == "an empty file"
    for content in (b"x", b"<html>404</html>" * 99, b"#EXTM3U\n#EXTINF:1,\nhttp://[::1]/x.ts\n"):
        bad.write_bytes(content)
        assert "not a video" in why(bad)
    make_video(tmp_path / "a.mp4")
    bad.write_text("ffconcat version 1.0\nfile a.mp4\n")
    assert "a list of other files" in why(bad)
    os.mkfifo(tmp_path / "pipe.mp4")
    assert why(tmp_path / "pipe.mp4") == "a pipe, no file"
    sound = make_video(tmp_path / "sound.mp4", frames=0, audio_seconds=1)
    assert why(sound) == "no video in it (only audio)"
    assert why(tmp_path / os.fsdecode(b"\xff.mp4")) in (
        "No such file or directory",
        "a file name that is not UTF-8",
    )


def cut_off(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize(
    ("name", "options", "audio"),
    [
        ("a.mkv", {}, 0),
        ("a.mkv", {}, 3),
        ("a.mp4", {"movflags": "faststart"}, 0),
        ("a.mp4", {"movflags": "faststart"}, 3),
    ],
)
def test_a_truncated_video_gives_what_decodes(name, options, audio, make_video, tmp_path):
    path = make_video(tmp_path / name, frames=90, options=options, audio_seconds=audio)
    assert read(path)[0].damage is None
    reader, clips = read(cut_off(path, 0.5))
    assert 1 <= reader.seconds < 3
    assert "of 3." in reader.damage
    assert numbers(clips)[:20] == list(range(20))


def test_a_video_without_its_index_is_refused(make_video, tmp_path):
    assert "cut off" in why(cut_off(make_video(tmp_path / "a.mp4"), 0.5))


def test_sound_that_goes_on_is_no_damage(make_video, tmp_path):
    reader, _ = read(make_video(tmp_path / "a.mp4", frames=40, audio_seconds=4))
    assert (reader.seconds, reader.damage) == (2, None)


def test_a_hole_is_told(make_video, tmp_path):
    path = make_video(tmp_path / "a.mkv", frames=90)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 600] = bytes(600)
    path.write_bytes(content)
    reader, clips = read(path)
    assert reader.seconds == 3 and "packets not decoded" in reader.damage
    assert numbers(clips)[:20] == list(range(20))


def test_absurd_time_stamps_cost_nothing(make_video, tmp_path):
    stamps = [0, 100, 200, 90_000_000, 90_000_100]
    reader, _ = read(make_video(tmp_path / "a.mkv", frames=5, stamps=stamps))
    assert reader.seconds == 1
    assert reader.damage == "time stamps jump 1 times, closed (first: by 90000 s at 0.2 s)"


def test_a_reader_reads_again(make_video, tmp_path):
    reader = VideoReader(make_video(tmp_path / "a.mp4"), size=SIZE)
    first, second = list(reader), list(reader)
    assert reader.seconds == 1
    np.testing.assert_array_equal(first[0], second[0])


def test_without_pyav_one_line_says_what_to_install(monkeypatch, tmp_path):
    real = builtins.__import__

    def refuse(name, *rest):
        if name == "av":
            raise ImportError("No module named 'av'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(LaunchError, match=r"pip install -e '\.\[video\]'"):
        VideoReader(tmp_path / "a.mp4")
