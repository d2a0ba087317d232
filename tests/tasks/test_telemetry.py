"""What a training tells: log line, TensorBoard, pictures, record; none of it changes a number."""

import json
import logging
import math
import os
import shlex
import struct
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq.logging import meters, metrics, progress_bar

from mmpt.errors import ConfigError
from mmpt.io import run_record
from mmpt.io.checkpoints import read_checkpoint
from mmpt.losses import MMContraLoss
from mmpt.losses.fairseqmmloss import MMCriterion, clip_count, sums
from mmpt.tasks import fairseqmm_telemetry as telemetry
from mmpt.tasks.fairseqmmtask import FairseqMMTask
from mmpt.tasks.pictures import Pictures, transport_pictures
from mmpt.utils.heatmap import heatmap
from mmpt_cli import train

from .conftest import close_writers

SCALARS = {
    "loss", "loss_v2t", "loss_t2v", "loss_seq", "temperature", "p", "bucket_mass",
    "bucket_mass_own", "plan_diagonal", "gnorm", "clips_s", "wait", "mem_gb", "ups", "lr", "bsz",
}  # fmt: skip


def logged_values(folder):
    """Scalars {(step, tag): value} and pictures {(step, tag): PNG} below a TensorBoard folder."""
    from tensorboardX.proto.event_pb2 import Event

    scalars, pictures = {}, {}
    for path in Path(folder).rglob("events.*"):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                if value.HasField("image"):
                    pictures[event.step, value.tag] = value.image.encoded_image_string
                else:
                    scalars[event.step, value.tag] = value.simple_value
    return scalars, pictures


def size(file):
    """(width, height) as a PNG's head tells them."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", file[16:24])


def test_a_run_tells_and_is_not_changed_by_it(workspace, caplog):
    """The first run with everything on, the second with everything off: equal weights."""
    caplog.set_level(logging.INFO)
    loud = {"tensorboard_logdir": "runs/loud/tb", "num_workers": 0, "log_interval": 2}
    job = workspace.job(picture_interval=2)
    assert train.main(workspace.arguments(job, "runs/loud", max_update=5, **loud)) == 0
    lines = [r.getMessage() for r in caplog.records if "num_updates=" in r.getMessage()]
    assert len(lines) == 2
    for name in SCALARS:
        assert f" {name}=" in lines[-1]

    close_writers()
    scalars, pictures = logged_values("runs/loud/tb")
    assert {tag for step, tag in scalars if step == 4} >= SCALARS
    assert all(math.isfinite(scalars[4, tag]) for tag in SCALARS)
    assert scalars[4, "clips_s"] == pytest.approx(scalars[4, "ups"] * 16, rel=0.05)
    assert 0 < scalars[4, "wait"] < 1 and 0.05 < scalars[4, "mem_gb"] < 60
    assert sorted(pictures) == [
        (step, tag) for step in (2, 4) for tag in ("diagonal", "plan", "similarity")
    ]
    assert size(pictures[4, "plan"]) == (385, 385)
    assert size(pictures[4, "diagonal"]) == (384, 96)
    assert pictures[4, "similarity"] != pictures[2, "similarity"]

    job = workspace.job("quiet.yaml")
    train.main(workspace.arguments(job, "runs/quiet", max_update=5, num_workers=0))
    one, other = (read_checkpoint(f"runs/{n}/checkpoint_last.pt") for n in ("loud", "quiet"))
    assert all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())
    losses = [run["extra_state"]["val_loss"] for run in (one, other)]
    assert losses[0] == losses[1]

    check_records(workspace, job)


def check_records(workspace, job):
    """`run.json` and `status.json` of the two runs above, and of one that goes on."""
    (start,) = run_record.read_record("runs/quiet")["starts"]
    assert (start["updates"], start["checkpoint"], start["device"]) == (0, None, "cpu")
    assert start["end"]["state"] == "finished" and start["max_update"] == 5
    assert start["command"] == shlex.join(sys.orig_argv) and start["launched_by"] is None
    status = run_record.read_status("runs/quiet")
    assert (status["updates"], status["epoch"]) == (5, 1)
    assert math.isfinite(status["loss"]) and math.isfinite(status["valid_loss"])
    train.main(workspace.arguments(job, "runs/quiet", max_update=6, num_workers=0))
    assert run_record.read_status("runs/quiet")["updates"] == 6
    record = run_record.read_record("runs/quiet")
    assert [s["updates"] for s in record["starts"]] == [0, 5]
    assert record["starts"][1]["checkpoint"].endswith("runs/quiet/checkpoint_last.pt")
    assert "dataset.train_path" in record["data"]["sources"]


@pytest.mark.parametrize(
    ("changes", "logdir", "said"),
    [
        ({}, None, "pictures are drawn in TensorBoard; set fairseq.common.tensorboard_logdir"),
        (
            {"loss": {"sequence_contrast": {"sequence_contrast_weight": None}}},
            "tb",
            "this loss has no transport to draw; set loss.sequence_contrast",
        ),
    ],
)
def test_pictures_that_cannot_be_drawn(workspace, changes, logdir, said):
    job = workspace.job(picture_interval=7, **changes)
    args = Namespace(
        taskconfig=job, save_dir="runs/t", seed=1, max_epoch=1, max_update=0,
        tensorboard_logdir=logdir,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=f"picture_interval: 7, but {said}"):
        FairseqMMTask(args)
    assert not Path("runs/t/run.json").exists()


def test_pictures_need_something_to_write_with(monkeypatch, tmp_path):
    config = {"loss": {"sequence_contrast": {"sequence_contrast_weight": 0.1}}}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="tensorboardX is not installed: pip install"):
        Pictures(MMContraLoss(config), 5, str(tmp_path))


def features(clips):
    generator = torch.Generator().manual_seed(3)
    names = ("pooled_video", "pooled_text", "video_outputs", "text_outputs")
    shapes = ((clips, 6), (clips, 6), (clips, 5, 6), (clips, 4, 6))
    sample = {
        name: torch.randn(shape, generator=generator).requires_grad_()
        for name, shape in zip(names, shapes, strict=True)
    }
    sample["video_mask_outputs"] = torch.ones(clips, 5, dtype=torch.bool)
    sample["text_mask_outputs"] = torch.ones(clips, 4, dtype=torch.bool)
    return sample


@pytest.mark.parametrize("implementation", ["reference", "chunked", "auto"])
@pytest.mark.parametrize("prompt_ratio", [0.3, None])
def test_looking_changes_no_number(implementation, prompt_ratio):
    section = {"threshold": 4, "sequence_contrast_weight": 0.1, "prompt_ratio": prompt_ratio}
    config = {"loss": {"sequence_contrast": section, "implementation": implementation}}
    seen, results = [], []
    for observer in (None, seen.append):
        loss, sample = MMContraLoss(config), features(24)
        loss.sequence_contrast.observer = observer
        output = loss.compute(**sample)
        output.total.backward()
        gradients = [t.grad for t in sample.values() if t.requires_grad]
        results.append([output.total, *output.parts.values(), *gradients])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    (result,) = seen
    drawn = transport_pictures(result)
    assert {tag: picture.shape for tag, picture in drawn.items()} == {
        "similarity": (16 * 24 + 3, 16 * 24 + 3, 3),
        "plan": (16 * 24 + 3, 16 * 24 + 3, 3),
        "diagonal": (4 * 96, 4 * 96, 3),
    }
    own = result.transport.plan[1, 1].diagonal().sqrt().numpy()
    expected = heatmap(own[None], 0, 1, None, 96)
    np.testing.assert_array_equal(drawn["diagonal"][96:192], expected)
    corner = heatmap(result.similarity.fused[:4, 12:16].detach().numpy(), 0, 1, None, 24)
    np.testing.assert_array_equal(drawn["similarity"][:96, -96:], corner)


def test_the_loss_is_looked_at_only_when_a_picture_is_due(tmp_path):
    config = {"loss": {"sequence_contrast": {"threshold": 4, "sequence_contrast_weight": 0.1}}}
    loss = MMContraLoss(config)
    pictures = Pictures(loss, 3, str(tmp_path))
    for update in range(1, 7):
        pictures.prepare(update)
        assert (loss.sequence_contrast.observer is not None) == (update % 3 == 0)
        loss.compute(**features(8))
        assert loss.sequence_contrast.observer is None
    pictures.close()
    _, drawn = logged_values(tmp_path)
    assert {step for step, _ in drawn} == {3, 6}


def rank_outputs(rank):
    return {
        "loss": torch.tensor(2.0 + rank), "nsentences": 1, "sample_size": 1, "clips": 16,
        "wait_s": 0.5 * rank, "passed_s": 2.0, "p": torch.tensor(0.25, dtype=torch.float64),
    }  # fmt: skip


def reduced(outputs):
    metrics.reset()
    with metrics.aggregate("train_inner"):
        metrics.log_scalar("num_updates", 11, weight=0)
        FairseqMMTask.reduce_metrics(None, outputs, MMCriterion.__new__(MMCriterion))
        held = {name: m.state_dict() for name, m in metrics.get_meters("train_inner").items()}
        return metrics.get_smoothed_values("train_inner"), held


def test_two_processes_are_summed_right():
    """Ranks as fairseq sums them before it asks the task: one dict of tensors."""
    each = [rank_outputs(0), rank_outputs(1)]
    joined = {name: torch.tensor(float(each[0][name] + each[1][name])) for name in each[0]}
    one, held = reduced([joined])
    other, _ = reduced(each)  # the same as two batches of one process
    for values in (one, other):
        assert (values["loss"], values["p"], values["bsz"], values["wait"]) == (2.5, 0.25, 2, 0.125)
        assert "clips" not in values and "wait_s" not in values
    assert not any(torch.is_tensor(v) for state in held.values() for v in state.values())
    assert isinstance(metrics.get_meter("train_inner", "clips_s"), meters.TimeMeter)


def test_a_validation_has_no_speed_and_a_skipped_update_no_line():
    valid = {n: v for n, v in rank_outputs(1).items() if n not in ("clips", "wait_s", "passed_s")}
    values, _ = reduced([valid])
    assert values["loss"] == 3 and not {"wait", "clips_s", "mem_gb"} & values.keys()
    values, _ = reduced([dict.fromkeys(rank_outputs(0), 0)])
    assert values.keys() == {"num_updates"}


def test_the_device_is_waited_for_once(monkeypatch):
    """`meta` tensors stand for a device: reading one alone would fail."""
    on_device = [{"loss": torch.empty((), device="meta"), "n": 2} for _ in range(3)]
    reads = []

    def stack(tensors):
        reads.append(len(tensors))
        return torch.arange(float(len(tensors)))

    monkeypatch.setattr(torch, "stack", stack)
    assert sums(on_device) == {"loss": 3.0, "n": 6.0}
    assert reads == [3]


def test_clips_are_counted_however_they_are_grouped():
    assert clip_count({"caps": torch.ones(1, 2, 8, 32), "vfeats": torch.ones(1, 2, 8, 16, 4)}) == 16
    assert clip_count({"caps": torch.ones(5, 32), "vfeats": torch.ones(5, 16, 4)}) == 5
    assert clip_count({"caps": torch.ones(5, 32)}) == 5


def test_waiting_is_told_from_working():
    now = [0.0]

    def loader():
        for seconds in (3.0, 1.0, 2.0):
            now[0] += seconds
            yield seconds

    wait = telemetry.LoaderWait(lambda: now[0])
    taken = []
    for _ in wait.batches(loader()):
        taken.append(wait.take())
        now[0] += 4.0  # the update
    assert taken == [
        {"wait_s": 3.0, "passed_s": 3.0},
        {"wait_s": 1.0, "passed_s": 5.0},
        {"wait_s": 2.0, "passed_s": 6.0},
    ]
    assert wait.take() == {"wait_s": 0.0, "passed_s": 0.0}


def test_gpu_memory_is_what_the_peak_took(monkeypatch):
    device = Namespace(total_memory=80 * telemetry.GIB)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: device)
    resident = telemetry.memory_gb()
    assert 0.05 < resident < 60
    with metrics.aggregate("train_inner"):
        metrics.log_scalar("gb_free", 70.5, weight=0)
        assert telemetry.memory_gb() == 9.5


def test_only_training_batches_are_watched(monkeypatch):
    seen = []
    watch = telemetry.Telemetry()
    monkeypatch.setattr(watch, "begin_epoch", lambda batches, epoch: seen.append(epoch) or batches)
    telemetry.watch_training(watch)
    wrapped = progress_bar.progress_bar
    telemetry.watch_training(watch)
    assert progress_bar.progress_bar is wrapped  # once
    progress_bar.progress_bar([1], log_format="none", epoch=4)
    progress_bar.progress_bar([1], log_format="none", epoch=4, prefix="valid on 'valid' subset")
    progress_bar.progress_bar([1], log_format="none")
    assert seen == [4]


def test_the_record_is_plain_json(workspace):
    job = workspace.job()
    args = Namespace(taskconfig=job, save_dir="runs/t", seed=1, max_epoch=2, max_update=0)
    FairseqMMTask(args)
    content = json.loads(Path("runs/t/run.json").read_text())
    assert content["starts"][0]["max_epoch"] == 2 and content["starts"][0]["max_update"] is None
    assert content["starts"][0]["pid"] == os.getpid()
    evaluation = Namespace(taskconfig=job, save_dir="runs/e", seed=1)
    FairseqMMTask(evaluation)
    assert not Path("runs/e/run.json").exists()


def test_updates_are_counted_on_after_meters_were_restored():
    assert telemetry.updates_done() == 0
    metrics.log_scalar("num_updates", 5, weight=0)
    metrics.load_state_dict(metrics.state_dict())
    metrics.log_scalar("num_updates", 6, weight=0)
    assert telemetry.updates_done() == 6
