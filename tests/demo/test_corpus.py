"""Making a corpus: the same bytes again, never over something else, never half of it."""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmpt.config.errors import ConfigError
from mmpt.demo import CorpusSettings, make_corpus
from mmpt.demo import corpus as corpus_module
from mmpt.demo.corpus import read_truth, summary
from mmpt.errors import DataError
from mmpt_cli import demo
from mmpt_cli.entry import run_command

TINY = {
    "videos": 4,
    "seed": 5,
    "test_videos": 3,
    "finetune_videos": 1,
    "align_videos": 2,
    "youcook_videos": 2,
    "coin_videos": 1,
    "didemo_videos": 1,
    "crosstask_videos": 3,
    "steps": 8,
    "tasks": 2,
    "bert_hidden": 8,
}


def digest(folder):
    """Relative path -> sha256 of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def tiny(tmp_path):
    folder = tmp_path / "tiny"
    make_corpus(folder, **TINY)
    return folder


def test_another_process_makes_the_same_bytes(corpus, small_settings, tmp_path):
    """The trained tokenizer, too: another hash seed, another process."""
    numbers = ("videos", "seed", "test_videos", "align_videos", "youcook_videos", "coin_videos")
    numbers += ("didemo_videos", "crosstask_videos", "shard_size")
    options = [f"--{name.replace('_', '-')}={small_settings[name]}" for name in numbers]
    command = [sys.executable, "-m", "mmpt.demo", "make", "--out", str(tmp_path / "other")]
    done = subprocess.run(
        [*command, *options, "--per-video-features"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert "40 videos" in done.stdout
    make_corpus(
        tmp_path / "here",
        **{name: small_settings[name] for name in (*numbers, "per_video_features")},
    )
    assert digest(tmp_path / "other") == digest(tmp_path / "here")
    # the fixture's BERT is narrower and it has fewer fine-tuning videos: the rest does not move
    ours, theirs = digest(corpus), digest(tmp_path / "here")
    same = [name for name in ours if name.startswith(("feat/feat_how2_s3d/", "how2/how2_s3d"))]
    assert len(same) == 40 + 16 + 2
    assert all(ours[name] == theirs[name] for name in same)


def test_the_downstream_sets_leave_all_other_files_as_they_were(tiny, tmp_path, monkeypatch):
    """The tokenizer, too."""
    first = {name: corpus_module.SETS[name] for name in ("how2", "msrvtt", "htm_align")}
    monkeypatch.setattr(corpus_module, "SETS", first)
    make_corpus(tmp_path / "first", **TINY)
    before, after = digest(tmp_path / "first"), digest(tiny)
    assert "tinybert/vocab.txt" in before
    for name in before.keys() - {"truth.json"}:
        assert before[name] == after[name]
    added = after.keys() - before.keys()
    assert {name.split("/")[0] for name in added} == {
        *("msrvtt", "youcook", "coin", "didemo", "crosstask", "feat")
    }


def test_another_seed_makes_another_corpus(tiny, tmp_path):
    make_corpus(tmp_path / "other", **{**TINY, "seed": 6})
    ours, theirs = digest(tiny), digest(tmp_path / "other")
    for name in ("truth.json", "tinybert/model.safetensors", "msrvtt/MSRVTT_JSFUSION_test.csv"):
        assert ours[name] != theirs[name]
    for name in ("youcook/youcook_val.pkl", "coin/COIN.json", "didemo/test_data.json"):
        assert ours[name] != theirs[name]


def test_made_before(tiny, caplog):
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*")}
    assert not make_corpus(tiny, **TINY)
    assert "nothing to do" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*")} == before


def test_other_settings_are_refused_and_forced(tiny):
    before = digest(tiny)
    with pytest.raises(DataError, match=r"other settings \(seed 5, now 6\).*--force"):
        make_corpus(tiny, **{**TINY, "seed": 6})
    assert digest(tiny) == before
    assert make_corpus(tiny, force=True, **{**TINY, "seed": 6})
    assert digest(tiny) != before
    assert os.listdir(tiny.parent) == ["tiny"]


def test_an_older_form_is_renewed_where_that_is_asked_for(tiny):
    """Only with the same settings, as far as the older form knew them."""
    before = digest(tiny)
    mark = json.loads((tiny / "corpus.json").read_text())
    del mark["settings"]["align_videos"]
    (tiny / "corpus.json").write_text(json.dumps({**mark, "form": 1}))
    with pytest.raises(DataError, match=r"\(form 1, now 4\).*--force"):
        make_corpus(tiny, **TINY)
    with pytest.raises(DataError, match=r"\(seed 5, now 6\)"):
        make_corpus(tiny, renew=True, **{**TINY, "seed": 6})
    assert make_corpus(tiny, renew=True, **TINY)
    assert digest(tiny) == before
    assert not make_corpus(tiny, renew=True, **TINY)


def test_force_mends_a_damaged_corpus(tiny):
    before = digest(tiny)
    (tiny / "truth.json").write_text("{")
    with pytest.raises(DataError, match=r"truth\.json"):
        summary(tiny)
    assert make_corpus(tiny, force=True, **TINY)
    assert digest(tiny) == before


@pytest.mark.parametrize("force", [False, True])
def test_a_foreign_folder_is_never_touched(tmp_path, force):
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "corpus.json").write_text('{"form": 1}')
    with pytest.raises(DataError, match="no demo corpus; choose another folder"):
        make_corpus(folder, force=force, **TINY)
    assert os.listdir(tmp_path) == ["papers"]
    assert os.listdir(folder) == ["corpus.json"]


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(DataError, match="no demo corpus"):
        make_corpus(tmp_path / "taken", force=True, **TINY)
    with pytest.raises(DataError, match="cannot write"):
        make_corpus(tmp_path / "taken" / "below", **TINY)
    assert (tmp_path / "taken").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert make_corpus(tmp_path / "a" / "b", **TINY)
    assert read_truth(tmp_path / "a" / "b")["steps"]


def test_through_a_link(tmp_path):
    """`data/demo` may be a link to a larger disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    assert make_corpus(tmp_path / "link", **TINY)
    assert make_corpus(tmp_path / "link", force=True, **{**TINY, "seed": 6})
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["disk", "link"]
    assert read_truth(tmp_path / "disk") == read_truth(tmp_path / "link")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_stopped_run_leaves_what_was_there(tiny, monkeypatch, error):
    before = digest(tiny)

    def stop(*args):
        raise error

    monkeypatch.setattr(corpus_module, "write_json", stop)
    with pytest.raises((KeyboardInterrupt, DataError)):
        make_corpus(tiny, force=True, **{**TINY, "seed": 6})
    with pytest.raises((KeyboardInterrupt, DataError)):
        make_corpus(tiny.parent / "fresh", **TINY)
    assert digest(tiny) == before
    assert os.listdir(tiny.parent) == ["tiny"]


def test_what_a_killed_run_left_is_cleared(tiny, tmp_path):
    left = tmp_path / ".new.partial"
    (left / "feat").mkdir(parents=True)
    (left / "feat" / "half.npy").write_bytes(b"half")
    (left / "stray").write_bytes(b"half")
    (tmp_path / ".new.old").mkdir()
    assert make_corpus(tmp_path / "new", **TINY)
    assert digest(tmp_path / "new") == digest(tiny)
    assert sorted(os.listdir(tmp_path)) == ["new", "tiny"]


def test_two_processes_at_once(tmp_path):
    partial = tmp_path / ".new.partial"
    partial.mkdir()
    handle = os.open(partial, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(DataError, match="another process is making"):
        make_corpus(tmp_path / "new", **TINY)
    assert partial.is_dir(), "the other process' folder was removed"
    os.close(handle)
    assert make_corpus(tmp_path / "new", **TINY)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"videos": 0}, "videos is 0; allowed is an integer from 1"),
        ({"videos": 2.5}, "videos is 2.5; allowed is an integer"),
        ({"videos": True}, "videos is True; allowed is an integer"),
        ({"seed": -1}, "seed is -1"),
        ({"shift_noise": 1.5}, "shift_noise is 1.5; allowed is a number from 0.0 to 1.0"),
        ({"shift_noise": float("nan")}, "shift_noise is nan"),
        ({"irrelevant": 1.0}, "irrelevant is 1.0; allowed is a number from 0.0 to 0.9"),
        ({"silent": "much"}, "silent is 'much'"),
        ({"tasks": 9, "steps": 8, "test_videos": 1}, "9 tasks need at least as many steps"),
        ({"coin_videos": 0}, "coin_videos is 0; allowed is an integer from 1"),
        ({"crosstask_videos": 2}, "crosstask_videos is 2; allowed is an integer from 3"),
        ({"bert_hidden": 10}, "multiple of bert_heads, 4"),
    ],
)
def test_impossible_settings(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_corpus(tmp_path / "new", **settings)
    assert "\n" not in str(caught.value)
    assert not os.listdir(tmp_path)


def test_whole_numbers_stand_for_shares(tiny, tmp_path):
    assert CorpusSettings(irrelevant=0) == CorpusSettings(irrelevant=0.0)
    make_corpus(tmp_path / "a", **TINY, irrelevant=0)
    make_corpus(tmp_path / "b", **TINY, irrelevant=0.0)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_command(tmp_path, capsys):
    out = str(tmp_path / "c")
    options = ["--videos", "5", "--seed", "1", "--shift-noise", "0.5", "--irrelevant", "0"]
    options += ["--test-videos", "7", "--align-videos", "3", "--youcook-videos", "2"]
    options += ["--coin-videos", "1", "--didemo-videos", "2", "--crosstask-videos", "3"]
    assert run_command(demo.main, ["make", "--out", out, *options]) == 0
    said = capsys.readouterr().out
    assert "5 videos" in said
    assert "0% irrelevant" in said
    assert "R@1 0.143" in said
    assert "3 videos in HTM-Align's form" in said
    assert "7 questions in MSR-VTT QA's form" in said
    assert "in 2 videos in YouCook2's form" in said
    assert "60 in 1 test videos in COIN's form, and 1 videos to train on" in said
    assert "4 in 2 videos in DiDeMo's form" in said
    assert "in 36 videos in CrossTask's form" in said
    assert len(read_truth(out)["msrvtt"]["test"]) == 7


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["make", "--irrelevant", "2"], 1, "error: demo corpus: irrelevant is 2.0; allowed"),
        (["make", "--out", ""], 2, "argument --out: an empty name"),
        (["make", "--videos", "many"], 2, "invalid int value: 'many'"),
        (["mend"], 2, "invalid choice: 'mend'"),
        ([], 2, "required: COMMAND"),
    ],
)
def test_command_refuses(tmp_path, capsys, arguments, status, message):
    out = ["--out", str(tmp_path / "c")] if arguments[:1] == ["make"] else []
    assert run_command(demo.main, [*arguments[:1], *out, *arguments[1:]]) == status
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not os.listdir(tmp_path)


def test_help_says_of_what_a_share_is(capsys):
    assert run_command(demo.main, ["make", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "share of all captions that are about nothing that is seen" in said
    assert "share of the other captions said seconds too early or too late" in said


def test_out_is_required(capsys):
    assert run_command(demo.main, ["make"]) == 2
    assert "required: --out" in capsys.readouterr().err
