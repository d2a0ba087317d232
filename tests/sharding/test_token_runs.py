"""Runs of the tokenisation: what earlier and killed ones left, and runs beside each other."""

import os
import subprocess
import sys
import time

import pytest

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import DataError, LaunchError
from mmpt.io.pickles import load_pickle, save_pickle
from mmpt.sharding.spool import Spool
from mmpt.utils.shardids import ids_hash, noted_hash
from mmpt.utils.split import Split

PREFIX = "sentencified_htm_1200k.tinybert."


def test_shards_say_which_videos_they_are_of(tokens, corpus):
    tokens()
    meta = load_pickle(corpus.target / "train_meta.pkl")
    for kind in ("startends", "caps_ids"):
        prefix = corpus.target / f"{PREFIX}train_1.{kind}"
        assert noted_hash(prefix) == ids_hash(meta[1]) != ids_hash(meta[1][::-1])


def test_shards_that_the_meta_file_no_longer_names_are_removed(tokens, corpus):
    tokens()
    meta = load_pickle(corpus.target / "train_meta.pkl")
    save_pickle(corpus.target / "train_meta.pkl", {0: meta[0]})
    tokens(Split(1, 2))
    assert (corpus.target / f"{PREFIX}train_1.caps_ids_data.npy").exists()
    tokens()
    assert not list(corpus.target.glob(f"{PREFIX}train_1*"))
    assert len(list(corpus.target.glob("*.npy"))) == 12


def test_what_killed_runs_left_is_removed(tokens, corpus):
    own = [corpus.target / f".{PREFIX}train_1.caps_ids_data.npy.12-ab.tmp",
           corpus.target / f".sharding/.{PREFIX}val_0.json.12-ab.tmp",
           corpus.how2 / f".{PREFIX}pkl.12-ab.tmp"]  # fmt: skip
    others = [corpus.target / ".other.train_1.caps_ids_data.npy.12-ab.tmp"]
    (corpus.target / ".sharding").mkdir()
    for path in own + others:
        path.touch()
    tokens(Split(1, 4))
    assert [path.exists() for path in own + others] == [True] * 4
    tokens()
    assert [path.exists() for path in own + others] == [False] * 3 + [True]


def test_a_bert_that_is_missing_is_named_as_in_the_file(tokens, tmp_path):
    with pytest.raises(DataError, match=r"^bert_name: "):
        tokens(bert_name=str(tmp_path))


WORKER = """
import multiprocessing, sys, time
from mmpt.sharding.tokens import prepare_worker
def work(bert):
    prepare_worker(bert, True)
    print("ready", flush=True)
    time.sleep(60)
if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work, args=sys.argv[1:]).start()
    time.sleep(60)
"""


@pytest.mark.slow
def test_processes_end_with_their_parent(tmp_path, tinybert):
    (tmp_path / "parent.py").write_text(WORKER)
    command = [sys.executable, str(tmp_path / "parent.py"), str(tinybert)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, text=True, env=environment) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        killed = time.monotonic()
        # the pipe ends when the last one who may write into it is gone
        assert parent.stdout.read() == ""
    assert time.monotonic() - killed < 30


def test_two_runs_for_the_same_shards_do_not_meet(tmp_path):
    code = "import sys; from pathlib import Path; from mmpt.sharding.spool import Spool\n"
    code += "spool = Spool(Path(sys.argv[1]), [1]); print('has it', flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path / "spool")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "has it\n"
        with pytest.raises(LaunchError, match="spool is in use: another process makes the same"):
            Spool(tmp_path / "spool", [1])
        other.communicate("\n")
    # what it left does not disturb
    (tmp_path / "spool/0.rows").write_bytes(b"old")
    with Spool(tmp_path / "spool", [1]) as spool:
        assert [len(times) for times, _ in spool.read(0)] == [0]
    assert not (tmp_path / "spool").exists()
