"""A run that is told to stop, killed, started twice or fed NaN loses nothing that it had."""

import json
import os
import random
import signal
import time
from types import SimpleNamespace

import pytest
import torch

from mmpt.errors import DataError
from mmpt.io.checkpoints import read_checkpoint
from mmpt.io.resume import newest_whole
from mmpt.losses import LOSSES
from mmpt.losses.nce import MMContraLoss
from mmpt_cli import train
from mmpt_cli.entry import run_command

from .forkserver import has_ended


def weights(folder, name="checkpoint_last.pt"):
    return read_checkpoint(folder / name)["model"]


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def wait_for(pid: int, log, text: str) -> None:
    """Until the log of a process holds a text."""
    end = time.monotonic() + 120
    while text not in (log.read_text() if log.exists() else ""):
        waiting = not has_ended(pid) and time.monotonic() < end
        assert waiting, f"{text!r} never came: {log.read_text()[-3000:]}"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_saves_and_leaves(workspace, forkserver, number):
    """Ctrl-C and batch systems signal every process, loader workers included."""
    job, log = workspace.job(), workspace.folder / "log"
    pid = forkserver.start(workspace.arguments(job, max_update=None, max_epoch=99), log)
    wait_for(pid, log, "num_updates=2")
    second = workspace.folder / "second"
    if number == signal.SIGTERM:
        assert forkserver.run(workspace.arguments(job), second) == 1
        assert f"error: run folder runs/tiny is in use by process {pid} on " in second.read_text()
    os.killpg(pid, number)
    assert forkserver.wait(pid) == 128 + number, log.read_text()[-3000:]
    said = log.read_text()
    stopped_at = newest_whole("runs/tiny").updates
    assert stopped_at >= 2
    assert f"stopped by {number.name} after {stopped_at} updates" in said
    assert "Traceback" not in said
    assert json.loads((workspace.folder / "runs/tiny/status.json").read_text())

    more = {"max_update": stopped_at + 5, "max_epoch": None}
    assert forkserver.run(workspace.arguments(job, **more), log) == 0
    assert forkserver.run(workspace.arguments(job, "runs/whole", **more), log) == 0
    runs = workspace.folder / "runs"
    assert_same_weights(weights(runs / "tiny"), weights(runs / "whole"))


def test_a_signal_before_the_first_update_leaves_at_once(workspace, forkserver):
    log = workspace.folder / "log"
    pid = forkserver.start(workspace.arguments(workspace.job()), log)
    wait_for(pid, log, "train: 8 items")
    os.kill(pid, signal.SIGTERM)
    assert forkserver.wait(pid) in (143, -signal.SIGTERM)
    assert not (workspace.folder / "runs/tiny/checkpoint_last.pt").exists()


def test_losses_are_bit_equal_after_a_resume_inside_an_epoch(workspace, monkeypatch):
    from mmpt.losses.fairseqmmloss import MMCriterion

    seen = []
    by_criterion = MMCriterion.forward

    def forward(self, *args, **kwargs):
        result = by_criterion(self, *args, **kwargs)
        seen.append(result[0].item())
        return result

    monkeypatch.setattr(MMCriterion, "forward", forward)
    job = workspace.job()
    settings, flag = {"num_workers": 0}, ["--disable-validation"]
    train.main([*workspace.arguments(job, "runs/whole", max_update=6, **settings), *flag])
    whole, seen = seen, []
    train.main([*workspace.arguments(job, "runs/parts", max_update=2, **settings), *flag])
    train.main([*workspace.arguments(job, "runs/parts", max_update=6, **settings), *flag])
    assert len(whole) == 6 and seen == whole


def test_going_on_from_the_newest_whole_checkpoint(workspace, caplog, capsys):
    """As after a kill in the middle of another program's copying."""
    job, run = workspace.job(), workspace.folder / "runs/tiny"
    settings = {"num_workers": 0, "save_interval_updates": 1}
    train.main(workspace.arguments(job, max_update=3, **settings))
    for name in ("checkpoint_last.pt", "checkpoint_1_3.pt"):
        content = (run / name).read_bytes()
        (run / name).unlink()
        (run / name).write_bytes(content[: len(content) // 2])
    (run / "checkpoint_best.pt").unlink()
    train.main(workspace.arguments(job, max_update=5, **settings))
    for name in ("checkpoint_last.pt", "checkpoint_1_3.pt"):
        (said,) = [
            m for m in caplog.messages if m.startswith(f"checkpoint runs/tiny/{name} cannot")
        ]
        assert said.endswith("; going on from runs/tiny/checkpoint_1_2.pt")
    train.main(workspace.arguments(job, "runs/whole", max_update=5, **settings))
    assert_same_weights(weights(run), weights(workspace.folder / "runs/whole"))

    for path in run.glob("checkpoint*.pt"):
        path.unlink()
    (run / "checkpoint_last.pt").write_bytes(b"half")
    assert run_command(train.main, workspace.arguments(job)) == 1
    assert (
        "no whole checkpoint to go on from (checkpoint runs/tiny/checkpoint_last.pt cannot be read"
        in capsys.readouterr().err
    )


class NanSometimes(MMContraLoss):
    """Norton's loss; in the batches whose numbers are in `bad` the video's states are NaN."""

    bad = range(0)
    batch = 0

    def evaluate(self, **inputs):
        NanSometimes.batch += 1
        if NanSometimes.batch in self.bad:
            inputs["video_outputs"] = inputs["video_outputs"] * float("nan")
            inputs["pooled_video"] = inputs["pooled_video"] * float("nan")
        return super().evaluate(**inputs)


@pytest.fixture
def nan_loss(monkeypatch):
    monkeypatch.setitem(LOSSES, "MMContraLoss", NanSometimes)
    monkeypatch.setattr(NanSometimes, "batch", 0)
    return lambda *bad: monkeypatch.setattr(NanSometimes, "bad", bad)


def nan_arguments(workspace, **changes):
    job = workspace.job(non_finite_limit=3)
    settings = {"num_workers": 0, "save_interval_updates": 1, "max_update": 7, **changes}
    return [*workspace.arguments(job, **settings), "--disable-validation"]


def test_a_nan_loss_changes_nothing(workspace, nan_loss, caplog):
    nan_loss(3, 4, 6)
    assert train.main(nan_arguments(workspace)) == 0
    assert "the loss is nan in update 2, videos trainVid_0" in caplog.text
    assert "batch skipped (2 in a row)" in caplog.text and "(3 in a row)" not in caplog.text
    run = workspace.folder / "runs/tiny"
    before, skipped, after = (weights(run, f"checkpoint_1_{n}.pt") for n in (2, 4, 5))
    assert_same_weights(before, skipped)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(bool(value.isfinite().all()) for value in weights(run).values())


def test_a_nan_batch_leaves_the_others_of_its_update(workspace, nan_loss):
    nan_loss(2)
    train.main(nan_arguments(workspace, max_update=1, update_freq=2))
    run = workspace.folder / "runs"
    first = read_checkpoint(run / "tiny/checkpoint_last.pt")
    nan_loss(0)
    train.main(nan_arguments(workspace, save_dir="runs/alone", max_update=1))
    assert_same_weights(first["model"], weights(run / "alone"))


def test_nan_losses_in_a_row_end_the_run(workspace, nan_loss):
    nan_loss(*range(3, 9))
    with pytest.raises(
        DataError, match=r"the loss is nan in update 4, videos trainVid_0.*, trainVid_0.*_limit"
    ):
        train.main(nan_arguments(workspace))
    run = workspace.folder / "runs/tiny"
    assert newest_whole(run).updates == 4 and not (run / "crash.pt").exists()
    assert all(bool(value.isfinite().all()) for value in weights(run).values())


class EndlessGradient(MMContraLoss):
    """A finite loss whose gradient is NaN."""

    def evaluate(self, **inputs):
        output = super().evaluate(**inputs)
        return output._replace(total=output.total + (inputs["pooled_video"] * 0).sum().sqrt())


def test_a_gradient_that_is_not_finite_ends_the_run(workspace, monkeypatch, capsys):
    monkeypatch.setitem(LOSSES, "MMContraLoss", EndlessGradient)
    arguments = workspace.arguments(workspace.job(), num_workers=0)
    assert run_command(train.main, [*arguments, "--disable-validation"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "error: training cannot go on: gradients are Nan/Inf; lower the learning"
    )
    assert not (workspace.folder / "runs/tiny/checkpoint_last.pt").exists()


def test_a_stop_asked_for_during_validation_is_saved_before_it_ends():
    from mmpt.tasks.fairseqmm_trainer import WatchedLoop
    from mmpt.utils.signals import StopRequest

    stop = StopRequest()
    loop = WatchedLoop(stop)
    saved = []
    loop._save = lambda config, trainer, epoch_itr: (
        saved.append(trainer.get_num_updates()),
        setattr(loop, "saved_at", trainer.get_num_updates()),
    )

    class Trainer(SimpleNamespace):
        def get_num_updates(self):
            return 9

        def valid_step(self, sample):
            if sample == 2:
                stop.signal_number = signal.SIGTERM
            return sample

    def validate(config, trainer, task, epoch_itr):
        return [trainer.valid_step(sample) for sample in range(6)]

    trainer = Trainer(data_parallel_world_size=1)
    task = SimpleNamespace(dataset_to_epoch_iter={})
    assert loop._validate(validate, None, trainer, task, None) == list(range(6))
    assert saved == [9]
    assert trainer.valid_step(1) == 1 and "valid_step" not in vars(trainer)


@pytest.mark.slow
def test_thirty_kills(workspace, forkserver):
    """kill -9 at random moments, many of them inside a save; the end is as if nothing had been."""
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    job, run, log = workspace.job(), workspace.folder / "runs/tiny", workspace.folder / "log"
    settings = {"max_epoch": None, "save_interval_updates": 1, "keep_interval_updates": 2}
    kills = saves_hit = 0
    while kills < 32:
        pid = forkserver.start(workspace.arguments(job, max_update=10_000, **settings), log)
        if rng.random() < 0.5:
            before = set(run.glob(".checkpoint*.tmp"))
            while not set(run.glob(".checkpoint*.tmp")) - before and not has_ended(pid):
                pass
            time.sleep(rng.random() * 0.01)
        else:
            time.sleep(rng.uniform(0.2, 4.0))
        assert not has_ended(pid), log.read_text()[-3000:]
        (os.kill if rng.random() < 0.5 else os.killpg)(pid, signal.SIGKILL)
        assert forkserver.wait(pid) == -signal.SIGKILL
        kills += 1
        saves_hit += bool(list(run.glob(".checkpoint*.tmp")))
    done = newest_whole(run).updates
    print(kills, "kills,", saves_hit, "inside a save, after", done, "updates")
    assert saves_hit > 0
    settings["max_update"] = done + 3
    assert forkserver.run(workspace.arguments(job, **settings), log) == 0
    assert forkserver.run(workspace.arguments(job, "runs/whole", **settings), log) == 0
    assert_same_weights(weights(run), weights(workspace.folder / "runs/whole"))
    assert not list(run.glob(".checkpoint*"))
