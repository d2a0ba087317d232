"""Real fairseq trainings of a few updates on the CPU: repeatable, resumable, clear when refused."""

import gc
import logging
import multiprocessing
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from mmpt.errors import CheckpointError
from mmpt.io.checkpoints import read_checkpoint
from mmpt_cli import train
from mmpt_cli.entry import run_command


def weights(folder, name="checkpoint_last.pt"):
    return read_checkpoint(folder / name)["model"]


def assert_equal(one, other):
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert different == []


def test_repeats_resumes_and_does_not_depend_on_workers(workspace, caplog):
    caplog.set_level(logging.INFO)
    job = workspace.job()
    assert train.main(workspace.arguments(job, "runs/whole")) == 0
    printed = caplog.text
    for part in ("loss_v2t", "loss_t2v", "loss_seq", "temperature=14.2857", "p=", "bucket_mass="):
        assert part in printed
    assert "8 random groups" in printed
    train.main(workspace.arguments(job, "runs/alone", num_workers=0))
    train.main(workspace.arguments(job, "runs/parts", max_update=5))  # stops inside epoch 1
    train.main(workspace.arguments(job, "runs/parts"))
    assert "runs/parts/checkpoint_last.pt (epoch 1 @ 5 updates)" in caplog.text
    assert multiprocessing.active_children() == [], "loader workers outlive their epoch"
    whole = weights(workspace.folder / "runs/whole")
    assert_equal(whole, weights(workspace.folder / "runs/alone"))
    assert_equal(whole, weights(workspace.folder / "runs/parts"))

    saved = read_checkpoint(workspace.folder / "runs/whole/checkpoint_last.pt")
    assert len(saved["model"]) == 116 and all(n.startswith("mmmodel.") for n in saved["model"])
    assert saved["criterion"] is None
    first = weights(workspace.folder / "runs/parts", "checkpoint1.pt")
    trained = {name for name in whole if not torch.equal(whole[name], first[name])}
    assert trained and all(name.split(".")[-2] == "LayerNorm" for name in trained)
    assert (workspace.folder / "runs/whole/config.yaml").is_file()


def test_learned_temperature_starts_from_a_checkpoint_without_one(workspace, caplog):
    job = workspace.job()
    train.main(workspace.arguments(job, "runs/first", num_workers=0, max_update=1))
    job = workspace.job("tau.yaml", loss={"sequence_contrast": {"learn_temperature": True}})
    restored = workspace.arguments(
        job,
        "runs/second",
        num_workers=0,
        max_update=1,
        restore_file="runs/first/checkpoint_last.pt",
    )
    resets = ["--reset-optimizer", "--reset-dataloader", "--reset-meters"]
    assert train.main([*restored, *resets]) == 0
    assert "holds no state of the loss" in caplog.text


def test_started_by_the_launcher(workspace):
    job = workspace.job(
        fairseq={
            "optimization": {"max_update": 2},
            "dataset": {"num_workers": 2},
            "checkpoint": {"save_dir": "runs/launched"},
            "common": {"fp16": True, "tensorboard_logdir": "run"},
        }
    )
    launcher = str(workspace.repository / "locallaunch.py")
    command = [sys.executable, launcher, job, "--jobtype", "local_single"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU: nothing to fall back from")
    assert done.returncode == 0, said
    assert "CPU" in said and "fp16" in said
    assert (workspace.folder / "runs/launched/checkpoint_last.pt").is_file()
    assert list((workspace.folder / "runs/launched/run_0").rglob("events.*"))


def test_missing_restore_file(workspace):
    job = workspace.job()
    arguments = workspace.arguments(job, restore_file="runs/other/checkpoint_best.pt")
    with pytest.raises(CheckpointError, match=r"checkpoint_best.pt is no file.*restore_opt"):
        train.main(arguments)
    assert not (workspace.folder / "runs/tiny/checkpoint_last.pt").exists()
    job = workspace.job("optional.yaml", restore_optional=True)
    arguments = workspace.arguments(
        job, restore_file="runs/other/checkpoint_best.pt", max_update=1, num_workers=0
    )
    assert train.main(arguments) == 0


@pytest.mark.parametrize("damage", ["truncated", "another model"])
def test_checkpoint_that_cannot_be_restored(workspace, golden_dir, damage, capsys):
    whole = golden_dir / "models_data/fairseq_ckpt/checkpoint_last.pt"
    if damage == "truncated":
        (workspace.folder / "restore.pt").write_bytes(whole.read_bytes()[:200_000])
    else:
        content = read_checkpoint(whole)
        name = "mmmodel.video_encoder.videomlp.linear1.weight"
        content["model"][name] = torch.zeros(16, 512)
        torch.save(content, workspace.folder / "restore.pt")
    arguments = workspace.arguments(workspace.job(), restore_file="restore.pt", num_workers=0)
    assert run_command(train.main, arguments) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("error: checkpoint ")
    wanted = "cannot be read" if damage == "truncated" else "is of another model"
    assert f"checkpoint restore.pt {wanted}" in said[-1]


def test_error_of_a_loader_worker_is_one_line(workspace, capsys, monkeypatch):
    # an error leaves the loader to the garbage collector, which waits so long for each worker
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)
    shard = workspace.folder / "data/feat/feat_how2_s3d_shard_small/train_1_data.npy"
    shard.write_bytes(shard.read_bytes()[:-1000])
    assert run_command(train.main, workspace.arguments(workspace.job())) == 1
    gc.collect()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "train_1" in last


def test_own_checkpoint_wins_over_the_restore_file(tmp_path):
    resets = dict.fromkeys(train.RESETS, True)
    args = Namespace(save_dir=str(tmp_path), restore_file="other.pt", **resets)
    train.continue_own_run(args)
    assert args.restore_file == "other.pt" and args.reset_optimizer
    state = {"optimizer_history": [{"num_updates": 1}], "extra_state": {"train_iterator": {}}}
    torch.save(state, tmp_path / "checkpoint_last.pt")
    train.continue_own_run(args)
    assert args.restore_file == "checkpoint_last.pt"
    assert not any(getattr(args, name) for name in train.RESETS)


def test_torchrun_environment(monkeypatch):
    assert train.with_torchrun(["a.yaml"]) == ["a.yaml"]
    environment = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "x"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    added = train.with_torchrun(["a.yaml", "--cpu"])
    pairs = dict(zip(added[2:-1:2], added[3:-1:2], strict=True))
    assert pairs == {
        "--distributed-world-size": "2",
        "--distributed-rank": "1",
        "--device-id": "1",
        "--distributed-init-method": "env://",
        "--distributed-backend": "gloo",
    }
    assert added[-1] == "--distributed-no-spawn"
    with pytest.raises(train.LaunchError, match="torchrun started 2"):
        train.with_torchrun(["a.yaml", "--distributed-world-size", "4"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_half_precision_is_dropped_on_the_cpu(capsys):
    assert train.without_gpu(["a.yaml", "--fp16"]) == ["a.yaml", "--cpu"]
    assert "training on the CPU without --fp16" in capsys.readouterr().err


def test_a_link_to_the_plugin_is_the_plugin(tmp_path):
    (tmp_path / "mmpt").symlink_to(Path(train.__file__).resolve().parents[1] / "mmpt")
    given = ["a.yaml", "--user-dir", str(tmp_path / "mmpt")]
    assert train.with_own_plugin(given)[2] == str((tmp_path / "mmpt").resolve())
    assert train.with_own_plugin(["a.yaml", "--user-dir", "gone"])[2] == "gone"


def test_a_finished_run_started_again_changes_nothing(workspace, caplog):
    caplog.set_level(logging.INFO)
    job = workspace.job()
    train.main(workspace.arguments(job, max_update=3))
    before = {p.name: p.read_bytes() for p in (workspace.folder / "runs/tiny").glob("*.pt")}
    resets = ["--reset-optimizer", "--reset-dataloader", "--reset-meters"]
    train.main([*workspace.arguments(job, max_update=3), *resets])
    assert "already complete: 3 updates of 3" in caplog.text
    after = {p.name: p.read_bytes() for p in (workspace.folder / "runs/tiny").glob("*.pt")}
    assert before == after


def test_weights_alone_cannot_be_restored(workspace, golden_dir):
    content = read_checkpoint(golden_dir / "models_data/fairseq_ckpt/checkpoint_last.pt")
    torch.save({"model": content["model"]}, workspace.folder / "weights.pt")
    torch.save([1], workspace.folder / "list.pt")
    for name in ("weights.pt", "list.pt"):
        arguments = workspace.arguments(workspace.job(), restore_file=name, num_workers=0)
        with pytest.raises(CheckpointError, match=rf"checkpoint {name} is none of fairseq's"):
            train.main(arguments)


def test_train_py_without_fairseqs_arguments():
    with pytest.raises(train.LaunchError, match=r"locallaunch\.py"):
        train.main(["job.yaml"])


def test_other_settings_than_the_checkpoint_was_trained_with(workspace, capsys):
    settings = {"num_workers": 0, "disable_validation": None, "max_update": 1}
    train.main(workspace.arguments(workspace.job(), **settings))
    settings["max_update"] = 2
    learn = workspace.job(loss={"sequence_contrast": {"learn_temperature": True}})
    more = workspace.job("more.yaml", model={"layernorm_only": False})
    same = workspace.job("same.yaml")
    for job, changes in ((learn, {}), (more, {}), (same, {"optimizer": "sgd", "adam_betas": None})):
        arguments = workspace.arguments(job, **settings, **changes)
        assert run_command(train.main, arguments) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("error: checkpoint runs/tiny/checkpoint_last.pt does not fit this")
    assert train.main(workspace.arguments(same, **settings)) == 0
