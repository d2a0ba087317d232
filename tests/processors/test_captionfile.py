"""HowTo100M without shards: `VIDEO_ID.npy`, and captions in one file."""

import hashlib
import json
import pickle
import random

import numpy as np
import pytest
import torch

from mmpt.errors import ConfigError, DataError
from mmpt.io.pickles import save_pickle
from mmpt.processors import How2MetaProcessor, PKLJSONStrTextProcessor, ShardedTextProcessor
from mmpt.processors import captionfile as module
from mmpt.utils.seeds import set_seed
from mmpt.utils.shardedtensor import ShardedTensor

TENSORS = ("caps", "cmasks", "vmasks", "video_start", "video_end", "text_start", "text_end")
FORMS = ("sentencified_htm_1200k.pkl", "sentencified_htm_1200k.json")
TOKENISED = "sentencified_htm_1200k.tinybert.pkl"


@pytest.fixture(scope="module")
def flat_folder(golden_dir, tmp_path_factory):
    """The training features of the golden corpus, one file a video."""
    folder = tmp_path_factory.mktemp("feat_how2_s3d")
    corpus = golden_dir / "models_data/corpus"
    ids = iter((corpus / "how2/how2_s3d_train.lst").read_text().split())
    for shard in (0, 1):
        for features in ShardedTensor.load(
            corpus / f"feat/feat_how2_s3d_shard_small/train_{shard}"
        ):
            np.save(folder / f"{next(ids)}.npy", features)
    return folder


@pytest.fixture
def flat_config(how2_config, flat_folder, golden_dir):
    def make(form=FORMS[0], **changes):
        names = {
            "meta_processor": "How2MetaProcessor",
            "video_processor": "VideoProcessor",
            "text_processor": "PKLJSONStrTextProcessor",
            "aligner": "OverlappedAligner",
            "vfeat_dir": str(flat_folder),
            "caption_pkl_path": str(golden_dir / "models_data/corpus/how2" / form),
            "tfeat_dir": None,
        }
        return how2_config(**{**names, **changes})

    return make


def pair(data, index):
    """Item `index` of the golden job out of two of one video each, drawn one after the other."""
    videos = [data[2 * index + position] for position in (0, 1)]
    return {key: torch.stack([video[key] for video in videos]) for key in (*TENSORS, "vfeats")}


@pytest.mark.parametrize("form", [*FORMS, TOKENISED])
@pytest.mark.parametrize("name", ["item0", "item1", "item2"])
def test_items_equal_the_stored_ones(name, form, flat_config, build, golden, stored_items):
    facts, arrays = stored_items[name], golden("models_data/dataset_items.npz")
    data = build(flat_config(form))
    assert len(data) == 16
    set_seed(facts["seed"])
    item = pair(data, facts["idx"])
    assert random.random() == facts["next_random"]
    for key in TENSORS:
        np.testing.assert_array_equal(item[key].numpy(), arrays[f"{name}.{key}"], err_msg=key)
    digest = hashlib.sha256(item["vfeats"].contiguous().numpy().tobytes()).hexdigest()
    assert digest == facts["vfeats_sha256_float32_C"]


def test_forty_drawn_items_have_the_stored_bounds(flat_config, build, golden):
    data = build(flat_config())
    for step, bounds in enumerate(golden("models_data/dataset_items.npz")["sweep_bounds"]):
        set_seed(1000 + step)
        item = pair(data, step % 8)
        keys = ("text_start", "text_end", "video_start", "video_end")
        np.testing.assert_array_equal(np.stack([item[k].numpy() for k in keys], axis=-1), bounds)


def test_the_clip_of_the_text_equals_the_stored_item(flat_config, build, golden, stored_items):
    facts, arrays = stored_items["retri_item"], golden("models_data/dataset_items.npz")
    data = build(flat_config(aligner="VariedLenAligner"))
    set_seed(facts["seed"])
    item = data[facts["idx"]]
    assert (item["video_id"], set(item)) == (facts["video_id"], set(facts["keys"]))
    for key in TENSORS:
        np.testing.assert_array_equal(item[key].numpy(), arrays[f"retri_item.{key}"], err_msg=key)


def test_captions_are_those_of_the_shards(flat_config, how2_config):
    text, shards = PKLJSONStrTextProcessor(flat_config()), ShardedTextProcessor(how2_config())
    for position in range(8):
        video_id = f"trainVid_{position:03d}-x"
        ours, theirs = text(video_id), shards((video_id, -1, 0, position))
        np.testing.assert_allclose(ours["start"], theirs["start"], rtol=1e-6)
        np.testing.assert_allclose(ours["end"], theirs["end"], rtol=1e-6)
        assert [caption[:32] for caption in ours["cap"]] == list(theirs["cap"])
    assert text("trainVid_000-x") is text("trainVid_000-x")


@pytest.fixture
def own_captions(flat_config, tmp_path):
    """`own_captions({id: entry})`: a config with those captions in a pickle."""

    def make(content, **changes):
        path = tmp_path / "own.pkl"
        save_pickle(path, content)
        return flat_config(caption_pkl_path=str(path), **changes)

    return make


def entry(start=(0, 4), end=(4, 8), text=("cut the onion", "oil")):
    return json.dumps({"start": list(start), "end": list(end), "text": list(text)})


def test_captions_are_cut_to_96_characters_and_no_string_has_no_tokens(own_captions):
    config = own_captions({"v": entry(text=("oil " * 50, None))})
    long, none = PKLJSONStrTextProcessor(config)("v")["cap"]
    assert (len(long), none) == (24, [])
    shorter = PKLJSONStrTextProcessor(config, max_clip_text_len=12)("v")["cap"]
    assert [len(caption) for caption in shorter] == [3, 0]


def test_halves_of_surrogate_pairs_are_no_reason_to_stop(own_captions):
    config = own_captions({"v": entry(text=("oil \ud800 pan", "oil ? pan"))})
    halved, replaced = PKLJSONStrTextProcessor(config)("v")["cap"]
    assert halved == replaced


def test_only_so_many_videos_are_kept_tokenised(own_captions, monkeypatch):
    monkeypatch.setattr(module, "MAX_KEPT", 1)
    text = PKLJSONStrTextProcessor(own_captions({"v": entry(), "w": entry()}))
    assert text("v") is text("v")
    assert text("w") is not text("w")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"w": entry()}, "no captions of video v"),
        ({"v": "{"}, "video v: not a JSON string"),
        ({"v": "[]"}, "video v: expected lists start, end and text (or cap)"),
        ({"v": 3}, "video v: expected lists start, end and text (or cap)"),
        ({"v": entry(start=(0,))}, "video v: 1 starts, 2 ends and 2 captions"),
        ({"v": entry(start=(0, "x"))}, "video v: start and end must be numbers of seconds"),
        ({"v": entry(start=(0, 10**400))}, "video v: start and end must be numbers of seconds"),
        ({"v": entry(start=([0], [1]), end=([1], [2]))}, "video v: start and end must be numbers"),
        (
            {"v": '{"start": [%s]}' % ("1" * 5000)},
            "video v: not a JSON string",
        ),
        ({"v": entry(end=(4, None))}, "video v: the times of caption 1 are NaN or inf"),
        ({"v": entry(end=(float("nan"), 4))}, "video v: the times of caption 0 are NaN or inf"),
        (["v"], "expected a dict of captions by video id, got list"),
    ],
)
def test_bad_caption_files(content, message, own_captions):
    with pytest.raises(DataError) as caught:
        PKLJSONStrTextProcessor(own_captions(content))("v")
    assert message in str(caught.value)
    assert "own.pkl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_runs_code_is_refused(flat_config, tmp_path):
    class Runs:
        def __reduce__(self):
            return (print, ("never",))

    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps({"v": Runs()}))
    with pytest.raises(DataError, match=r"bad\.pkl: refused to load builtins\.print"):
        PKLJSONStrTextProcessor(flat_config(caption_pkl_path=str(path)))


def test_a_caption_file_that_is_not_named_or_not_there(flat_config):
    with pytest.raises(ConfigError, match=r"dataset\.caption_pkl_path is not set"):
        PKLJSONStrTextProcessor(flat_config(caption_pkl_path=None))
    with pytest.raises(DataError, match=r"no\.pkl: no such file; dataset\.caption_pkl_path asks"):
        PKLJSONStrTextProcessor(flat_config("no.pkl"))


def test_videos_without_features_or_captions_are_left_out(own_captions, tmp_path, caplog):
    listed = tmp_path / "own.lst"
    ids = ["trainVid_000-x", "gone", "trainVid_001-x", "trainVid_002-x", "trainVid_000-x"]
    listed.write_text("\n".join(ids))
    nothing = json.dumps({"start": [], "end": [], "text": []})
    config = own_captions(
        {"trainVid_000-x": entry(), "trainVid_001-x": nothing}, train_path=str(listed)
    )
    assert How2MetaProcessor(config).data == ["trainVid_000-x"]
    assert "1 lines left out: their ids were listed before" in caplog.text
    assert "1 videos left out: no features in" in caplog.text
    assert "2 videos left out: no captions in" in caplog.text
    listed.write_text("gone\n")
    with pytest.raises(DataError, match=r"none of its 1 ids is a video with features in .* and"):
        How2MetaProcessor(config)
