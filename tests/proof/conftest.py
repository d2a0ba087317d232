"""Annotations of all tasks in miniature, in the folders that the released job files name."""

import json
from pathlib import Path

import pytest

from mmpt.io.pickles import save_pickle


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def rows(*lines) -> str:
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture(scope="session")
def annotations(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("annotations")
    sentences = ["a dog runs", "cut the onion", "a dog runs", "rain falls", "fry an egg"]
    table = [f"k{i},msr{i},video{i},{text}" for i, text in enumerate(sentences)]
    write(root / "msrvtt/MSRVTT_JSFUSION_test.csv", rows("key,vid_key,video_id,sentence", *table))
    answers = [sentences[i:] + sentences[:i] for i in range(4)]
    table = ["\t".join([f"msr{i}", *texts, "2"]) for i, texts in enumerate(answers)]
    write(root / "msrvtt/MSR_MC_test.part.csv", rows("vid_key\ta1\ta2\ta3\ta4\ta5\tanswer", *table))
    _youcook(root / "youcook")
    _coin(root / "coin/COIN.json")
    _didemo(root / "didemo/test_data.json")
    _crosstask(root / "crosstask/crosstask_release")
    spoken = [[1, 4, 9.5, "cut it"], [0, 10, 14, "hello there"], [1, 30, 33, "eat it"]]
    more = [[0, 3, 9, "welcome"], [1, 12, 20.5, "stir the pan"], [0, 21, 25, "good bye"]]
    write(root / "how2-align/htm_align.json", json.dumps({"vA": spoken, "vB": more}))
    return root


def _youcook(folder: Path) -> None:
    texts = ["chop", "stir", "bake", "serve the cake", "peel", "boil", "mash", "add salt", "chop"]
    videos, listed = {}, []
    for number in range(3):
        clips = [
            {"id": i, "segment": [10 + 20 * i, 25 + 20 * i], "sentence": texts[3 * number + i]}
            for i in range(3)
        ]
        videos[f"r_{number}"] = {"duration": 80.5, "annotations": clips}
        listed += [{"id": f"r_{number}_{i}", "caption": "?"} for i in range(3)]
    write(folder / "youcookii_annotations_trainval.json", json.dumps({"database": videos}))
    save_pickle(folder / "youcook_val.pkl", listed)


def _coin(path: Path) -> None:
    names = ["cut", "mix it", "fold", "cut"]
    database = {}
    for number in range(4):
        places = [number % 4, (number + 1) % 4]
        segments = [
            {"id": str(p + 1), "segment": [3 + 20 * i, 15.5 + 20 * i], "label": names[p]}
            for i, p in enumerate(places)
        ]
        database[f"c{number}"] = {"subset": "testing", "annotation": segments}
    write(path, json.dumps({"database": database}))


def _didemo(path: Path) -> None:
    agreed = [[1, 2]] * 3 + [[0, 5]]
    split = [[0, 0], [0, 0], [3, 3], [4, 4]]
    single = [[5, 5]] * 4
    records = [
        {"video": f"d{i % 2}.m4v", "description": f"thing {i}", "times": times}
        for i, times in enumerate([agreed, split, single, agreed])
    ]
    write(path, json.dumps(records))


def _crosstask(folder: Path) -> None:
    videos = [f"v{number}" for number in range(34)]
    write(folder / "videos.csv", rows(*(f"7,{video},http" for video in videos)))
    write(folder / "videos_val.csv", rows("7,v0,http"))
    write(folder / "tasks_primary.txt", rows("7", "Tea", "http", "3", "boil,pour,drink", ""))
    write(folder / "tasks_related.txt", rows("8", "Pie", "http", "1", "bake", ""))
    for number, video in enumerate(videos):
        # every third video shows two steps in the wrong order: one of them cannot be hit
        first, second = (2, 1) if number % 3 == 0 else (1, 2)
        steps = rows(f"{first},4.5,9", f"{second},20,30.5", "3,35,40")
        write(folder / f"annotations/7_{video}.csv", steps)
