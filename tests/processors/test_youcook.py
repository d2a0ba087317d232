"""YouCook2's clips and videos."""

import json
import pickle

import pytest

from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import ConfigError, DataError
from mmpt.io.pickles import save_pickle
from mmpt.processors import (
    YoucookFullVideoBGMetaProcessor,
    YoucookMetaProcessor,
    YoucookVideoProcessor,
)

ANNOTATION = {
    "a_b": {
        "annotations": [
            {"segment": [2, 6], "id": 0, "sentence": "cut the onion"},
            {"segment": [8, 12], "id": 1, "sentence": "stir in the oil"},
        ]
    },
    "c": {"annotations": [{"segment": [0, 3], "id": 0, "sentence": "wash the rice"}]},
}
CLIPS = [
    {"id": "a_b_1", "caption": "stir oil"},
    {"id": "c_0", "caption": "wash rice"},
    {"id": "a_b_0", "caption": "cut onion"},
]


@pytest.fixture
def config(tmp_path, tinybert, put_features):
    """`config(clips, annotation, **changes)`: a section with these files."""

    def make(clips=CLIPS, annotation=ANNOTATION, **changes):
        save_pickle(tmp_path / "val.pkl", clips)
        (tmp_path / "annotation.json").write_text(json.dumps({"database": annotation}))
        return {
            "split": "test",
            "test_path": str(tmp_path / "val.pkl"),
            "trainval_annotation": str(tmp_path / "annotation.json"),
            "vfeat_dir": put_features({"a_b": 20, "c": 5}),
            "vfeat_dim": 2,
            "bert_name": str(tinybert),
            "max_video_len": 8,
            "max_len": 20,
            **changes,
        }

    return make


def test_clips_in_the_order_of_the_list(config):
    meta = YoucookMetaProcessor(config())
    assert [meta[i] for i in range(len(meta))] == [
        (("a_b", 8, 12), "stir oil"),
        (("c", 0, 3), "wash rice"),
        (("a_b", 2, 6), "cut onion"),
    ]
    meta = YoucookMetaProcessor(config(use_annotation_text=True))
    assert [meta[i][1] for i in range(3)] == ["stir in the oil", "wash the rice", "cut the onion"]


def test_items_of_clips(config):
    section = config(
        meta_processor="YoucookMetaProcessor",
        video_processor="YoucookVideoProcessor",
        text_processor="TextProcessor",
        aligner="DSAligner",
    )
    data = MMDataset.from_config(section)
    batch = data.collater([data[i] for i in range(3)])
    assert batch["video_id"] == [("a_b", 8, 12), ("c", 0, 3), ("a_b", 2, 6)]
    assert batch["vfeats"][:, 0, 0].tolist() == [16, 0, 4]
    assert batch["vmasks"].sum(1).tolist() == [4, 3, 4]


def test_a_clip_behind_the_end_has_no_second_but_is_reported(config, put_features, said):
    section = config(vfeat_dir=put_features({"a_b": 7, "c": 5}, "short"))
    meta = YoucookMetaProcessor(section)
    video = YoucookVideoProcessor(section)
    assert [len(video(meta[i][0])) for i in range(3)] == [0, 3, 4]
    assert len(said()) == 1 and "1 segments in 1 of 2 videos end more than 1 s" in said()[0]


def test_whole_videos_with_their_captions_in_the_order_of_the_clips(config):
    section = config(
        meta_processor="YoucookFullVideoBGMetaProcessor",
        video_processor="YoucookFullVideoBGProcessor",
        text_processor="YoucookFullVideoBGTextProcessor",
        aligner="YoucookFullVideoBGAligner",
        sliding_window=4,
        sliding_window_size=8,
    )
    data = MMDataset.from_config(section)
    meta = data.meta_processor
    assert [meta[i] for i in range(len(meta))] == [
        ("a_b", ["cut onion", "stir oil"]),
        ("c", ["wash rice"]),
    ]
    batch = data.collater([data[0]])
    assert batch["caps"].shape == (1, 2, 12)
    assert batch["vfeats"].shape == (1, 4, 8, 2) and batch["video_len"].tolist() == [20]


@pytest.mark.parametrize("meta", [YoucookMetaProcessor, YoucookFullVideoBGMetaProcessor])
def test_videos_without_features_are_left_out(meta, config, put_features, said):
    section = config(vfeat_dir=put_features({"c": 5}, "few"))
    assert len(meta(section)) == 1
    assert len(said()) == 1 and "1 of 2 videos have no features" in said()[0]
    with pytest.raises(DataError, match=r"none of the 2 videos of .*val\.pkl has a feature file"):
        meta(config(vfeat_dir=put_features({}, "none")))


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], 'a list of {"id": "VIDEO_ID_CLIP", "caption": …} is expected'),
        ({"id": "c_0"}, 'a list of {"id": "VIDEO_ID_CLIP", "caption": …} is expected'),
        (["c_0"], 'entry 0: expected {"id": …, "caption": …}, got \'c_0\''),
        ([*CLIPS, {"caption": "x"}], "entry 3: expected"),
        ([{"id": "c0", "caption": "x"}], "entry 0: id is 'c0'; expected is VIDEO_ID_CLIP with the"),
        ([{"id": "c_x", "caption": "x"}], "entry 0: id is 'c_x'"),
        ([{"id": "c_-1", "caption": "x"}], "entry 0: id is 'c_-1'"),
        ([{"id": "_1", "caption": "x"}], "entry 0: id is '_1'"),
        ([{"id": "c_0"}], "entry 0: the caption is None; words are expected"),
        ([*CLIPS, CLIPS[1]], "1 clips stand in it more than once: c_0; each is one candidate"),
    ],
)
def test_bad_lists(clips, message, config, tmp_path):
    with pytest.raises(DataError) as caught:
        YoucookMetaProcessor(config(clips))
    assert str(caught.value).startswith(f"{tmp_path / 'val.pkl'}: {message}")


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (None, "clip 0 of c is not annotated; there are no clips of this video"),
        ({"annotations": []}, "clip 0 of c is not annotated; there are 0 clips of this video"),
        ({"annotations": [[0, 3]]}, 'clip 0 of c: expected {"segment": [start, end], "sentence"'),
        ({"annotations": [{"segment": [3]}]}, 'clip 0 of c: expected {"segment"'),
        ({"annotations": [{"segment": [3, 1]}]}, "clip 0 of c: from 3 to 1; allowed: 0 <= start"),
        ({"annotations": [{"segment": [-1, 1]}]}, "clip 0 of c: from -1 to 1"),
        ({"annotations": [{"segment": ["0", 1]}]}, "clip 0 of c: start is '0'; a number of sec"),
        ({"annotations": [{"segment": [0.5, 1]}]}, "clip 0 of c: from 0.5 to 1.0; whole seconds"),
        ({"annotations": [{"segment": [0, 1]}]}, "clip 0 of c: the caption is None; words are"),
    ],
)
def test_bad_annotations(video, message, config, tmp_path):
    section = config(annotation={**ANNOTATION, "c": video}, use_annotation_text=True)
    with pytest.raises(DataError) as caught:
        YoucookMetaProcessor(section)
    assert str(caught.value).startswith(f"{tmp_path / 'annotation.json'}: {message}")


@pytest.mark.parametrize("content", ["[]", "{}", '{"database": []}'])
def test_another_layout(content, config, tmp_path):
    section = config()
    (tmp_path / "annotation.json").write_text(content)
    with pytest.raises(DataError, match=r'annotation\.json: expected \{"database": \{VIDEO_ID'):
        YoucookMetaProcessor(section)


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_a_list_that_runs_code_is_refused(config, tmp_path, capsys):
    section = config()
    (tmp_path / "val.pkl").write_bytes(pickle.dumps([Evil()]))
    with pytest.raises(DataError, match=r"val\.pkl: refused to load builtins\.print"):
        YoucookMetaProcessor(section)
    assert "run" not in capsys.readouterr().out


def test_missing_files_and_keys(config):
    for key in ("test_path", "trainval_annotation", "vfeat_dir"):
        with pytest.raises(ConfigError, match=rf"dataset\.{key} is not set"):
            YoucookMetaProcessor(config(**{key: None}))
        with pytest.raises(DataError, match=rf"nowhere: no such .*dataset\.{key} .*'YouCook2'"):
            YoucookMetaProcessor(config(**{key: "nowhere"}))
