"""The HTM-Align part: its files' form, and that its notes say what the truth knows."""

import json
import re

import numpy as np
import pytest

from mmpt.evaluators.htm_protocol import WINDOW, evaluated_windows, merge_windows, reach
from mmpt.processors.downstream.htm_align import read_annotation


@pytest.fixture(scope="module")
def notes(corpus):
    return json.loads((corpus / "how2-align/htm_align.json").read_text())


def test_our_reader_takes_it_for_the_real_file(corpus, notes):
    read = read_annotation(str(corpus / "how2-align/htm_align.json"))
    assert len(read) == len(notes) == 12
    for video_id, sentences in read.items():
        assert [list(sentence) for sentence in sentences] == notes[video_id]


def test_features_are_whole_videos_of_several_windows(corpus, truth, notes):
    assert len(list((corpus / "how2-align").glob("*.npy"))) == len(notes)
    for video_id in notes:
        rows = np.load(corpus / "how2-align" / f"{video_id}.npy", allow_pickle=False)
        assert rows.dtype == np.float16 and rows.shape[1] == 512
        assert len(rows) == truth["htm_align"][video_id]["seconds"] > WINDOW + 16


def test_videos_are_not_those_of_training(truth):
    trained = {*truth["how2"]["train"], *truth["how2"]["val"]}
    assert not trained & set(truth["htm_align"])


def test_alignable_sentences_name_what_their_seconds_show(truth, notes):
    steps = truth["steps"]
    for video_id, rows in notes.items():
        video = truth["htm_align"][video_id]
        shown = {step: [start, end] for start, end, step in video["segments"] if step >= 0}
        for (aligned, start, end, text), sentence in zip(rows, video["sentences"], strict=True):
            assert (aligned, start, end) == tuple(sentence[k] for k in ("aligned", "start", "end"))
            said = set(re.findall("[a-z]+", text.lower()))
            if aligned:
                assert [start, end] == shown[sentence["step"]]
                assert {steps[sentence["step"]][k] for k in ("verb", "object")} <= said
            else:
                assert 0 <= start < end <= video["seconds"] and sentence["step"] == -1
                named = [s for s in shown if {steps[s]["verb"], steps[s]["object"]} <= said]
                assert not named


def test_protocol_leaves_room_between_chance_and_the_best(truth):
    touched, videos = [], []
    for video in truth["htm_align"].values():
        flags = [[s["aligned"], s["start"], s["end"]] for s in video["sentences"]]
        sentences = np.array(flags, dtype=np.float64)
        windows = evaluated_windows(sentences, video["seconds"])
        scores = [np.zeros((len(sentences), WINDOW))] * len(windows)
        touched.append(merge_windows(scores, windows, len(sentences), video["seconds"])[1] > 0)
        videos.append(sentences)
    found = reach(touched, videos)
    assert found.best["Recall"] > 0.7 and found.chance["Recall"] < 0.3
    assert found.best["AUC"] > 0.8 and found.chance["AUC"] < 0.5
