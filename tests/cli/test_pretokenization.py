"""`mmpt tokenise`: the command line, job arrays, and memory."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.io.pickles import save_pickle
from mmpt.utils.shardedtensor import ShardedTensor
from mmpt_cli import pretokenization
from mmpt_cli.entry import run_command
from tests.sharding.corpus import SHARDS, corpus, feature_files  # noqa: F401 fixtures

MIB = 1 << 20


@pytest.fixture
def config(corpus, tinybert, golden_dir, monkeypatch, tmp_path):  # noqa: F811
    """The settings of a run over the golden captions; the working folder is a new one."""
    corpus.target.mkdir()
    for split in ("train", "val"):
        name = f"{split}_meta.pkl"
        (corpus.target / name).write_bytes((golden_dir / SHARDS / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return corpus.config(tinybert)


def run(*arguments):
    return run_command(pretokenization.main, list(map(str, arguments)))


def test_a_run_tells_what_it_wrote_and_what_to_set(config, corpus, capsys, caplog):  # noqa: F811
    assert run(config, "--split", "2/3") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("1 token shards written: ")
    assert out[1] == f"dataset.tfeat_dir: {corpus.target}/sentencified_htm_1200k.tinybert."
    assert "sentencified_htm_1200k.tinybert.pkl is not written by a part" in caplog.text
    assert run(config) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "3 token shards written, 1 were there: 497 captions"
    )


def test_damaged_entries_give_their_own_status(config, corpus, caplog):  # noqa: F811
    caplog.set_level(logging.INFO, logger="mmpt_cli")
    content = json.loads(corpus.captions.read_text())
    content["valVid_001-x"]["start"].pop()
    del content["valVid_002-x"]
    corpus.captions.write_text(json.dumps(content))
    assert run(config) == 3
    assert "1 videos of the shards have no entry in" in caplog.text
    assert "1 entries cannot be used" in caplog.text
    assert run(config) == 3


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.yaml"], 1, "error: no file none.yaml; scripts/text_token_extractor/configs/"),
        ([""], 2, "an empty name"),
        (["CONFIG", "--split", "0/3"], 2, "'0/3'; I/N with I from 1 to N is needed, as 2/8"),
        (["CONFIG", "--split", "x"], 2, "'x'; I/N"),
        (["CONFIG", "--split", "1/2", "--slurm", "p.yaml"], 2, "not allowed with argument"),
        (["CONFIG", "--processes", "0"], 2, "'0' is no whole number"),
        (["CONFIG", "--slurm", "p.yaml"], 1, "no file p.yaml; scripts/slurm/"),
    ],
)
def test_wrong_use(arguments, status, message, config, capsys):
    assert run(*(config if a == "CONFIG" else a for a in arguments)) == status
    assert message in capsys.readouterr().err


def test_a_target_that_cannot_be_written(config, corpus, tinybert, capsys):  # noqa: F811
    other = corpus.config(tinybert, target_dir="/proc/x", vfeat_dir=str(corpus.target))
    assert run(other) == 1
    assert "error: target_dir /proc/x: cannot be written" in capsys.readouterr().err


def test_a_job_array_has_a_split_a_task(config, monkeypatch):
    slurm = pytest.importorskip("mmpt_cli.slurm")
    Path("profile.yaml").write_text("executor: local\narray: 3\nminutes: 5\n")
    asked = []
    monkeypatch.setattr(slurm, "submit_array", lambda *given: asked.append(given) or 0)
    assert run(config, "--slurm", "profile.yaml", "--processes", "2") == 0
    ((profile, commands, name, logs, _),) = asked
    assert (profile, name) == (Path("profile.yaml"), "tokenise")
    assert commands == [
        ["tokenise", str(config), "--processes", "2", "--split", f"{part}/3"] for part in (1, 2, 3)
    ]
    assert logs == Path("runs/slurm/tokenise")


# ---- memory -----------------------------------------------------------------------------------

MEASURED = """
import sys
from pathlib import Path
from mmpt_cli.pretokenization import main

def peak():
    status = Path("/proc/self/status").read_text()
    return next(int(l.split()[1]) for l in status.splitlines() if l.startswith("VmHWM"))

import mmpt.utils.bert
mmpt.utils.bert.load_tokenizer(sys.argv[2])
before = peak()
assert main([sys.argv[1]]) == 0
print("grown by", peak() - before)
"""


@pytest.mark.slow
def test_a_large_caption_file_needs_little_memory(tmp_path, tinybert):
    captions = tmp_path / "captions.json"
    # captions are cut: long ones make a large file without hours of tokenising
    texts = ["take the onion and the pan " * 200] * 20
    times = {"start": list(range(20)), "end": list(range(1, 21))}
    entry = json.dumps({**times, "text": texts})
    count = 300 * MIB // len(entry)
    ids = [f"v{number}" for number in range(count)]
    with captions.open("w") as file:
        file.write("{")
        file.write(", ".join(f'"{video_id}": {entry}' for video_id in ids))
        file.write("}")
    assert captions.stat().st_size > 290 * MIB
    target = tmp_path / "shards"
    target.mkdir()
    save_pickle(target / "train_meta.pkl", {0: ids[1::2], 1: ids[::2]})
    config = tmp_path / "tokens.yaml"
    config.write_text(
        f"bert_name: {tinybert}\ncaption_pkl_path: {captions}\ntarget_dir: {target}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, config, tinybert],
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    grown = int(re.search(r"grown by (\d+)", done.stdout)[1]) * 1024
    print(f"{captions.stat().st_size / MIB:.0f} MiB read, grown by {grown / MIB:.0f} MiB")
    assert grown < captions.stat().st_size / 3
    shard = ShardedTensor.load(target / "captions.tinybert.train_1.caps_ids", mmap_mode="r")
    assert len(shard) == (count + 1) // 2
    np.testing.assert_array_equal(shard[0], shard[-1])
