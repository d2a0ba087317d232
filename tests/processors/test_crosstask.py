"""CrossTask: who is drawn for training, and items."""

import numpy as np
import pytest

from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import ConfigError, DataError
from mmpt.processors import CrossTaskMetaProcessor
from mmpt.processors.downstream.crosstask import split_videos
from mmpt.processors.downstream.crosstask_files import read_annotation, read_tasks, read_videos

TASKS = """\
1
Make Tea
http://tea
2
boil water,add the tea

2
Cut Bread
http://bread
3
take bread,cut,eat it

"""
VIDEOS = {"2": [f"b{i}" for i in range(6)], "1": [f"t{i}" for i in range(5)], "9": ["r0"]}


@pytest.fixture
def config(tmp_path, tinybert, put_features):
    """`config(**changes)`: a section of two tasks, and a related one that is not annotated."""
    (tmp_path / "annotations").mkdir()
    rows = [(task, vid) for task, vids in VIDEOS.items() for vid in vids]
    for task, vid in rows:
        if task != "9":
            (tmp_path / f"annotations/{task}_{vid}.csv").write_text("1,1.5,3.2\n2,4.0,5.0\n")
    (tmp_path / "videos.csv").write_text("".join(f"{t},{v},http://{v}\n" for t, v in rows))
    (tmp_path / "val.csv").write_text("2,b0,http://b0\n")
    (tmp_path / "primary.txt").write_text(TASKS)
    features = put_features({vid: 6 for _, vid in rows})

    def make(**changes):
        return {
            "split": "test",
            "meta_processor": "CrossTaskMetaProcessor",
            "video_processor": "CrossTaskVideoProcessor",
            "text_processor": "CrossTaskTextProcessor",
            "aligner": "CrossTaskAligner",
            "train_csv_path": str(tmp_path / "videos.csv"),
            "val_csv_path": str(tmp_path / "val.csv"),
            "primary_path": str(tmp_path / "primary.txt"),
            "annotation_path": str(tmp_path / "annotations"),
            "vfeat_dir": features,
            "vfeat_dim": 2,
            "n_train": 3,
            "bert_name": str(tinybert),
            "max_video_len": 4,
            "max_len": 12,
            "sliding_window": 2,
            "sliding_window_size": 4,
            **changes,
        }

    return make


def videos_of(meta):
    found = {}
    for i in range(len(meta)):
        info, text = meta[i]
        assert info == text
        found.setdefault(info.task, []).append(info.vid)
    return found


def drawn_by_the_global_generator(videos, n_train):
    np.random.seed(0)
    return {
        task: np.random.choice(vids, n_train, replace=False).tolist()
        for task, vids in videos.items()
    }


def test_the_drawn_videos_are_those_of_numpys_generator_seeded_0(config):
    left = {"2": VIDEOS["2"][1:], "1": VIDEOS["1"]}  # without the one of val.csv
    expected = drawn_by_the_global_generator(left, 3)
    train = videos_of(CrossTaskMetaProcessor(config(split="train")))
    assert train == expected and list(train) == ["2", "1"]
    for split in ("test", "valid"):
        test = videos_of(CrossTaskMetaProcessor(config(split=split)))
        assert test == {t: [v for v in vids if v not in train[t]] for t, vids in left.items()}


def test_numbers_of_the_draw_are_kept():
    train, test = split_videos({"a": list("abcdefgh"), "b": list("ABCDEF")}, 4)
    assert train == {"a": ["g", "c", "b", "h"], "b": ["B", "D", "E", "A"]}
    assert test == {"a": ["a", "d", "e", "f"], "b": ["C", "F"]}


def test_drawing_leaves_other_generators_alone(config):
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    CrossTaskMetaProcessor(config())
    assert np.random.rand() == expected


def test_videos_without_features_or_annotation_are_left_out_before_the_draw(
    config, tmp_path, put_features, said
):
    (tmp_path / "annotations/1_t1.csv").unlink()
    folder = put_features({vid: 6 for vids in VIDEOS.values() for vid in vids if vid != "b3"}, "f2")
    train = videos_of(CrossTaskMetaProcessor(config(split="train", vfeat_dir=folder)))
    left = {"2": ["b1", "b2", "b4", "b5"], "1": ["t0", "t2", "t3", "t4"]}
    assert train == drawn_by_the_global_generator(left, 3)
    annotation, features = said()
    assert "1 of 11 videos of primary tasks have no annotation" in annotation
    assert "1 of 10 videos have no features" in features and features.endswith("left out: b3")


def test_an_item(config):
    data = MMDataset.from_config(config())
    info, _ = data.meta_processor[0]
    assert (info.task, info.steps, info.n_steps) == ("2", ["take bread", "cut", "eat it"], 3)
    batch = data.collater([data[0]])
    shown = [[0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert batch["video_targets"].tolist() == [shown]
    assert batch["targets"].tolist() == [[*shown[:4], *shown[2:]]]
    assert batch["caps"].shape == (1, 3, 8) and batch["vfeats"].shape == (1, 2, 4, 2)
    assert (batch["task"], batch["video_id"]) == (["2"], [info.vid])
    assert batch["video_len"].tolist() == [6]


def test_steps_behind_the_end_are_reported(config, tmp_path, said):
    for path in (tmp_path / "annotations").iterdir():
        path.write_text("1,1,3\n2,40,44.5\n")
    data = MMDataset.from_config(config())
    assert len(said()) == 1 and "lie wholly behind" in said()[0]
    assert data[0]["video_targets"].sum(0).tolist() == [2, 0, 0]


@pytest.mark.parametrize("n_train", [5, 6])
def test_a_task_with_too_few_videos(n_train, config):
    with pytest.raises(DataError) as caught:
        CrossTaskMetaProcessor(config(n_train=n_train))
    message = f"dataset.n_train {n_train} leaves nothing to test of 2 of 2 tasks: 2 (5), 1 (5) vid"
    assert message in str(caught.value)


def test_all_videos_of_a_small_task_are_for_training(config, put_features, said):
    folder = put_features(
        {vid: 6 for vids in VIDEOS.values() for vid in vids if vid[0] != "t"}
        | dict.fromkeys(VIDEOS["1"][:3], 6),
        "f3",
    )
    train = videos_of(CrossTaskMetaProcessor(config(split="train", vfeat_dir=folder)))
    assert train["1"] == VIDEOS["1"][:3]
    assert train["2"] == drawn_by_the_global_generator({"2": VIDEOS["2"][1:]}, 3)["2"]
    assert "leaves nothing to test of 1 of 2 tasks: 1 (3) videos" in said()[-1]
    assert list(videos_of(CrossTaskMetaProcessor(config(vfeat_dir=folder)))) == ["2"]


def test_a_task_without_any_features_is_not_forgotten(config, put_features, said):
    folder = put_features(dict.fromkeys(VIDEOS["1"], 6), "half")
    assert set(videos_of(CrossTaskMetaProcessor(config(vfeat_dir=folder)))) == {"1"}
    assert "nothing to test of 1 of 2 tasks: 2 (0) videos" in said()[-1]


def test_a_task_without_a_row_is_reported(config, tmp_path, said):
    (tmp_path / "primary.txt").write_text(TASKS + "3\nEat\nhttp://\n1\neat\n")
    assert set(videos_of(CrossTaskMetaProcessor(config()))) == {"1", "2"}
    assert len(said()) == 1 and said()[0].endswith("1 of 3 primary tasks have no video in it: 3")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the table has no row"),
        ("1,a,u\n2,b\n", "line 2: expected TASK,VIDEO_ID,URL, got '2,b'"),
        ("1,,u\n", "line 1: expected TASK,VIDEO_ID,URL, got '1,,u'"),
        ("1,a,u\n1,a,u\n", "1 videos stand in it more than once: 1,a; one may be drawn and tested"),
        ('1,"a,u\n', "not a CSV table (unexpected end of data)"),
    ],
)
def test_bad_lists_of_videos(content, message, tmp_path):
    (tmp_path / "videos.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        read_videos(str(tmp_path / "videos.csv"))
    assert str(caught.value) == f"{tmp_path / 'videos.csv'}: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n\n", "there is no task"),
        ("1\nTea\nhttp://\n2\n", "block at line 1: expected 5 lines (id, title, url, number of"),
        (TASKS + "\n3\nX\nu\n2\none\n", "block at line 14: task 3 should have 2 steps, got 'one'"),
        ("3\nX\nu\ntwo\none,two\n", "block at line 1: task 3 should have two steps"),
        ("3\nX\nu\n2\none,\n", "block at line 1: task 3 should have 2 steps, got 'one,'"),
        (TASKS + TASKS, "block at line 13: task 1 has a block above already"),
    ],
)
def test_bad_tasks(content, message, tmp_path):
    (tmp_path / "primary.txt").write_text(content)
    with pytest.raises(DataError) as caught:
        read_tasks(str(tmp_path / "primary.txt"))
    assert str(caught.value).startswith(f"{tmp_path / 'primary.txt'}: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the table has no row"),
        ("1,2\n", "line 1: expected step,start,end, got '1,2'"),
        ("1,2,3\n4,2,3\n", "line 2: step is '4'; allowed: 1 to 3"),
        ("0,2,3\n", "line 1: step is '0'; allowed: 1 to 3"),
        ("one,2,3\n", "line 1: step is 'one'; allowed: 1 to 3"),
        ("1,3,2\n", "line 1: from 3.0 to 2.0; allowed: 0 <= start <= end"),
        ("1,-3,2\n", "line 1: from -3.0 to 2.0; allowed: 0 <= start <= end"),
        ("1,x,2\n", "line 1: start is 'x'; a number of seconds is expected"),
        ("1,0,nan\n", "line 1: end is nan; a number of seconds is expected"),
    ],
)
def test_bad_annotations(content, message, tmp_path):
    (tmp_path / "1_a.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        read_annotation(str(tmp_path / "1_a.csv"), 3)
    assert str(caught.value) == f"{tmp_path / '1_a.csv'}: {message}"


def test_missing_files_and_keys(config, tmp_path, put_features):
    keys = ("train_csv_path", "val_csv_path", "primary_path", "annotation_path", "vfeat_dir")
    for key in keys:
        with pytest.raises(ConfigError, match=rf"dataset\.{key} is not set"):
            CrossTaskMetaProcessor(config(**{key: None}))
        with pytest.raises(DataError, match=rf"nowhere: no such .*dataset\.{key} .*'CrossTask'"):
            CrossTaskMetaProcessor(config(**{key: "nowhere"}))
    with pytest.raises(ConfigError, match=r"dataset\.n_train is not set"):
        CrossTaskMetaProcessor(config(n_train=None))
    with pytest.raises(DataError, match=r"none of the 11 videos of .*videos\.csv has a feature"):
        CrossTaskMetaProcessor(config(vfeat_dir=put_features({}, "none")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no annotation .* for any of the 11 videos of primary"):
        CrossTaskMetaProcessor(config(annotation_path=str(tmp_path / "empty")))


def test_a_byte_order_mark_is_no_part_of_an_id(config, tmp_path):
    for name in ("videos.csv", "primary.txt"):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert set(videos_of(CrossTaskMetaProcessor(config()))) == {"1", "2"}
