"""Films: shots of one second in a row, and captions that say what moves, some at a wrong time."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmpt.demo.clips.scenes import COLOURS, GROUNDS, HEIGHT, WIDTH, Shot, draw_shot, render
from mmpt.demo.settings import stream

RATES = (24, 25, 30)
"""Pictures a second; a film has one of them."""
TRAINING, CHECKING = (16, 4), (8, 1)
"""Films to train on and films to check with, and the shots of one."""
FIRST_TEST = 7010
"""In MSR-VTT the test videos are video7010 to video9999."""
SHIFTED = 0.15
"""Chance that a caption is said one or two seconds too early or too late."""
SAID = ("{}", "{}", "look, {}", "now {}", "here {}", "{} again")


class Caption(NamedTuple):
    """Seconds, and what is said."""

    start: float
    end: float
    text: str


class Film(NamedTuple):
    """One video file to be.

    Attributes:
        video_id: its name without `.mp4`.
        rate: pictures a second.
        shots: what is seen, one second each.
        captions: sorted by start.
        number: of its random draws.
    """

    video_id: str
    rate: int
    shots: tuple[Shot, ...]
    captions: tuple[Caption, ...]
    number: int

    @property
    def seconds(self) -> int:
        return len(self.shots)


class Films(NamedTuple):
    """The films of a corpus: to train on, to check with, and one to a test query."""

    train: list[Film]
    val: list[Film]
    test: list[Film]


def plan_films(seed: int) -> Films:
    """Draws all films; every pair of a colour and a ground is one test film."""
    rng = stream(seed, "films")
    pairs = list(itertools.product(COLOURS, GROUNDS))
    lengths = [shots for films, shots in (TRAINING, CHECKING) for _ in range(films)]
    # whole decks one after the other: every pair is seen about as often
    decks = -(-sum(lengths) // len(pairs))
    order = np.concatenate([rng.permutation(len(pairs)) for _ in range(decks)])
    shots = (draw_shot(rng, *pairs[pair]) for pair in order)
    numbers = itertools.count()
    long = [
        _film(f"rendered{number:03d}", list(itertools.islice(shots, length)), next(numbers), rng)
        for number, length in enumerate(lengths)
    ]
    test = [
        _film(f"video{FIRST_TEST + number}", [draw_shot(rng, *pairs[pair])], next(numbers), rng)
        for number, pair in enumerate(rng.permutation(len(pairs)))
    ]
    return Films(long[: TRAINING[0]], long[TRAINING[0] :], test)


def write_film(film: Film, folder: Path, seed: int) -> None:
    """Renders a film into `FOLDER/VIDEO_ID.mp4`.

    Raises:
        OSError: the folder cannot be written.
    """
    import av

    rng = stream(seed, "pictures", str(film.number))
    with av.open(str(folder / f"{film.video_id}.mp4"), "w") as container:
        # one thread: the bytes do not depend on the machine's cores
        track = container.add_stream("mpeg4", rate=film.rate, options={"threads": "1"})
        track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        track.bit_rate = 4_000_000
        for shot in film.shots:
            for picture in render(shot, 1.0, film.rate, rng):
                container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode())


def captions_json(films: Sequence[Film]) -> dict[str, dict[str, list]]:
    """The captions of films in the sentencified form, {id: {start, end, text}}."""
    return {
        film.video_id: {
            name: [getattr(caption, name) for caption in film.captions] for name in Caption._fields
        }
        for film in films
    }


def _film(video_id: str, shots: Sequence[Shot], number: int, rng: np.random.Generator) -> Film:
    rate = int(rng.choice(RATES))
    captions = [_say(shot, second, len(shots), rng) for second, shot in enumerate(shots)]
    return Film(video_id, rate, tuple(shots), tuple(sorted(captions)), number)


def _say(shot: Shot, second: int, seconds: int, rng: np.random.Generator) -> Caption:
    """A caption within its shot, or, where it is shifted, within the film."""
    text = SAID[int(rng.integers(len(SAID)))].format(shot.sentence)
    start, end = second + rng.uniform(0.05, 0.25), second + rng.uniform(0.75, 0.95)
    if rng.random() < SHIFTED and seconds > 1:
        by = int(rng.choice((-2, -1, 1, 2)))
        by = by if 0 <= second + by < seconds else -by
        by = by if 0 <= second + by < seconds else 0
        start, end = start + by, end + by
    return Caption(round(start, 2), round(end, 2), text)
