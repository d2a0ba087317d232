"""Feature extraction: ours against one video at a time, float32 frames, the plain network.

    python -m benchmarks.bench_extract [--videos DIR] [--batch_size 8] [--device cuda]

Both ways make features of the same videos with the same random S3D.  The plain way decodes a video
to its end, makes its frames float32 on the host, and only then computes them, in batches of the
same size, with S3D as it is trained (batch norms, channels first).  The features are compared
before anything is timed.  Without `--videos` a few are made.  On a GPU the half-precision peak is
measured too, as a large matrix product.
"""

import argparse
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch

from benchmarks.harness import RESULTS, Row, compare, report
from mmpt.extraction.plan import Options
from mmpt.extraction.reading import VideoReader
from mmpt.extraction.run import Summary, extract
from mmpt.extraction.sources import find_videos
from mmpt.extraction.weights import random_weights
from mmpt.models.s3d_weights import load_s3d

GFLOP_A_CLIP = 70.5
"""Of S3D for a second of video: multiplications and additions, counted apart."""
MADE = ((640, 360, 75), (320, 240, 90), (640, 360, 40), (480, 270, 60))
"""Width, height and frames of the videos that are made, 25 a second."""
SEED = 1


def make_videos(folder: Path) -> None:
    """A few H.264 videos of moving noise."""
    rng = np.random.default_rng(0)
    for number, (width, height, frames) in enumerate(MADE):
        with av.open(str(folder / f"made{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            coarse = rng.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
            scene = coarse.repeat(10, axis=0).repeat(10, axis=1)
            for step in range(frames):
                moved = np.ascontiguousarray(np.roll(scene, 4 * step, axis=1))
                frame = av.VideoFrame.from_ndarray(moved, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())


def plainly(videos: Path, weights: Path, batch: int, device: str) -> dict[str, np.ndarray]:
    """Features, float32 and not normalised, one video after the other."""
    model = load_s3d(weights).to(device)
    features = {}
    for name, path in find_videos([videos]).videos.items():
        frames = [torch.from_numpy(clip).float() / 255 for clip in VideoReader(path)]
        rows = []
        with torch.inference_mode():
            for start in range(0, len(frames), batch):
                clips = torch.stack(frames[start : start + batch]).permute(0, 4, 1, 2, 3)
                clips = clips.contiguous().to(device)
                rows.append(model(clips)["video_embedding"].cpu().numpy())
        features[name] = np.concatenate(rows)
    return features


class Ours:
    """The command's own way, into a new folder each time; the summaries are kept."""

    def __init__(self, videos: Path, weights: Path, batch: int, device: str, dtype: torch.dtype):
        self.summaries: list[Summary] = []
        self.features: dict[str, np.ndarray] = {}
        self._options = Options(
            folders=(videos,), features=Path(), weights=weights, batch_size=batch, half=False,
            l2_normalize=False, device=device, dtype=dtype, decoders=4 if device != "cpu" else 1,
        )  # fmt: skip

    def __call__(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            self.summaries.append(extract(self._options._replace(features=Path(name))))
            self.features = {path.stem: np.load(path) for path in Path(name).glob("*.npy")}


def greatest_distance(ours: dict[str, np.ndarray], plain: dict[str, np.ndarray]) -> float:
    """The largest 1 - cosine of a second's two vectors, in float64."""
    assert ours.keys() == plain.keys(), (sorted(ours), sorted(plain))
    worst = 0.0
    for name, rows in plain.items():
        a, b = rows.astype(np.float64), ours[name].astype(np.float64)
        assert a.shape == b.shape, (name, a.shape, b.shape)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        worst = max(worst, float((1 - (a * b).sum(axis=1) / norms).max()))
    return worst


def peak_tflops(device: str, edge: int = 8192, repeats: int = 30) -> float:
    """TFLOP/s of a float16 matrix product."""
    a, b = (torch.randn(edge, edge, device=device, dtype=torch.float16) for _ in range(2))
    for _ in range(5):
        a @ b
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        a @ b
    end.record()
    torch.cuda.synchronize()
    return 2 * edge**3 * repeats / (begin.elapsed_time(end) / 1e3) / 1e12


def build(call: Callable[[], object]) -> Callable[[], object]:
    return call


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path, help="a folder of videos (default: some are made)")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--copies", type=int, default=1, help="of each video, for a fast device")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--output", type=Path, default=RESULTS / "extract.csv")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        videos, weights = Path(name, "videos"), Path(name, "weights.pth")
        collect_videos(videos, args.videos, args.copies)
        first = Options(folders=(videos,), features=Path(name), random_seed=SEED)
        save_weights(first, weights)
        ours = Ours(videos, weights, args.batch_size, args.device, getattr(torch, args.dtype))
        plain = functools.partial(plainly, videos, weights, args.batch_size, args.device)
        ours()
        distance = greatest_distance(ours.features, plain())
        print(f"largest 1 - cosine of ours ({args.dtype}) to the plain way: {distance:.1e}")
        seconds = ours.summaries[0].seconds
        case = f"{len(ours.features)} videos, {seconds} s, B={args.batch_size} {args.dtype}"
        builds = {"plain": functools.partial(build, plain), "ours": functools.partial(build, ours)}
        device = torch.device(args.device).type
        rows = compare("extract", case, builds, "plain", device, args.repeats, memory=False)
        report(rows, args.output)
    say(rows, seconds, ours.summaries[-1])
    if device == "cuda":
        peak = peak_tflops(args.device)
        reached = seconds / rows[1].seconds_min * GFLOP_A_CLIP / 1e3
        print(f"{reached:.1f} TFLOP/s: {reached / peak:.1%} of the measured {peak:.0f} (float16)")


def collect_videos(videos: Path, given: Path | None, copies: int) -> None:
    """Fills a folder with the given videos, or made ones, so many times."""
    originals = given or videos.with_name("originals")
    if given is None:
        originals.mkdir()
        make_videos(originals)
    videos.mkdir()
    for name, path in find_videos([originals]).videos.items():
        for copy in range(copies):
            shutil.copy(path, videos / f"{name}-{copy}{path.suffix}")


def save_weights(options: Options, path: Path) -> None:
    """Random weights with statistics of the videos."""
    videos = find_videos(options.folders).videos.values()
    made = random_weights(options.network, options.random_seed, options.features, videos)
    shutil.move(made.path, path)


def say(rows: list[Row], seconds: int, last: Summary) -> None:
    """Rates, their ratio, and which stage the other waited for."""
    plain, ours = rows
    for row in rows:
        print(
            f"{row.implementation}: {seconds / row.seconds_min:.2f} s of video a second by the "
            f"fastest, {seconds / row.seconds_median:.2f} by the median"
        )
    print(
        f"ours over plain: {plain.seconds_min / ours.seconds_min:.2f} by the fastest, "
        f"{plain.seconds_median / ours.seconds_median:.2f} by the medians"
    )
    print(f"ours, last run: {last}")


if __name__ == "__main__":
    main()
