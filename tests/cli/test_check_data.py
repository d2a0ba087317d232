"""What is there, missing and broken: the demo corpus whole, and spoiled in every way."""

import json
import os
import pickle
import shutil
import tokenize
import zipfile
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.datacheck import NEEDED, opening
from mmpt.demo import make_corpus
from mmpt.errors import LaunchError
from mmpt.io.pickles import load_pickle, save_pickle
from mmpt.processors import META_PROCESSORS
from mmpt.utils.bert import load_tokenizer
from mmpt_cli import check_data, data_reading
from mmpt_cli.data_survey import survey
from mmpt_cli.entry import run_command

DEMO = REPOSITORY_ROOT / "projects/retri/demo"
SMALL = {
    "videos": 40,
    "seed": 3,
    "test_videos": 12,
    "finetune_videos": 4,
    "align_videos": 3,
    "youcook_videos": 4,
    "coin_videos": 6,
    "didemo_videos": 3,
    "crosstask_videos": 3,
    "shard_size": 16,
    "bert_hidden": 16,
}
SHARDS = "data/demo/feat/feat_how2_s3d_shard_small"
CAPTIONS = f"{SHARDS}/sentencified_htm_1200k.tinybert."
MSRVTT = "data/demo/msrvtt/msrvtt_feature_fps30_512"
TABLE = "data/demo/msrvtt/MSRVTT_JSFUSION_test.csv"
COIN = "data/demo/coin/coin_feature_fps30_512"
RUN = "runs/retri/demo/videoclip"
BEST = f"{RUN}/checkpoint_best.pt"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    make_corpus(folder / "data/demo", **SMALL)
    for stage in ("videoclip", "norton"):
        file = folder / f"runs/retri/demo/{stage}/checkpoint_best.pt"
        file.parent.mkdir(parents=True)
        torch.save({"model": {"mmmodel.a": torch.ones(2)}}, file)
    return folder


@pytest.fixture
def place(whole, tmp_path, monkeypatch):
    """A working directory with the small corpus and checkpoints, to be spoiled."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    load_tokenizer.cache_clear()
    return tmp_path


def job(name):
    return str(DEMO / f"{name}.yaml")


def coin_features():
    """The features of COIN's testing videos."""
    videos = json.loads(Path("data/demo/coin/COIN.json").read_text())["database"]
    return [Path(COIN, f"{name}.npy") for name, v in videos.items() if v["subset"] == "testing"]


def looked(*names, deep=False):
    return survey([job(name) for name in names], deep)


def told(found, path, state):
    return "\n".join(found.things[path.rstrip("/")].lines(state))


def features(folder, videos="*"):
    return sorted(Path(folder).glob(f"{videos}.npy"))


def msrvtt_features():
    """The features of MSR-VTT's test videos, beside which those to train on lie."""
    return features(MSRVTT, "video70*")


def test_all_is_there(place, capsys):
    before = sorted(place.rglob("*"))
    stages = sorted([*DEMO.glob("*videoclip.yaml"), *DEMO.glob("*norton.yaml")])
    assert check_data.main([*map(str, stages), "--deep"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ok:\n") and f"of {len(stages)} jobs have all they need; of " in out
    assert out.endswith("things 0 are missing, 0 broken\n")
    assert "12 of 12 videos of MSRVTT_JSFUSION_test.csv" in out
    assert "12 of 12 videos of MSR_MC_test.csv" in out
    assert sorted(place.rglob("*")) == before


def test_each_thing_is_looked_at_once(place, monkeypatch):
    """Three jobs, two tables, one folder of features and one checkpoint."""
    opened, listed = Counter(), Counter()
    open_one, read_split = opening.open_one, data_reading.read_split
    monkeypatch.setattr(opening, "open_one", lambda a: opened.update([a]) or open_one(a))
    monkeypatch.setattr(
        "mmpt_cli.data_survey.read_split",
        lambda config, *rest: listed.update([config.meta_processor]) or read_split(config, *rest),
    )
    names = ("test_vtt_videoclip", "test_vttqa_videoclip", "test_vtt_norton")
    found = looked(*names, deep=True)
    assert set(opened.values()) == {1} and len(opened) == 12 + 2
    assert listed == {"MSRVTTMetaProcessor": 1, "MSRVTTQAMetaProcessor": 1}
    assert found.things[TABLE].jobs == [job("test_vtt_videoclip"), job("test_vtt_norton")]
    assert found.things[MSRVTT].jobs == [job(name) for name in names]


def test_nothing_is_there(tmp_path, monkeypatch, capsys):
    """The released job files: every file, the key that names it, and where to read about it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no cache"))
    assert check_data.main([]) == 1
    out = capsys.readouterr().out
    assert (
        "  data/coin/COIN.json\n      dataset.train_path, dataset.val_path, dataset.test_path of "
        "coin_ft, test_coin_ft, test_coin_zs; DATASET.md, section 'COIN'\n"
    ) in out
    assert "  runs/retri/norton/coin/checkpoint_best.pt\n      a run of " in out
    assert "coin_ft.yaml writes it\n" in out
    assert "norton/how2_pretrain, videoclip/how2_pretrain; DATASET.md" in out
    assert "tasks_related.txt" not in out  # named by job files, and never read
    released = [*DEMO.parent.glob("norton/*.yaml"), *DEMO.parent.glob("videoclip/*.yaml")]
    assert f"\n0 of {len(released)} jobs have all they need" in out and " 0 broken" in out
    assert list(tmp_path.rglob("*")) == []


def test_missing_features_of_a_benchmark_of_fixed_size(place):
    gone = msrvtt_features()[:5]
    for path in gone:
        path.unlink()
    found = looked("test_vtt_videoclip", "test_coin_videoclip")
    line = told(found, MSRVTT, "missing")
    assert f"5 of the 12 videos of {TABLE} have no features: {gone[0].name}, " in line
    assert line.endswith(", …") and found.things[MSRVTT].stops
    assert told(found, MSRVTT, "ok") == "7 of 12 videos of MSRVTT_JSFUSION_test.csv"
    assert found.things[MSRVTT].state_for(job("test_vtt_videoclip")) == "missing"
    assert all(
        thing.state_for(job("test_coin_videoclip")) == "ok" for thing in found.things.values()
    )


def test_videos_that_a_job_leaves_out(place):
    coin_features()[0].unlink()
    coin_features()[1].unlink()
    found = looked("test_coin_videoclip")
    assert told(found, COIN, "missing").endswith("; the job leaves them out")
    assert not found.things[COIN].stops and check_data.status(found) == 1


def test_a_folder_that_is_missing_is_counted_all_the_same(place):
    shutil.rmtree(MSRVTT)
    found = looked("test_vtt_videoclip")
    assert told(found, MSRVTT, "ok") == "0 of 12 videos of MSRVTT_JSFUSION_test.csv"
    assert "not there\n12 of the 12 videos of" in told(found, MSRVTT, "missing")


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


SPOILED = {
    "truncated": (truncated, "truncated or no .npy file"),
    "narrow": (
        lambda path: np.save(path, np.ones((4, 511), np.float16)),
        "shape (4, 511); expected [seconds, 512]",
    ),
    "flat": (lambda path: np.save(path, np.ones(512, np.float16)), "shape (512,); expected"),
    "integers": (lambda path: np.save(path, np.ones((4, 512), int)), "dtype int64; allowed"),
    "NaN": (
        lambda path: np.save(path, np.full((4, 512), np.nan, np.float16)),
        "NaN or inf in 4 of 4 seconds",
    ),
    "no seconds": (
        lambda path: np.save(path, np.ones((0, 512), np.float16)),
        "the video has no second",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_features_are_found_by_a_deep_look(place, name):
    spoil, line = SPOILED[name]
    path = msrvtt_features()[3]
    spoil(path)
    assert looked("test_vtt_videoclip").things[MSRVTT].state == "ok"
    found = looked("test_vtt_videoclip", deep=True)
    lines = told(found, MSRVTT, "broken")
    assert lines.startswith(f"1 of 12 files: {path}: ") and line in lines


NO_FILES = {
    "empty": (Path.touch, "empty"),
    "folder": (Path.mkdir, "a folder"),
    "pipe": (os.mkfifo, "a pipe"),
    "circle": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "dangling link": (lambda path: path.symlink_to("nowhere.npy"), "a link to nothing"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_file_with_content_is_not_counted(place, name):
    make, line = NO_FILES[name]
    path = msrvtt_features()[3]
    path.unlink()
    make(path)
    for deep in (False, True):
        found = looked("test_vtt_videoclip", deep=deep)
        assert told(found, MSRVTT, "ok").startswith("11 of 12 videos of MSRVTT_JSFUSION_test.csv")
        lines = told(found, MSRVTT, "broken")
        assert lines.startswith(f"the features of 1 of the 12 videos of {TABLE} are no files with")
        assert f"content: {path.name} ({line})" in lines
        assert found.things[MSRVTT].stops


def test_features_that_are_links_to_files_count(place):
    path = msrvtt_features()[3]
    path.rename("elsewhere.npy")
    path.symlink_to(Path("elsewhere.npy").resolve())
    assert check_data.status(looked("test_vtt_videoclip", deep=True)) == 0


def test_a_folder_that_may_not_be_read(place, monkeypatch):
    def scandir(folder):
        if folder == MSRVTT:
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    listed = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    found = looked("test_vtt_videoclip")
    assert told(found, MSRVTT, "broken") == "permission denied: this user may not open it"


def archive_cut_short(path):
    path.write_bytes(b"PK\x03\x04 no archive")


def odd_header(path):
    """Of an old numpy's file, which is read as Python source."""
    header = b"{'descr': '<f2', 'fortran_order': False, 'shape': (4L, 512L),\n".ljust(118)
    path.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + header + bytes(4096))


@pytest.mark.parametrize(
    ("spoil", "reason"), [(archive_cut_short, "BadZipFile"), (odd_header, "TokenError")]
)
def test_files_that_numpy_stumbles_over(place, spoil, reason, capsys):
    path = msrvtt_features()[3]
    spoil(path)
    arguments = [job("test_vtt_videoclip"), "--deep"]
    assert run_command(check_data.main, arguments) == 1
    assert f"\n      1 of 12 files: {path}: {reason}: " in capsys.readouterr().out
    found = looked("test_vtt_videoclip", deep=True)
    assert told(found, MSRVTT, "broken").startswith(f"1 of 12 files: {path}: {reason}: ")


@pytest.mark.parametrize(
    "error",
    [
        zipfile.BadZipFile("File is\nno zip file"),
        tokenize.TokenError("EOF in multi-line statement", (2, 0)),
        MemoryError(),
        IndexError("list index out of range"),
        pickle.UnpicklingError("invalid load key"),
        RecursionError("maximum recursion depth exceeded"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("kind", opening.OPENERS)
def test_whatever_a_reader_raises_is_one_line(monkeypatch, kind, error):
    def stumbles(asked):
        raise error

    monkeypatch.setitem(opening.OPENERS, kind, stumbles)
    ((_, opened),) = opening.open_all([opening.Opening(kind, "folder/x", "y")])
    path = "folder/x/y.npy" if kind == "features" else "folder/x"
    said = f"{path}: {type(error).__name__}"
    assert opened.problem.startswith(said) and "\n" not in opened.problem
    assert opened.problem == said or opened.problem.startswith(f"{said}: ")


def test_a_shard_that_numpy_stumbles_over(place):
    odd_header(Path(f"{SHARDS}/train_1_data.npy"))
    found = looked("videoclip", deep=True)
    line = told(found, f"{SHARDS}/train_*", "broken")
    assert line.startswith(f"shard {SHARDS}/train_1: TokenError") and "\n" not in line


def test_lengths_that_numpy_stumbles_over(place):
    folder = "data/demo/how2-align"
    path = features(folder)[0]
    odd_header(path)
    found = looked("test_htm_align_videoclip")
    assert told(found, folder, "broken").startswith(f"{path.name}: TokenError: ")
    assert [thing.what for thing in found.things.values() if thing.state != "ok"] == [folder]


@pytest.mark.slow
def test_several_processes_find_the_same(place):
    truncated(msrvtt_features()[3])
    archive_cut_short(msrvtt_features()[4])
    odd_header(msrvtt_features()[5])
    lines = []
    for processes in (1, 2):
        found = survey([job("test_vtt_videoclip")], True, processes)
        lines.append(told(found, MSRVTT, "broken"))
    assert lines[0] == lines[1] and lines[0].startswith("3 of 12 files: ")


@pytest.mark.parametrize(
    ("test", "path", "text", "line"),
    [
        ("vtt", "msrvtt/MSRVTT_JSFUSION_test.csv", "key,video_id\n1,a\n", "no column 'sentence'"),
        ("vttqa", "msrvtt/MSR_MC_test.csv", "vid_key\ta1\n", "no column 'answer'"),
        ("coin", "coin/COIN.json", "{", "not a JSON file"),
        ("didemo", "didemo/test_data.json", "[]", "expected [{"),
        ("htm_align", "how2-align/htm_align.json", '{"v": [[2, 0, 1, "a"]]}', "aligned is 2"),
        ("youcook", "youcook/youcookii_annotations_trainval.json", "[]", 'expected {"database"'),
        ("youcook", "youcook/youcook_val.pkl", "no pickle", "truncated or not a pickle"),
        ("crosstask", "crosstask/crosstask_release/videos.csv", "1,2\n", "expected TASK,VIDEO_ID"),
        ("crosstask", "crosstask/crosstask_release/tasks_primary.txt", "1\n", "expected 5 lines"),
    ],
)
def test_a_broken_annotation_gives_its_line(place, test, path, text, line):
    path = f"data/demo/{path}"
    Path(path).write_text(text)
    name = f"test_{test}_videoclip"
    found = looked(name, "test_vtt_norton" if test != "vtt" else "test_coin_norton")
    assert line in told(found, path, "broken")
    assert [thing.what for thing in found.things.values() if thing.state != "ok"] == [path]
    assert found.things[path].section and found.things[path].jobs == [job(name)]


def test_a_broken_annotation_beside_a_missing_path_that_begins_its_name(place):
    Path("pc").mkdir()
    Path("pc/vtt.csv").write_text("key,video_id\n1,a\n")
    Path("test_pc.yaml").write_text(
        f"includes: {job('test_vtt_videoclip')}\n"
        "dataset:\n  vfeat_dir: pc/vtt\n  test_path: pc/vtt.csv\n"
    )
    found = survey(["test_pc.yaml"])
    assert "not there" in told(found, "pc/vtt", "missing")
    assert told(found, "pc/vtt", "broken") == ""
    assert "no column 'sentence'" in told(found, "pc/vtt.csv", "broken")


def test_what_only_the_processors_find(place):
    """Labels that training and test do not share, steps that a task does not have."""
    path = Path("data/demo/coin/COIN.json")
    content = json.loads(path.read_text())
    for video in content["database"].values():
        for segment in video["annotation"]:
            segment["id"] = str(int(segment["id"]) + 1)
    path.write_text(json.dumps(content))
    assert "must run from 1 without gaps" in told(
        looked("test_coin_videoclip"), str(path), "broken"
    )


def test_annotations_of_crosstask_that_are_missing(place):
    folder = "data/demo/crosstask/crosstask_release/annotations"
    name = sorted(Path(folder).iterdir())[0]
    name.unlink()
    found = looked("test_crosstask_videoclip")
    assert told(found, folder, "missing") == f"1 annotations are not there: {name.name}"


def test_sentences_behind_the_end_of_a_video(place):
    folder = "data/demo/how2-align"
    path = features(folder)[0]
    np.save(path, np.load(path)[:2])
    line = told(looked("test_htm_align_videoclip"), folder, "broken")
    assert line.startswith(f"1 videos end before their last sentence begins: {path.stem} (2 s")


def test_a_missing_shard(place):
    Path(f"{CAPTIONS}train_1.startends_starts.npy").unlink()
    found = looked("videoclip")
    what = f"{CAPTIONS}train_*.startends"
    assert "1 files of shards are missing" in told(found, what, "missing")
    assert told(found, what, "ok") == "shards: 2 of 3"
    assert found.things[f"{CAPTIONS}train_*.caps_ids"].state == "ok"


def test_shards_that_do_not_fit(place):
    starts = Path(f"{SHARDS}/train_0_starts.npy")
    numbers = np.load(starts)
    numbers[1] = numbers[-1]
    np.save(starts, numbers)
    truncated(Path(f"{SHARDS}/train_2_data.npy"))
    meta = load_pickle(f"{SHARDS}/val_meta.pkl")
    save_pickle(f"{SHARDS}/val_meta.pkl", {0: [*meta[0], "one more"]})
    found = looked("videoclip")
    lines = told(found, f"{SHARDS}/train_*", "broken")
    assert "starts must never decrease" in lines and "train_2_data.npy is truncated" in lines
    assert "meta.pkl lists" in told(found, f"{SHARDS}/val_*", "broken")


def test_bytes_of_a_shard_that_changed(place):
    path = Path(f"{SHARDS}/train_0_data.npy")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert check_data.status(looked("videoclip")) == 0
    found = looked("videoclip", deep=True)
    lines = told(found, f"{SHARDS}/train_*", "broken")
    assert "1 of 3 files: " in lines and "has changed since it was written" in lines


def test_shards_without_hashes_and_with_bad_content(place):
    for prefix in (f"{SHARDS}/train_0", f"{CAPTIONS}train_0.caps_ids"):
        Path(f"{prefix}.json").unlink()
    data = np.load(f"{SHARDS}/train_0_data.npy")
    data[-1, 7] = np.inf
    np.save(f"{SHARDS}/train_0_data.npy", data)
    ids = np.load(f"{CAPTIONS}train_0.caps_ids_data.npy")
    ids[0, 0] = 10**6
    np.save(f"{CAPTIONS}train_0.caps_ids_data.npy", ids)
    found = looked("videoclip", deep=True)
    lines = told(found, f"{SHARDS}/train_*", "broken")
    assert "1 of 16 videos with NaN or inf in their features, positions 15" in lines
    line = told(found, f"{CAPTIONS}train_*.caps_ids", "broken")
    assert "the tokenizer of " in line and line.endswith("does not know, positions 0")


def test_a_sidecar_that_is_not_there_is_said(place):
    Path(f"{SHARDS}/val_0.json").unlink()
    found = looked("videoclip", deep=True)
    assert "no sidecar (.json)" in told(found, f"{SHARDS}/val_*", "ok")
    assert check_data.status(found) == 0


def test_checkpoints(place):
    truncated(Path(BEST))
    shutil.rmtree("runs/retri/demo/norton")
    found = looked("test_vtt_videoclip", "test_vtt_norton", "norton")
    assert "bytes: truncated, or no checkpoint" in told(found, BEST, "broken")
    other = "runs/retri/demo/norton/checkpoint_best.pt"
    assert found.things[other].section == "Checkpoints"
    assert told(found, other, "ok") == f"a run of {job('norton')} writes it"
    torch.save({"model": {"mmmodel.a": torch.full((2,), torch.nan)}}, BEST)
    assert looked("test_vtt_videoclip").things[BEST].state == "ok"
    assert "1 of 1 tensors hold NaN" in told(
        looked("test_vtt_videoclip", deep=True), BEST, "broken"
    )


def test_a_broken_bert_stops_neither_the_counting_nor_the_reading(place):
    Path("data/demo/tinybert/config.json").write_text("{")
    msrvtt_features()[0].unlink()
    found = looked("test_vtt_videoclip")
    assert "no JSON file" in told(found, "data/demo/tinybert", "broken")
    assert found.things["data/demo/tinybert"].section == "BERT"
    assert found.things[MSRVTT].state == "missing"


def test_a_job_file_that_cannot_be_read_stops_no_other(place, capsys):
    Path("test_odd.yaml").write_text("datset: {}\n")
    arguments = ["test_odd.yaml,test_none.yaml", job("test_vtt_videoclip")]
    assert check_data.main(arguments) == 1
    out = capsys.readouterr().out
    assert "  test_odd.yaml\n      unknown key datset (did you mean dataset?)\n" in out
    assert "  test_none.yaml\n      no job file" in out
    assert "1 of 3 jobs have all they need; of 6 things 0 are missing, 2 broken" in out


def test_a_job_file_under_several_spellings_is_one_job(place, capsys):
    Path("test_a.yaml").write_text(f"includes: {job('test_vtt_videoclip')}\n")
    Path("odd.yaml").write_text("datset: {}\n")
    for file in ("test_a.yaml", "odd.yaml"):
        spellings = [f"./{file}", file, str(place / file), f"data/../{file}"]
        assert check_data.job_files(spellings) == [f"./{file}"]
        found = survey(spellings)
        assert found.jobs == [f"./{file}"]
        assert sum(file in thing.what for thing in found.things.values()) == (file == "odd.yaml")
    check_data.main(["./test_a.yaml", "test_a.yaml", "."])
    assert " of 2 jobs have" in capsys.readouterr().out


def test_training_videos_without_a_caption(place):
    Path("vtt_ft.yaml").write_text(
        f"includes: {REPOSITORY_ROOT}/projects/retri/norton/vtt_ft.yaml\n"
        "dataset:\n  bert_name: data/demo/tinybert\n  vfeat_dir: " + MSRVTT + "\n"
        "  train_path: data/demo/msrvtt/MSRVTT_train.9k.csv\n"
        f"  val_path: {TABLE}\n  jsfusion_path: {TABLE}\n"
        "  json_path: data/demo/msrvtt/MSRVTT_data.json\n"
        f"fairseq:\n  checkpoint:\n    restore_file: {BEST}\n"
    )
    assert check_data.status(survey(["vtt_ft.yaml"])) == 0
    path = Path("data/demo/msrvtt/MSRVTT_data.json")
    content = json.loads(path.read_text())
    content["sentences"] = [s for s in content["sentences"] if s["video_id"] != "video2"]
    path.write_text(json.dumps(content))
    found = survey(["vtt_ft.yaml"])
    assert told(found, str(path), "broken") == "no caption for 1 videos: video2"
    assert "4 of 4 videos of MSRVTT_train.9k.csv (train)" in told(found, MSRVTT, "ok")


def test_every_meta_processor_is_counted_or_sharded():
    assert NEEDED.keys() | set(data_reading.SHARDED) == META_PROCESSORS.keys()


def test_a_list_of_videos_with_a_file_each(tmp_path):
    (tmp_path / "list").write_text("b\na\nb\n")
    config = OmegaConf.create({"train_path": str(tmp_path / "list"), "vfeat_dir": "nowhere"})
    needed = NEEDED["How2MetaProcessor"](config)
    assert list(needed.names) == ["b", "a"] and not needed.fixed


def test_a_process_that_was_killed(place, monkeypatch):
    class Pool:
        def __init__(self, *_, **__):
            raise BrokenProcessPool

    monkeypatch.setattr(opening, "ProcessPoolExecutor", Pool)
    with pytest.raises(LaunchError, match="--jobs 2: a process that opened files was killed"):
        survey([job("test_vtt_videoclip")], True, 2)


def test_json(place, capsys):
    coin_features()[0].unlink()
    out = Path("out/data.json")
    assert check_data.main([job("test_coin_videoclip"), "--json", str(out)]) == 1
    content = json.loads(out.read_text())
    assert content["jobs"][job("test_coin_videoclip")]["missing"] == [COIN]
    assert content["all_there"] is False and content["deep"] is False
    (thing,) = [thing for thing in content["things"] if thing["what"] == COIN]
    assert thing["keys"] == ["dataset.vfeat_dir"] and thing["section"] == "COIN"
    assert [finding["stops"] for finding in thing["findings"]] == [False, False]


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["--jobs", "0", "--deep"], 2, "got '0'; a number of processes from 1 is needed"),
        (["--jobs", "few"], 2, "got 'few'; a number of processes"),
        (["--jobs", "2"], 2, "--jobs is for --deep"),
        (["--json", ""], 2, "an empty name"),
        ([","], 1, "error: no job file is named"),
        (["data"], 1, "error: data: no job file (*.yaml) in this folder"),
    ],
)
def test_wrong_use(place, capsys, arguments, status, line):
    assert run_command(check_data.main, arguments) == status
    assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("odd.yaml/data.json", "File exists"),
        ("odd.yaml/a/data.json", "Not a directory"),
        ("data", "a folder"),
        ("/dev/null", "a device"),
    ],
)
def test_a_json_file_that_cannot_be_written_is_told_before_the_work(
    place, capsys, monkeypatch, file, reason
):
    Path("odd.yaml").touch()
    monkeypatch.setattr(check_data, "survey", lambda *_: pytest.fail("looked"))
    assert run_command(check_data.main, [job("test_vtt_videoclip"), "--json", file]) == 1
    assert capsys.readouterr().err == f"error: --json {file}: cannot be written ({reason})\n"


def test_the_folder_of_the_json_file_is_made_only_where_it_is_written(place, monkeypatch):
    def stops(*_):
        assert not Path("out").exists()
        raise LaunchError("killed")

    monkeypatch.setattr(check_data, "survey", stops)
    assert run_command(check_data.main, ["--json", "out/a/data.json"]) == 1
    assert not Path("out").exists()
