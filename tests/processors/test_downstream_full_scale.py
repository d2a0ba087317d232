"""The whole published annotation files, where they are: sizes, and who is drawn.

They lie in `$MMPT_TEST_DATA`.  Features are planted: files without content, since lists are made
from their names.
"""

from collections import Counter

import pytest

from mmpt.processors import (
    COINActionSegmentationMetaProcessor,
    CrossTaskMetaProcessor,
    DiDeMoMetaProcessor,
    MSRVTTMetaProcessor,
    MSRVTTQAMetaProcessor,
    YoucookFullVideoBGMetaProcessor,
    YoucookMetaProcessor,
)
from mmpt.processors.downstream.crosstask_files import read_videos
from mmpt.processors.downstream.tables import read_columns
from mmpt.processors.paths import read_json

pytestmark = pytest.mark.slow


@pytest.fixture
def published(published_annotations):
    """`published("coin/COIN.json")`: the path of a file; the test is skipped where it is not."""
    return lambda name: str(published_annotations(name))


@pytest.fixture
def plant(tmp_path):
    """`plant(ids)`: a folder with a feature file for each."""

    def put(video_ids):
        folder = tmp_path / "features"
        folder.mkdir(exist_ok=True)
        for video_id in video_ids:
            (folder / f"{video_id}.npy").touch()
        return str(folder)

    return put


def test_msrvtt(published, plant):
    table = published("msrvtt/MSRVTT_JSFUSION_test.csv")
    folder = plant(video for (video,) in read_columns(table, ("video_id",)))
    meta = MSRVTTMetaProcessor({"split": "test", "test_path": table, "vfeat_dir": folder})
    assert len(meta) == 1000 and len({meta[i][1] for i in range(1000)}) == 995
    train = {"train_path": published("msrvtt/MSRVTT_train.9k.csv"), "dup": 20}
    assert len(MSRVTTMetaProcessor(train)) == 180_000


def test_questions(published, plant):
    table = published("msrvtt/MSR_MC_test.synthetic.csv")
    folder = plant(f"video{number}" for number in range(7010, 10_000))
    meta = MSRVTTQAMetaProcessor({"split": "test", "test_path": table, "vfeat_dir": folder})
    assert len(meta) == 2990
    assert set(Counter(meta[i][1][1] for i in range(2990))) == set(range(5))


def test_youcook(published, plant, said):
    annotation = published("youcook/youcookii_annotations_trainval.json")
    config = {
        "split": "test",
        "test_path": published("youcook/youcook_val.reconstructed.pkl"),
        "trainval_annotation": annotation,
        "use_annotation_text": True,
        "vfeat_dir": plant(read_json(annotation)["database"]),
    }
    clips, videos = YoucookMetaProcessor(config), YoucookFullVideoBGMetaProcessor(config)
    assert (len(clips), len(videos)) == (3350, 436)
    assert len({clips[i][1] for i in range(3350)}) == 3273
    # the list has the clips of a video one after the other, in their order
    assert [text for i in range(436) for text in videos[i][1]] == [clips[i][1] for i in range(3350)]
    assert said() == []


def test_coin(published, plant):
    path = published("coin/COIN.testing_only.json")
    config = {"split": "test", "test_path": path, "vfeat_dir": plant(read_json(path)["database"])}
    meta = COINActionSegmentationMetaProcessor(config)
    assert (len(meta), len(meta.text_labels)) == (2797, 778)


def test_coin_with_training_videos(published, plant):
    path = published("coin/COIN.subset.json")
    folder = plant(read_json(path)["database"])
    config = {"train_path": path, "val_path": path, "vfeat_dir": folder}
    sizes = [
        len(COINActionSegmentationMetaProcessor({**config, "split": split}))
        for split in ("train", "valid")
    ]
    assert sizes == [60, 242]


def test_didemo(published, plant):
    path = published("didemo/test_data.json")
    videos = {record["video"] for record in read_json(path)}
    folder = plant(
        video.rpartition(".")[0] if i % 2 else video for i, video in enumerate(sorted(videos))
    )
    meta = DiDeMoMetaProcessor({"split": "test", "test_path": path, "vfeat_dir": folder})
    assert len(meta) == 4021
    assert Counter(len(meta[i][1][1]) for i in range(4021)) == {4: 4009, 7: 11, 5: 1}


def test_crosstask(published, plant, said):
    folder = "crosstask/crosstask_release"
    config = {
        "train_csv_path": published(f"{folder}/videos.csv"),
        "val_csv_path": published(f"{folder}/videos_val.csv"),
        "primary_path": published(f"{folder}/tasks_primary.txt"),
        "annotation_path": published(f"{folder}/annotations"),
        "vfeat_dir": plant(vid for _, vid in read_videos(published(f"{folder}/videos.csv"))),
        "n_train": 30,
    }
    found = {
        split: Counter(
            info.task for info in CrossTaskMetaProcessor({**config, "split": split}).data
        )
        for split in ("train", "test")
    }
    assert set(found["train"].values()) == {30} and len(found["train"]) == len(found["test"]) == 18
    assert sum(found["test"].values()) == 1850
    assert (found["test"]["76400"], found["test"]["87706"]) == (202, 36)
    assert said() == []
