"""The HowTo100M part: the forms of its files, and that they all tell the same story."""

import json

import numpy as np
import pytest
import yaml
from transformers import AutoTokenizer

from mmpt.config.errors import ConfigError
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.demo import make_corpus
from mmpt.demo.sets.how2 import token_rows
from mmpt.io.pickles import load_pickle
from mmpt.utils.shardedtensor import ShardedTensor, verify_shard

PAPER = "projects/retri/norton/how2_pretrain.yaml"
SHARDS = "feat/feat_how2_s3d_shard_small"
SPLITS = {"train": 40, "val": 16}


@pytest.fixture(scope="module")
def captions(corpus):
    return json.loads((corpus / "how2/sentencified_htm_1200k.json").read_text())


def ids_of(corpus, split):
    return (corpus / f"how2/how2_s3d_{split}.lst").read_text().split()


def shards(corpus, split, text=""):
    """Every shard of one kind with the ids of its videos."""
    prefix = f"sentencified_htm_1200k.tinybert.{split}" if text else split
    suffix = f".{text}" if text else ""
    for shard, ids in load_pickle(corpus / SHARDS / f"{split}_meta.pkl").items():
        path = corpus / SHARDS / f"{prefix}_{shard}{suffix}"
        loaded = ShardedTensor.load(path)
        assert verify_shard(path)
        assert len(loaded) == len(ids)
        yield loaded, ids


@pytest.mark.parametrize("split", SPLITS)
def test_lists_and_meta_name_the_same_videos(corpus, captions, split):
    listed = ids_of(corpus, split)
    meta = load_pickle(corpus / SHARDS / f"{split}_meta.pkl")
    assert len(listed) == len(set(listed)) == SPLITS[split]
    assert [video_id for shard in sorted(meta) for video_id in meta[shard]] == listed
    assert set(listed) <= set(captions)
    assert all(len(video_id) == 11 for video_id in listed)
    assert sorted(meta) == list(range(-(-SPLITS[split] // 16)))


def test_splits_share_no_video(corpus, captions):
    train, val = set(ids_of(corpus, "train")), set(ids_of(corpus, "val"))
    assert not train & val
    assert train | val == set(captions)


@pytest.mark.parametrize("split", SPLITS)
def test_features(corpus, truth, split):
    lengths = set()
    for shard, ids in shards(corpus, split):
        assert shard.data.dtype == np.float16
        assert shard.data.shape[1] == 512
        norms = np.linalg.norm(shard.data.astype(np.float32), axis=1)
        np.testing.assert_allclose(norms, 1, atol=2e-3)
        for rows, video_id in zip(shard, ids, strict=True):
            assert len(rows) == truth["how2"][split][video_id]["seconds"]
            alone = np.load(corpus / "feat/feat_how2_s3d" / f"{video_id}.npy", allow_pickle=False)
            np.testing.assert_array_equal(alone, rows)
            lengths.add(len(rows))
    assert len(lengths) > 5


@pytest.mark.parametrize("split", SPLITS)
def test_times_in_text_shards_are_the_captions_times(corpus, captions, split):
    for shard, ids in shards(corpus, split, "startends"):
        assert shard.data.dtype == np.float32
        for rows, video_id in zip(shard, ids, strict=True):
            expected = np.array([captions[video_id]["start"], captions[video_id]["end"]]).T
            np.testing.assert_array_equal(rows, expected.astype(np.float32))


@pytest.mark.parametrize("split", SPLITS)
def test_ids_in_text_shards_are_the_tokenizers(corpus, captions, split):
    tokenizer = AutoTokenizer.from_pretrained(str(corpus / "tinybert"))
    between = load_pickle(corpus / "how2/sentencified_htm_1200k.tinybert.pkl")
    cut = 0
    for shard, ids in shards(corpus, split, "caps_ids"):
        assert shard.data.dtype == np.int32
        assert shard.data.shape[1] == 32
        for rows, video_id in zip(shard, ids, strict=True):
            texts = captions[video_id]["text"]
            assert len(rows) == len(texts)
            for row, text, stored in zip(rows, texts, between[video_id]["cap"], strict=True):
                expected = tokenizer(text[:96], add_special_tokens=False)["input_ids"]
                assert stored == expected
                assert row.tolist() == (expected[:32] + [-1] * 32)[:32]
                assert tokenizer.unk_token_id not in expected
                cut += len(text) > 96
            assert between[video_id]["start"] == captions[video_id]["start"]
            assert between[video_id]["end"] == captions[video_id]["end"]
    assert cut > 0, "no caption was long enough to see the cut at 96 characters"


def test_token_rows_are_cut_and_padded():
    rows = token_rows([list(range(40)), [7, 8], []])
    assert rows.dtype == np.int32
    assert rows[0].tolist() == list(range(32))
    assert rows[1].tolist() == [7, 8] + [-1] * 30
    assert rows[2].tolist() == [-1] * 32


def test_pickle_holds_the_captions_as_json_text(corpus, captions):
    stored = load_pickle(corpus / "how2/sentencified_htm_1200k.pkl")
    assert {video_id: json.loads(text) for video_id, text in stored.items()} == captions


def test_captions_have_the_public_form(captions):
    for entry in captions.values():
        assert set(entry) == {"start", "end", "text"}
        assert len(entry["start"]) == len(entry["end"]) == len(entry["text"]) >= 1
        assert entry["start"] == sorted(entry["start"])
        assert all(0 <= s < e for s, e in zip(entry["start"], entry["end"], strict=True))
        assert all(isinstance(text, str) and text for text in entry["text"])


def test_a_corpus_that_the_paper_s_job_file_takes_for_its_own(tmp_path):
    """The names in `projects/retri/norton/how2_pretrain.yaml`, below `data/`."""
    make_corpus(tmp_path / "data", videos=2, test_videos=1, align_videos=1, youcook_videos=1,
                coin_videos=1, didemo_videos=1, crosstask_videos=3, finetune_videos=1,
                bert_name="bert-base-uncased")  # fmt: skip
    dataset = yaml.safe_load((REPOSITORY_ROOT / PAPER).read_text())["dataset"]
    for key in ("train_path", "val_path", "vfeat_dir"):
        assert (tmp_path / dataset[key]).exists(), key
    for suffix in ("startends_data.npy", "caps_ids_starts.npy"):
        assert (tmp_path / f"{dataset['tfeat_dir']}train_0.{suffix}").exists()
    assert (tmp_path / "data/bert-base-uncased/config.json").exists()
    with pytest.raises(ConfigError, match="bert_name is 'a/b'; allowed are letters, digits, _"):
        make_corpus(tmp_path / "other", bert_name="a/b")
