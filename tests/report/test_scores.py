"""Score files beside a results file, and the DTW path and plan that are drawn of them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmpt.errors import DataError
from mmpt.evaluators.retrieval import RetrievalPredictor
from mmpt.evaluators.video_paragraph import exact_alignments, windows_of_videos
from mmpt.ops.alignment.reference import exact_dtw, exact_dtw_path
from mmpt.report.paragraphs import common_scale, own_scores, picture_of
from mmpt.report.results import read_file
from mmpt.report.scores import read_alignments, read_paragraphs, read_queries

from .conftest import TEXTS, write_results


def only(path):
    return read_file(path).results[0]


def test_queries_come_with_their_texts(results):
    queries = read_queries(only(results / "results_test_vtt.json"))
    assert queries.texts == TEXTS and queries.candidates == ["v0", "v1", "v2", "v3"]
    assert queries.ranks.tolist() == [0, 1, 0, 1]


def test_clips_are_named_by_their_seconds(results):
    file = results / "scores_test_vtt_checkpoint_best.json"
    file.write_text(
        json.dumps(json.loads(file.read_text()) | {"clips": [[n, n + 5] for n in range(4)]})
    )
    assert read_queries(only(results / "results_test_vtt.json")).candidates[1] == "v1 1-6 s"


def test_a_predictor_of_clips_tells_their_seconds(tmp_path):
    predictor = RetrievalPredictor.__new__(RetrievalPredictor)
    predictor.tokenizer = SimpleNamespace(batch_decode=lambda caps, **_: ["stir"] * len(caps))
    encoded = {"pooled_text": torch.eye(2), "pooled_video": torch.eye(2)}
    batch = {"caps": torch.zeros(2, 3), "video_id": [("a", 3, 9), ("b", 0, 4)]}
    found = predictor.predict(lambda **_: encoded, [batch])
    predictor.save_scores(tmp_path / "scores.npy", found)
    assert json.loads((tmp_path / "scores.json").read_text()) == {
        "texts": ["stir", "stir"],
        "video_ids": ["a", "b"],
        "clips": [[3, 9], [0, 4]],
    }
    batch["video_id"] = ["a", "b"]
    assert "clips" not in predictor.predict(lambda **_: encoded, [batch])


def test_a_matrix_of_an_earlier_version_has_no_names(results):
    (results / "scores_test_vtt_checkpoint_best.json").unlink()
    (results / "scores_test_full_checkpoint_best.json").unlink()
    assert read_queries(only(results / "results_test_vtt.json")).texts is None
    with pytest.raises(DataError, match=r"which video a row belongs to .* evaluate anew"):
        read_paragraphs(only(results / "results_test_full.json"))


@pytest.mark.parametrize(
    ("matrix", "line"),
    [
        (None, "no such file"),
        (b"nothing", "not a NumPy file"),
        (np.eye(4, dtype=np.int64), "int64"),
        (np.zeros(4, np.float32), r"float32 \[4\]"),
        (np.full((4, 4), np.nan, np.float32), "NaN"),
        (np.eye(4, dtype=np.float32)[::-1], "not of one evaluation"),
        (np.ones((4, 2), np.float32), "a candidate for every query"),
    ],
)
def test_scores_that_cannot_be_used_are_named(results, matrix, line):
    path = results / "scores_test_vtt_checkpoint_best.npy"
    path.unlink()
    if isinstance(matrix, bytes):
        path.write_bytes(matrix)
    elif matrix is not None:
        np.save(path, matrix)
    with pytest.raises(DataError, match=f"scores_test_vtt_checkpoint_best.npy: .*{line}"):
        read_queries(only(results / "results_test_vtt.json"))


def test_names_of_another_test_set_are_refused(results):
    file = results / "scores_test_vtt_checkpoint_best.json"
    file.write_text(json.dumps({"texts": ["a"], "video_ids": ["b"]}))
    with pytest.raises(DataError, match=r"1 texts and 1 videos for scores \[4, 4\]"):
        read_queries(only(results / "results_test_vtt.json"))
    file.write_text("[]")
    with pytest.raises(DataError, match="expected an object"):
        read_queries(only(results / "results_test_vtt.json"))


def with_names(results, job, **changes):
    file = results / f"scores_{job}_checkpoint_best.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return only(results / f"results_{job}.json")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"texts": None}, "texts: needed a list of strings; got NoneType"),
        ({"texts": [["a"]] * 4}, "texts: needed a list of strings; got 4 of them"),
        ({"texts": "abcd"}, "texts: needed a list of strings; got str"),
        ({"video_ids": None}, "video_ids: needed a list of strings; got NoneType"),
        ({"clips": [[0, 1]]}, "clips: needed 4 pairs of seconds; got 1 of them"),
        ({"clips": [[0, 1, 2]] * 4}, "clips: needed 4 pairs of seconds"),
        ({"clips": 4}, "clips: needed 4 pairs of seconds; got int"),
    ],
)
def test_names_of_another_form_are_refused(results, changes, line):
    with pytest.raises(DataError, match=f"scores_test_vtt_checkpoint_best.json: {line}"):
        read_queries(with_names(results, "test_vtt", **changes))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"texts": None}, "texts: needed a list of strings"),
        ({"texts": ["a"] * 6}, r"6 texts for scores \[7, 7\]"),
        ({"video_ids": {"a": 1}}, "video_ids: needed a list of strings; got dict"),
        ({"video_ids": ["a"]}, "not the scores of whole videos"),
    ],
)
def test_names_of_whole_videos_in_another_form_are_refused(results, changes, line):
    with pytest.raises(DataError, match=line):
        read_paragraphs(with_names(results, "test_full", **changes))


@pytest.mark.parametrize("lengths", [None, [3.0, 2.0, 2.0], [7, 0, 0], [3, 4]])
def test_lengths_of_windows_in_another_form_are_refused(results, lengths):
    names = {"video_lengths": [3, 2, 2], "text_lengths": lengths}
    result = with_names(results, "test_full", **names)
    config = {**result.config, "metric": "FullVideoBGRetrievalMetric"}
    with pytest.raises(DataError, match=r"text_lengths: needed a list|not the scores of whole"):
        read_paragraphs(result._replace(config=config))


def test_an_archive_that_is_cut_is_damaged(results):
    result = only(results / "results_test_align.json")
    file = result.scores / "lost.npz"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataError, match="damaged"):
        read_alignments(result)
    matrix = results / "scores_test_vtt_checkpoint_best.npy"
    with matrix.open("wb") as handle:
        np.savez(handle, a=np.eye(4))
    with pytest.raises(DataError, match="an archive; one float matrix is needed"):
        read_queries(only(results / "results_test_vtt.json"))


def test_alignments_that_are_not_there_are_named(results, tmp_path):
    result = only(results / "results_test_align.json")
    assert sorted(read_alignments(result)) == ["-found", "lost"]
    (result.scores / "lost.npz").write_bytes(b"PK broken")
    with pytest.raises(DataError, match="damaged"):
        read_alignments(result)
    with pytest.raises(DataError, match="no such folder; evaluate"):
        read_alignments(result._replace(scores=tmp_path / "gone"))
    with pytest.raises(DataError, match="names no scores"):
        read_alignments(result._replace(scores=None))


def test_numbers_that_the_scores_do_not_give_are_refused(tmp_path):
    path = write_results(tmp_path, "test_vtt", "RetrievalMetric")
    content = json.loads(path.read_text())
    content["results"][0]["metrics"]["R5"] = 0.25
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"its R5 is 1.0000, that of results_test_vtt.json 0.2500"):
        read_queries(only(path))


def test_the_path_of_dtw_is_the_cheapest_and_goes_from_end_to_end():
    cost = np.array([[0.0, 9, 9, 9], [9, 0, 0, 9], [9, 9, 9, 0]])
    assert exact_dtw_path(cost) == [(0, 0), (1, 1), (1, 2), (2, 3)]
    assert exact_dtw(cost) == 0
    assert exact_dtw_path(np.ones((1, 3))) == [(0, 0), (0, 1), (0, 2)]
    for seed in range(20):
        path = exact_dtw_path(np.random.default_rng(seed).random((4, 6)))
        steps = np.diff(np.array([*path]), axis=0)
        assert path[0] == (0, 0) and path[-1] == (3, 5)
        assert set(map(tuple, steps.tolist())) <= {(0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("background", [False, True])
def test_a_drawn_pair_is_the_one_that_is_measured(background):
    random = np.random.default_rng(3)
    captions, clips = [3, 5, 4], [9, 8, 7]
    scores = random.normal(size=(sum(captions), sum(clips))).astype(np.float32)
    videos = windows_of_videos(scores, ["a", "b", "c"], clips, captions)
    measured = exact_alignments(videos, background)
    scale = common_scale(videos)
    for number in range(3):
        pair = picture_of(videos, number, scale, background)
        assert pair.similarity.shape == (captions[number], clips[number])
        assert pair.distance == pytest.approx(-measured["DTW-exact"][number, number], rel=1e-5)
        moved = (pair.plan * pair.similarity).sum() / pair.plan.sum()
        assert moved == pytest.approx(measured["OT"][number, number], rel=1e-4)
        assert (len(pair.kept) == int(1.3 * captions[number])) == background


def test_own_scores_are_cut_from_the_whole(results):
    found = read_paragraphs(only(results / "results_test_full.json"))
    assert found.videos.ids == ["one", "three", "two"]
    assert [len(texts) for texts in found.texts] == [3, 2, 2]
    assert found.texts[1][0].startswith("step 5")
    assert own_scores(found.videos, 1).shape == (2, 2)
