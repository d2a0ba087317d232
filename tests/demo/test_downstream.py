"""The downstream sets: the readers of the demo's job files find what truth.json says."""

import csv
import json
from collections import Counter

import numpy as np
import pytest

from mmpt.config import load_config
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.datasets.mmdataset import MMDataset
from mmpt.demo import CorpusSettings
from mmpt.demo.sets.coin import plan_coin
from mmpt.demo.sets.msrvtt_qa import plan_msrvtt_qa
from mmpt.demo.world import build_world
from mmpt.io.pickles import load_pickle

JOBS = REPOSITORY_ROOT / "projects/retri/demo"
RELEASED = REPOSITORY_ROOT / "projects/retri/norton"
TASKS = (
    *("vttqa", "youcook", "youcook_fullvideo", "youcook_fullvideo_bg", "coin", "didemo"),
    "crosstask",
)
FEATURES = {
    "youcook": ("youcook/youcook_validation_feature_fps30_512", lambda truth: truth),
    "coin": (
        "coin/coin_feature_fps30_512",
        lambda truth: {**truth["training"], **truth["testing"]},
    ),
    "didemo": ("feat/feat_didemo_s3d", lambda truth: truth),
    "crosstask": ("feat/feat_crosstask_s3d", lambda truth: truth["videos"]),
}
"""Set -> where its features are, and its videos in truth.json."""


def job(task, stage="videoclip"):
    return load_config(config_file=JOBS / f"test_{task}_{stage}.yaml")


@pytest.fixture
def items(demo_folder):
    """The items of a task's test set, read as its job file says."""

    def read(task):
        dataset = MMDataset.from_config(job(task).dataset)
        return [dataset[index] for index in range(len(dataset))]

    return read


@pytest.fixture(scope="module")
def words_of(corpus):
    vocabulary = (corpus / "tinybert/vocab.txt").read_text().splitlines()
    return lambda ids, mask: {vocabulary[i] for i in ids[mask].tolist()}


def shown(video):
    return [(start, end, step) for start, end, step in video["segments"] if step >= 0]


def step_words(step):
    return {step["verb"], step["object"]}


@pytest.mark.parametrize("stage", ["videoclip", "norton"])
@pytest.mark.parametrize("task", TASKS)
def test_job_files_change_only_data_and_size(task, stage):
    real, demo = load_config(config_file=RELEASED / f"test_{task}_zs.yaml"), job(task, stage)
    assert (demo.predictor, demo.metric) == (real.predictor, real.metric)
    moved = {name for name in demo.dataset if demo.dataset[name] != real.dataset[name]}
    assert demo.dataset.keys() == real.dataset.keys()
    for name in moved - {"n_train", "bert_name"}:
        assert demo.dataset[name] == real.dataset[name].replace("data/", "data/demo/", 1)
    assert demo.eval.save_path == f"runs/retri/demo/{stage}"
    assert demo.fairseq.common_eval.path == f"runs/retri/demo/{stage}/checkpoint_best.pt"


@pytest.mark.parametrize("name", FEATURES)
def test_features_show_what_the_truth_says(corpus, truth, world, name):
    folder, videos = FEATURES[name]
    videos = videos(truth[name])
    table = np.concatenate([world.step_directions, world.background_directions])
    assert {path.stem for path in (corpus / folder).iterdir()} == set(videos)
    for video_id, video in videos.items():
        rows = np.load(corpus / folder / f"{video_id}.npy", allow_pickle=False)
        assert rows.dtype == np.float16
        assert rows.shape == (video["seconds"], 512)
        nearest = (rows.astype(np.float32) @ table.T).argmax(axis=1)
        for start, end, step in video["segments"]:
            found = nearest[start:end]
            assert (found == step).all() if step >= 0 else (found >= len(truth["steps"])).all()


def test_the_right_answer_is_the_video_s_own(corpus, truth, items, words_of):
    steps, videos = truth["steps"], truth["msrvtt"]["test"]
    read = items("vttqa")
    assert [item["video_id"] for item in read] == list(truth["msrvtt_qa"]) == list(videos)
    for item in read:
        asked = truth["msrvtt_qa"][item["video_id"]]
        assert item["answers"].tolist() == [asked["answer"]]
        assert asked["about"][asked["answer"]] == item["video_id"]
        assert len(set(asked["about"])) == len(item["caps"]) == 5
        for video_id, ids, mask in zip(asked["about"], item["caps"], item["cmasks"], strict=True):
            for _, _, step in shown(videos[video_id]):
                assert step_words(steps[step]) <= words_of(ids, mask)
    assert len({entry["answer"] for entry in truth["msrvtt_qa"].values()}) == 5
    with open(corpus / "msrvtt/MSR_MC_test.csv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0]) == ["key", "vid_key", "a1", "a2", "a3", "a4", "a5", "answer"]
    assert rows[0]["vid_key"] == "msr7010"


@pytest.mark.parametrize("videos", [1, 3])
def test_questions_about_few_videos(videos):
    """The wrong answers are never the video's own sentences."""
    settings = CorpusSettings(videos=1, test_videos=videos, finetune_videos=1)
    for video_id, asked in plan_msrvtt_qa(build_world(settings), settings).truth.items():
        assert asked["about"].count(video_id) == 1


def test_clips_are_the_steps_of_long_videos(corpus, truth, items, words_of):
    videos, steps = truth["youcook"], truth["steps"]
    read = items("youcook")
    expected = [(name, *part) for name, video in videos.items() for part in shown(video)]
    for item, (video_id, start, end, step) in zip(read, expected, strict=True):
        assert item["video_id"][:3] == (video_id, start, end)
        assert int(item["vmasks"].sum()) == end - start
        assert step_words(steps[step]) <= words_of(item["caps"], item["cmasks"])
    counts = Counter(video_id for video_id, *_ in expected)
    assert min(counts.values()) >= 3
    assert max(counts.values()) <= 8
    assert any("_" in video_id for video_id in videos)
    for video in videos.values():
        planned = truth["tasks"][video["task"]]["steps"]
        order = [planned.index(step) for _, _, step in shown(video)]
        assert order == sorted(set(order))


def test_listed_captions_lack_stop_words(corpus, truth):
    listed = load_pickle(corpus / "youcook/youcook_val.pkl")
    names = {f"{step['verb']} {step['object']}" for step in truth["steps"]}
    assert {entry["caption"] for entry in listed} <= names


def test_whole_videos_with_all_their_captions(truth, items):
    for item in items("youcook_fullvideo_bg"):
        video = truth["youcook"][item["video_id"]]
        assert item["video_len"] == video["seconds"]
        assert len(item["caps"]) == len(shown(video))
        assert any(step < 0 for _, _, step in video["segments"])


def test_every_second_has_its_label(truth, items):
    read = items("coin")
    assert [item["video_id"] for item in read] == list(truth["coin"]["testing"])
    for item in read:
        labels = item["video_targets"].numpy()
        for start, end, step in truth["coin"]["testing"][item["video_id"]]["segments"]:
            assert (labels[start:end] == step + 1).all()
    names = MMDataset.from_config(job("coin").dataset).meta_processor.text_labels
    assert names == [f"{step['verb']} {step['object']}" for step in truth["steps"]]


@pytest.mark.parametrize(("steps", "videos"), [(60, 30), (10, 1), (3, 2), (5, 40)])
def test_either_subset_shows_every_step(steps, videos):
    settings = CorpusSettings(videos=1, steps=steps, tasks=1, test_videos=1, coin_videos=videos)
    for subset in plan_coin(build_world(settings), settings).truth.values():
        shows = [[step for _, _, step in shown(video)] for video in subset.values()]
        assert len(shows) == videos
        assert {step for parts in shows for step in parts} == set(range(steps))
        assert all(min(4, steps) <= len(parts) == len(set(parts)) for parts in shows)


def test_most_annotators_note_the_moment_of_the_step(corpus, truth, items, words_of):
    steps, videos = truth["steps"], truth["didemo"]
    read = items("didemo")
    expected = [
        (name, moment, part)
        for name, video in videos.items()
        for moment, part in zip(video["moments"], shown(video), strict=True)
    ]
    dissent = 0
    for item, (video_id, moment, (start, end, step)) in zip(read, expected, strict=True):
        assert item["video_id"] == video_id
        assert video_id.endswith(".m4v")
        assert (start, end) == (5 * moment[0], 5 * moment[1] + 5)
        assert item["times"][:3] == [tuple(moment)] * 3
        assert len(item["times"]) == 4
        dissent += item["times"][3] != tuple(moment)
        assert int(item["vmasks"].sum()) == 30
        assert step_words(steps[step]) <= words_of(item["caps"], item["cmasks"])
    assert 0 < dissent < len(read)


def test_steps_of_a_task_are_where_they_are_shown(truth, items):
    read, videos = items("crosstask"), truth["crosstask"]["videos"]
    held_out = truth["crosstask"]["held_out"]
    assert not {item["video_id"] for item in read} & set(held_out)
    # of three videos a task one is held out and one is for training
    assert len(read) == len(held_out) == len(truth["tasks"])
    for item in read:
        video = videos[item["video_id"]]
        planned = truth["tasks"][video["task"]]["steps"]
        assert item["task"] == str(10_000 + video["task"])
        expected = np.zeros((video["seconds"], len(planned)))
        for start, end, step in shown(video):
            expected[start:end, planned.index(step)] = 1
        np.testing.assert_array_equal(item["video_targets"], expected)


def test_related_tasks_are_listed_without_files(corpus):
    release = corpus / "crosstask/crosstask_release"
    blocks = (release / "tasks_related.txt").read_text().split("\n\n")
    related = {block.split("\n")[0] for block in blocks if block}
    listed = [line.split(",")[:2] for line in (release / "videos.csv").read_text().split()]
    unseen = [(task, vid) for task, vid in listed if task in related]
    assert len(unseen) == len(related) == 2
    for task, vid in unseen:
        assert not (release / f"annotations/{task}_{vid}.csv").exists()
        assert not (corpus / f"feat/feat_crosstask_s3d/{vid}.npy").exists()


def test_released_test_jobs_find_their_files(corpus):
    """A corpus in `data/` lies where they look."""
    for file in RELEASED.glob("test_*.yaml"):
        for name, value in load_config(config_file=file).dataset.items():
            if name.endswith(("path", "dir")):
                assert (corpus / value.removeprefix("data/")).exists(), (file.name, name)


def test_an_untrained_model_is_evaluated_on_every_task(untrained, tmp_path, capsys):
    from mmpt_cli.predict import main

    jobs = [str(JOBS / f"test_{task}_norton.yaml") for task in TASKS]
    out = tmp_path / "results"
    assert main([*jobs, "--checkpoint", str(untrained), "--out", str(out), "--device=cpu"]) == 0
    for task in TASKS:
        (entry,) = json.loads((out / f"results_test_{task}_norton.json").read_text())["results"]
        assert entry["metrics"]
        for name, value in entry["metrics"].items():
            assert 0 <= value <= 1 or (name.endswith("MR") and value >= 1), (task, name)
