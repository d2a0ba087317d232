"""Two gloo processes on the CPU train as one process with twice the batches."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch

from mmpt.errors import LaunchError
from mmpt.io.checkpoints import read_checkpoint
from mmpt.io.resume import newest_whole
from mmpt.tasks.fairseqmmtask import refuse_lone_processes
from mmpt_cli import train

from .test_never_lost import wait_for

WORLD = 2


@pytest.fixture
def without_dropout(workspace):
    """Each process drops out by itself: equality needs none of it."""
    path = workspace.folder / "tinybert/config.json"
    config = json.loads(path.read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    path.write_text(json.dumps(config))
    return workspace


def start_ranks(forkserver, arguments) -> list[int]:
    """As torchrun starts them: its environment, one process a rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(WORLD), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        forkserver.start(
            arguments,
            f"log{rank}",
            {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "TORCHELASTIC_RUN_ID": "test"},
        )
        for rank in range(WORLD)
    ]


def assert_close(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("backend", ["no_c10d", "c10d"])
def test_stopped_resumed_and_equal_to_one_process(without_dropout, forkserver, backend):
    """All weights train, the poolers excepted, which no loss reaches."""
    workspace = without_dropout
    job = workspace.job(
        loss={"sequence_contrast": {"learn_temperature": True}}, model={"layernorm_only": False}
    )
    settings = {"num_workers": 1, "max_epoch": 99, "ddp_backend": backend}
    endless = workspace.arguments(job, "runs/two", max_update=None, **settings)
    ranks = start_ranks(forkserver, endless)
    wait_for(ranks[0], workspace.folder / "log0", "num_updates=2")
    os.kill(ranks[1], signal.SIGTERM)  # one of them is told, both leave after the same update
    assert [forkserver.wait(rank) for rank in ranks] == [143, 143]
    stopped_at = newest_whole("runs/two").updates
    assert (
        f"stopped by SIGTERM after {stopped_at} updates" in (workspace.folder / "log0").read_text()
    )

    settings["max_update"] = stopped_at + 2
    ranks = start_ranks(forkserver, workspace.arguments(job, "runs/two", **settings))
    assert [forkserver.wait(rank) for rank in ranks] == [0, 0]
    one, two = (torch.load(f"rank{rank}.pt", weights_only=True) for rank in range(WORLD))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)

    alone = workspace.arguments(job, "runs/one", update_freq=WORLD, **settings)
    assert forkserver.run(alone, "log") == 0
    joint, single = (read_checkpoint(f"runs/{run}/checkpoint_last.pt") for run in ("two", "one"))
    assert_close(joint["model"], single["model"])
    assert_close(joint["criterion"], single["criterion"])
    assert joint["criterion"]["mmloss.sequence_contrast.logit_scale"] != pytest.approx(2.65926)


@pytest.mark.parametrize("backend", ["no_c10d", "c10d"])
def test_contrast_over_processes_has_no_factor(without_dropout, forkserver, backend):
    """One step of plain gradient descent, which would show a factor: two processes that gather each
    other's batch, and one process on both."""
    workspace = without_dropout
    ids = (workspace.folder / "data/how2/how2_s3d_train.lst").read_text().split()
    (workspace.folder / "eight.lst").write_text("\n".join(ids[:8]) + "\n")
    job = workspace.job(
        retri_epoch=None,
        model={"layernorm_only": False},
        dataset={"num_video_per_batch": 4, "train_path": "eight.lst"},
        loss={"gather_negatives": True, "sequence_contrast": {"learn_temperature": True}},
    )
    settings = {
        "num_workers": 0, "max_epoch": 1, "max_update": 1, "optimizer": "sgd", "lr": 0.1,
        "adam_betas": None, "clip_norm": 0, "warmup_updates": 0, "ddp_backend": backend,
    }  # fmt: skip
    ranks = start_ranks(forkserver, workspace.arguments(job, "runs/two", **settings))
    assert [forkserver.wait(rank) for rank in ranks] == [0, 0]
    alone = workspace.arguments(job, "runs/one", batch_size=2, **settings)
    assert forkserver.run(alone, "log") == 0
    joint, single = (read_checkpoint(f"runs/{run}/checkpoint_last.pt") for run in ("two", "one"))
    assert_close(joint["model"], single["model"])
    assert_close(joint["criterion"], single["criterion"])
    assert joint["criterion"]["mmloss.sequence_contrast.logit_scale"] != pytest.approx(2.65926)


@pytest.mark.slow
def test_through_torchrun(without_dropout):
    workspace = without_dropout
    settings = {"num_workers": 1, "max_update": 3}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(WORLD)]
    entry = str(workspace.repository / "train.py")
    arguments = workspace.arguments(workspace.job(), "runs/two", **settings)
    command = [sys.executable, *torchrun, entry, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    train.main(workspace.arguments(workspace.job(), "runs/one", update_freq=WORLD, **settings))
    joint, single = (read_checkpoint(f"runs/{run}/checkpoint_last.pt") for run in ("two", "one"))
    assert_close(joint["model"], single["model"])


def test_wrong_launches(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(LaunchError, match="WORLD_SIZE and RANK are not set: every process would"):
        train.with_torchrun(["a.yaml"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LaunchError, match=r"2 processes were started, .* start train.py instead"):
        refuse_lone_processes()
