"""Caption file -> token shards: golden bytes, odd entries, second runs."""

import json
import logging
import shutil
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import yaml

import mmpt.sharding.spool as spool_module
from mmpt.errors import ConfigError, DataError, LaunchError
from mmpt.io.pickles import load_pickle, save_pickle
from mmpt.sharding import parallel
from mmpt.sharding.layout import bert_tag, text_prefixes
from mmpt.sharding.settings import read_settings
from mmpt.sharding.tokens import TokenRequest, tokenise
from mmpt.utils.shardedtensor import ShardedTensor, verify_shard
from mmpt.utils.split import Split

PREFIX = "sentencified_htm_1200k.tinybert."
NAMES = [f"{split}_{number}" for split in ("train", "val") for number in (0, 1)]


def same_as_golden(corpus, folder=None, names=NAMES):
    folder = folder or corpus.target
    for name in names:
        for kind in ("startends", "caps_ids"):
            for part in ("data", "starts"):
                file = f"{PREFIX}{name}.{kind}_{part}.npy"
                assert (folder / file).read_bytes() == (corpus.golden / file).read_bytes(), file
            assert verify_shard(folder / f"{PREFIX}{name}.{kind}")
    return True


def change(corpus, edit):
    content = json.loads(corpus.captions.read_text())
    edit(content)
    corpus.captions.write_text(json.dumps(content))


@pytest.mark.parametrize("use_fast", [True, False])
def test_the_golden_shards_come_out_byte_for_byte(use_fast, tokens, corpus, golden_dir):
    report = tokens(use_fast=use_fast)
    assert same_as_golden(corpus)
    assert (report.shards, report.captions, report.without) == (4, 497, [])
    stored = golden_dir / "models_data/corpus/how2/sentencified_htm_1200k.tinybert.pkl"
    written = load_pickle(corpus.how2 / f"{PREFIX}pkl")
    assert written == load_pickle(stored)
    assert list(written) == list(load_pickle(stored))
    assert not list(corpus.target.glob(".*spool*"))


def test_captions_from_a_pickle_give_the_same(tokens, corpus, golden_dir):
    name = "sentencified_htm_1200k.pkl"
    shutil.copy(golden_dir / "models_data/corpus/how2" / name, corpus.how2)
    tokens(caption_pkl_path=str(corpus.how2 / name))
    assert same_as_golden(corpus)


def test_several_processes_give_the_same(tokens, corpus, monkeypatch):
    monkeypatch.setattr(parallel, "VIDEOS_AT_ONCE", 3)
    monkeypatch.setattr(spool_module, "BUFFERED_BYTES", 0)
    monkeypatch.setattr(spool_module, "LEAST_BUFFER", 100)
    tokens(processes=2)
    assert same_as_golden(corpus)


def test_a_process_that_was_killed_is_told(tokens, monkeypatch):
    class Pool:
        def __init__(self, *_, **__):
            raise BrokenProcessPool

    monkeypatch.setattr(parallel, "ProcessPoolExecutor", Pool)
    with pytest.raises(LaunchError, match="processes 2: one that tokenised was killed"):
        tokens(processes=2)


def test_the_order_of_the_captions_does_not_matter(tokens, corpus):
    content = json.loads(corpus.captions.read_text())
    corpus.captions.write_text(json.dumps(dict(reversed(content.items()))))
    tokens()
    assert same_as_golden(corpus)


def test_parts_make_all_shards_and_no_pickle(tokens, corpus):
    reports = [tokens(Split(number, 3)) for number in (1, 2, 3)]
    assert [report.shards for report in reports] == [2, 1, 1]
    assert same_as_golden(corpus)
    assert not (corpus.how2 / f"{PREFIX}pkl").exists()
    # a run over all of them has only the pickle left to write
    assert tokens().shards == 0
    assert (corpus.how2 / f"{PREFIX}pkl").exists()


def test_meta_files_from_elsewhere_and_one_split(tokens, corpus, tmp_path):
    vfeat, target = str(corpus.target), tmp_path / "text"
    tokens(vfeat_dir=vfeat, target_dir=str(target), splits=["val"], token_pickle=False)
    assert same_as_golden(corpus, target, NAMES[2:])
    assert len(list(target.glob("*.npy"))) == 8
    assert not (corpus.how2 / f"{PREFIX}pkl").exists()


def test_a_second_run_makes_only_what_changed(tokens, corpus):
    tokens()
    assert tokens()[1:3] == (0, 4)
    (corpus.target / f"{PREFIX}val_1.caps_ids_data.npy").write_bytes(b"")
    assert tokens()[1:3] == (1, 3)
    (corpus.how2 / f"{PREFIX}pkl").unlink()
    assert tokens()[1:3] == (0, 4)
    assert (corpus.how2 / f"{PREFIX}pkl").exists()
    meta = load_pickle(corpus.target / "val_meta.pkl")
    save_pickle(corpus.target / "val_meta.pkl", {0: meta[0], 1: meta[1][::-1]})
    assert tokens()[1:3] == (1, 3)
    change(corpus, lambda content: content.pop("valVid_000-x"))
    report = tokens()
    assert (report.shards, report.without) == (4, ["valVid_000-x"])
    assert same_as_golden(corpus, names=NAMES[:2])


def test_videos_without_and_with_damaged_captions_have_none(tokens, corpus, caplog):
    def edit(content):
        del content["trainVid_003-x"]
        content["trainVid_004-x"]["end"].pop()
        content["trainVid_005-x"]["start"][0] = 1e39
        content["trainVid_006-x"] = [1]
        content["in no shard"] = {"start": [0]}

    change(corpus, edit)
    report = tokens(token_pickle=False)
    assert report.without == ["trainVid_003-x"]
    assert len(report.damaged) == 3
    assert "video trainVid_004-x: " in report.damaged[0] and "starts" in report.damaged[0]
    assert "times beyond what float32 holds" in report.damaged[1]
    counts = ShardedTensor.load(corpus.target / f"{PREFIX}train_0.caps_ids").lengths()
    assert (counts == 0).tolist() == [i in (3, 4, 5, 6) for i in range(8)]
    assert same_as_golden(corpus, names=NAMES[1:])
    # a second run tells the same
    assert tokens(token_pickle=False) == report._replace(shards=0, kept=4)
    tokens()
    assert "trainVid_004-x" not in load_pickle(corpus.how2 / f"{PREFIX}pkl")


def test_what_is_no_text_has_no_tokens_and_long_captions_are_cut(tinybert):
    texts = [None, float("nan"), 3, "", "oil " * 60, "o" * 200, "oil \ud800 pan", "Oil"]
    entry = {"start": list(range(8)), "end": list(range(8)), "text": texts}
    request = TokenRequest(str(tinybert), True, "c.json", False)
    (video,) = tokenise([("v", entry)], request)
    rows = np.frombuffer(video.caps_ids, np.int32).reshape(8, 32)
    assert (rows[:4] == -1).all()
    # 96 characters are 24 times "oil "
    assert ((rows[4] >= 0).sum(), len(set(rows[4, :24]))) == (24, 1)
    assert (rows[7, 0], rows[7, 1]) == (rows[4, 0], -1)
    assert (video.captions, video.problem, video.pickled) == (8, None, None)
    many = {"start": [0], "end": [1], "text": [", " * 48]}
    (video,) = tokenise([("v", many)], request)
    assert (np.frombuffer(video.caps_ids, np.int32) >= 0).all()


def test_an_id_that_comes_twice_has_its_last_captions(tokens, corpus):
    content = corpus.captions.read_text()
    other = '{"start": [0], "end": [1], "text": ["other"]}'
    corpus.captions.write_text('{"trainVid_001-x": ' + other + ", " + content[1:])
    assert tokens().twice == ["trainVid_001-x"]
    assert same_as_golden(corpus)
    assert tokens().twice == ["trainVid_001-x"]


@pytest.mark.parametrize("pickled", [True, False])
def test_of_damaged_entries_that_come_twice_the_last_one_counts(pickled, tokens, corpus):
    content = json.loads(corpus.captions.read_text())
    good = json.dumps(content.pop("trainVid_001-x"))
    entries = {"trainVid_001-x": ["[1]", good], "trainVid_002-x": [good, "[1]"]}
    del content["trainVid_002-x"]
    texts = [f'"{i}": {entry}' for i, pair in entries.items() for entry in pair]
    corpus.captions.write_text("{" + ", ".join(texts) + ", " + json.dumps(content)[1:])
    report = tokens(token_pickle=pickled)
    assert [problem.partition(": ")[2] for problem in report.damaged] == [
        "video trainVid_002-x: expected lists start, end and text (or cap)"
    ]
    counts = ShardedTensor.load(corpus.target / f"{PREFIX}train_0.caps_ids").lengths()
    assert (counts[1] > 0, counts[2], report.captions) == (True, 0, 497 - counts_of(corpus, 2))
    if pickled:
        written = load_pickle(corpus.how2 / f"{PREFIX}pkl")
        assert len(written["trainVid_001-x"]["cap"]) == counts[1]
        assert written["trainVid_002-x"] == {"start": [], "end": [], "cap": []}


def counts_of(corpus, position):
    return ShardedTensor.load(corpus.golden / f"{PREFIX}train_0.caps_ids").lengths()[position]


def test_numbers_beyond_a_float_damage_their_entry_alone(tokens, corpus):
    text = corpus.captions.read_text()
    entry = '{"start": [%s], "end": [2], "text": ["oil"]}'
    text = f'{{"trainVid_000-x": {entry % "1e400"}, "x": {entry % ("9" * 400)}, ' + text[1:]
    corpus.captions.write_text(text.replace('"trainVid_000-x": {"s', '"y": {"s', 2)
                               .replace('"y"', '"trainVid_000-x"', 1))  # fmt: skip
    (problem,) = tokens().damaged
    assert "video trainVid_000-x: the times of caption 0 are NaN or inf" in problem


def test_a_slash_in_a_hub_name_is_none_in_file_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bert_tag("bert-base-uncased") == "bert-base-uncased"
    assert bert_tag("org/model") == "org--model"
    Path("data/demo/tinybert").mkdir(parents=True)
    assert bert_tag("data/demo/tinybert/") == "tinybert"
    assert bert_tag(str(tmp_path / "data/../data")) == "data"


def test_the_sets_of_token_shards_in_a_folder(tokens, corpus, tinybert, monkeypatch):
    tokens()
    monkeypatch.chdir(tinybert.parent)
    Path("pretrained_models/org").mkdir(parents=True)
    shutil.copytree(tinybert, "pretrained_models/org/model")
    tokens(bert_name="org/model", token_pickle=False)
    assert text_prefixes(corpus.target) == ["sentencified_htm_1200k.org--model.", PREFIX]
    shutil.rmtree("pretrained_models")


# ---- what cannot be done ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"target_dir": None}, "target_dir must be set"),
        ({"caption_path": "x"}, "unknown key caption_path"),
        ({"usefast": True}, "unknown key usefast (did you mean use_fast?)"),
        ({"use_fast": "yes"}, "use_fast must be true or false, got 'yes'"),
        ({"processes": 0}, "processes must be at least 1"),
        ({"target_dir": " "}, "target_dir must be a text that is not empty"),
        ({"splits": ["valid"]}, "splits: got ['valid']; allowed: train, val"),
        ({"splits": []}, "splits: got []"),
        ({"vfeat_dir": "nowhere"}, "vfeat_dir nowhere holds no train_meta.pkl, val_meta.pkl"),
        ({"caption_pkl_path": "c.csv"}, "caption_pkl_path: got c.csv; a name in .json or .pkl"),
    ],
)
def test_settings_that_cannot_be_used(keys, message, tokens):
    with pytest.raises(ConfigError) as caught:
        tokens(**keys)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no file .*; scripts/text_token_extractor/configs/bert-base-uncased.yaml"),
        ("[1]", "a mapping of keys is needed, got \\[1\\]"),
        ("a: [", "not valid YAML"),
    ],
)
def test_files_that_are_no_settings(content, message, tmp_path):
    path = tmp_path / "tokens.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_settings(path)


def test_the_released_file_has_the_keys_that_users_know():
    path = Path("scripts/text_token_extractor/configs/bert-base-uncased.yaml")
    assert yaml.safe_load(path.read_text()) == {
        "bert_name": "bert-base-uncased",
        "use_fast": True,
        "caption_pkl_path": "data/how2/sentencified_htm_1200k.json",
        "target_dir": "data/feat/feat_how2_s3d_shard_small",
    }


def test_captions_of_other_videos_are_refused(tokens, corpus):
    corpus.captions.write_text('{"x": {"start": [0], "end": [1], "text": ["a"]}}')
    with pytest.raises(DataError, match="none of its videos is among the 32 of the shards"):
        tokens()
    assert not list(corpus.target.glob("*.npy"))
    assert not (corpus.how2 / f"{PREFIX}pkl").exists()


@pytest.mark.parametrize("meta", [[], {"0": ["a"]}, {0: [1]}, {0: "a"}])
def test_a_meta_file_of_another_form_is_refused(meta, tokens, corpus):
    save_pickle(corpus.target / "val_meta.pkl", meta)
    with pytest.raises(DataError, match=r"val_meta\.pkl: expected \{shard number: \[video ids\]\}"):
        tokens()


def test_a_run_without_anything_to_say_says_nothing(tokens, caplog):
    tokens()
    assert not [r for r in caplog.records if r.levelno > logging.INFO]
