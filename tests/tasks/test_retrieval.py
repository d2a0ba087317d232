"""Trainings on retrieved batches: they reach the workers, all processes, and a run that goes on."""

import json
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmpt.config import load_config
from mmpt.errors import DataError
from mmpt.io.candidates import Candidates, candidates_path, read_candidates, write_candidates
from mmpt.io.checkpoints import read_checkpoint
from mmpt.io.resume import newest_whole
from mmpt.modules import vectorindex
from mmpt.tasks import retritask
from mmpt.tasks.retritask import VideoRetriTask
from mmpt.tasks.task import Task, TrainingRun
from mmpt_cli import train

from ..ranks import run_ranks
from .test_never_lost import wait_for
from .test_two_processes import start_ranks

SIZE = 2  # videos of a batch
VIDEOS = 16


@pytest.fixture
def retri_task(workspace):
    """A task whose first epoch retrieves, with its model."""

    def make(**changes) -> VideoRetriTask:
        config = load_config(config_file=workspace.job(retri_epoch=1, **changes))
        task = Task.config_task(config)
        torch.manual_seed(0)
        task.build_model()
        task.build_dataset()
        return task

    return make


@pytest.fixture
def run(tmp_path):
    return TrainingRun(tmp_path / "runs/t", seed=1)


def weights(folder, name="checkpoint_last.pt"):
    return read_checkpoint(f"{folder}/{name}")["model"]


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def retrieved(folder, epoch, ranks=1):
    files = [read_candidates(candidates_path(folder, epoch, rank)) for rank in range(ranks)]
    return [batch for file in files for batch in file.batches]


# ---------------------------------------------------------------------- one epoch's beginning


def test_batches_of_an_epoch(retri_task, run, caplog):
    task = retri_task()
    meta = task.train_data.meta_processor
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    task.model.train()
    state = torch.get_rng_state()
    task.begin_epoch(1, run)
    assert torch.equal(state, torch.get_rng_state()), "a training goes on as if nothing was drawn"
    assert task.model.training and equal(before, task.model.state_dict())
    assert len(meta) == VIDEOS // SIZE == len(meta.cands)
    for batch in meta.cands:
        assert len(set(batch)) == SIZE and set(batch) <= set(meta.data)
    assert retrieved(run.save_dir, 1) == meta.cands
    assert "16 videos encoded in" in caplog.text and "of it waiting for the loader" in caplog.text
    assert (
        "epoch 1: 8 retrieved batches of videos; mean similarity of batch mates 0." in caplog.text
    )
    first = meta.cands
    task.begin_epoch(2, run)
    assert meta.cands != first


def test_neighbours_share_a_batch(retri_task, run, monkeypatch):
    """With vectors that say who belongs together, the batches say so too."""
    task = retri_task(num_cands=4, nprobe=2)
    videos = task.train_data.meta_processor.data
    twins = {video_id: place // 4 for place, video_id in enumerate(videos)}

    def pooled(**sample):
        ids = [i for i in sample["video_id"][0] for _ in range(8)]
        rows = torch.nn.functional.one_hot(torch.tensor([twins[i] for i in ids]), 4).float()
        return {"pooled_video": rows, "pooled_text": rows}

    monkeypatch.setattr(task.model, "forward", pooled)
    task.begin_epoch(1, run)
    for batch in task.train_data.meta_processor.cands:
        assert len({twins[i] for i in batch}) == 1
    facts = read_candidates(candidates_path(run.save_dir, 1, 0)).facts
    assert facts["retrieved_similarity"] == pytest.approx(1, abs=1e-6)
    assert facts["random_similarity"] < 0.8


def test_vectors_do_not_depend_on_workers(retri_task, run, monkeypatch, tmp_path):
    pools = []
    original = retritask._hardness
    monkeypatch.setattr(
        retritask, "_hardness", lambda pool, *rest: pools.append(pool) or original(pool, *rest)
    )
    task = retri_task()
    for workers in (0, 2):
        task.begin_epoch(3, run._replace(num_workers=workers, save_dir=tmp_path / f"{workers}"))
    alone, shared = pools
    assert alone.video_ids == shared.video_ids == task.train_data.meta_processor.data
    assert (alone.vectors() == shared.vectors()).all()
    assert retrieved(tmp_path / "0", 3) == retrieved(tmp_path / "2", 3)


def test_without_faiss(retri_task, run, monkeypatch, caplog):
    monkeypatch.setattr(vectorindex, "has_faiss", lambda: False)
    task = retri_task()
    task.check_training(1)
    said = [r.getMessage() for r in caplog.records if "faiss" in r.getMessage()]
    assert len(said) == 1 and "searched exactly, in torch" in said[0] and "\n" not in said[0]
    task.begin_epoch(1, run)
    assert len(task.train_data.meta_processor.cands) == VIDEOS // SIZE


def test_a_video_that_the_model_makes_nan_of(retri_task, run, monkeypatch):
    task = retri_task()
    forward = task.model.forward

    def spoilt(**sample):
        output = forward(**sample)
        if "trainVid_004-x" in sample["video_id"][0]:
            output["pooled_text"][0, 0] = float("nan")
        return output

    monkeypatch.setattr(task.model, "forward", spoilt)
    with pytest.raises(DataError, match="NaN or inf for 1 of 16 videos: trainVid_004-x; look at"):
        task.begin_epoch(1, run)
    assert not candidates_path(run.save_dir, 1, 0).exists()


def test_shares_that_fill_no_batch(retri_task, run, monkeypatch, caplog):
    """Of several processes, each searching its own share: one is said, all are an error."""
    task = retri_task()
    drawn = retritask._Drawn(8, [["trainVid_000-x", "trainVid_001-x"]], 0.5, 0.25)
    small = retritask._Drawn(1, [], 0.0, 0.0)
    shares = [[drawn, small], [small, small]]
    monkeypatch.setattr(task, "_draw", lambda *_: drawn)
    monkeypatch.setattr(task, "_written", lambda *_: (None, {}))
    monkeypatch.setattr(retritask, "exchange_objects", lambda _: shares.pop(0))
    assert task.retrieve_candidates(1, run) == drawn.batches
    assert "epoch 1: 1 videos are in no batch" in caplog.text
    assert "mates 0.500, in random groups 0.250" in caplog.text
    with pytest.raises(DataError, match=r"16 videos, .* do not fill one batch of 2 in any of them"):
        task.retrieve_candidates(1, run)


# ----------------------------------------------------------------------------- written batches


def test_the_epoch_s_file_is_used_again(retri_task, run, caplog):
    task = retri_task()
    task.begin_epoch(1, run)
    first, state = task.train_data.meta_processor.cands, task.state
    caplog.clear()
    again = retri_task()
    again.begin_epoch(1, run)
    assert again.train_data.meta_processor.cands == first and again.state == state
    assert "batches as they stand in" in caplog.text and "encoded" not in caplog.text
    assert "8 retrieved batches of videos; mean similarity" in caplog.text


def change_weights(task, run, monkeypatch):
    with torch.no_grad():
        task.model.video_encoder.videomlp.LayerNorm.weight[0] += 1e-3
    return run


def change_data(task, run, monkeypatch):
    os.utime("data/feat/feat_how2_s3d_shard_small/train_0_data.npy", (1, 1))
    return run


def truncate(task, run, monkeypatch):
    path = candidates_path(run.save_dir, 1, 0)
    path.write_bytes(path.read_bytes()[:-50])
    return run


def change_batches(task, run, monkeypatch):
    path = candidates_path(run.save_dir, 1, 0)
    content = json.loads(path.read_text())
    content["batches"].reverse()
    path.write_text(json.dumps(content))
    return run


@pytest.mark.parametrize(
    ("changes", "spoil", "line"),
    [
        ({}, change_weights, r"videos0.json: made by another run \(other weights\)"),
        ({}, change_data, r"videos0.json: made by another run \(other data\)"),
        ({"num_cands": 5}, None, r"made by another run \(other configuration\)"),
        ({"dataset": {"sampled_max_len": 30}}, None, r"\(other configuration\)"),
        ({"model": {"num_hidden_video_layers": 1}}, None, r"\(other configuration and weights\)"),
        ({}, truncate, r"videos0.json: truncated or no candidates file \(.*\)"),
        ({}, change_batches, r"videos0.json: damaged: it does not hold"),
    ],
)
def test_a_file_of_another_run_is_told(retri_task, run, monkeypatch, caplog, changes, spoil, line):
    retri_task().begin_epoch(1, run)
    caplog.clear()
    task = retri_task(**changes)
    if spoil is not None:
        run = spoil(task, run, monkeypatch)
    task.begin_epoch(1, run)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith("epoch 1: ") and warning.endswith("; batches are retrieved anew")
    assert re.search(line, warning)
    assert "encoded" in caplog.text
    # what was written now is this run's
    caplog.clear()
    task.begin_epoch(1, run)
    assert "batches as they stand" in caplog.text


def test_inside_an_epoch_the_weights_are_others(retri_task, run, caplog, monkeypatch):
    """What the checkpoint trained on counts then; without it, the change is said."""
    task = retri_task()
    task.begin_epoch(1, run)
    batches, state = task.train_data.meta_processor.cands, dict(task.state)
    again = retri_task()
    change_weights(again, run, monkeypatch)
    again.begin_epoch(1, run._replace(continued=state))
    assert again.train_data.meta_processor.cands == batches
    caplog.clear()
    candidates_path(run.save_dir, 1, 0).unlink()
    again.begin_epoch(1, run._replace(continued=state))
    assert "videos0.json is gone; batches are retrieved anew, and the epoch goes on" in caplog.text
    caplog.clear()
    again.begin_epoch(1, run._replace(continued={"epoch": 1, "digest": "of others"}))
    assert "retrieved anew" not in caplog.text, "made with these very weights"
    change_weights(again, run, monkeypatch)
    again.begin_epoch(1, run._replace(continued={"epoch": 1, "digest": "of others"}))
    assert "made by another run (other weights); batches are retrieved anew, and" in caplog.text


# ---------------------------------------------------------------------------------- trainings


def test_every_epoch_trains_on_its_batches_and_resumes_inside(workspace, monkeypatch, caplog):
    """With two loader workers: the ids that are seen in an epoch are those of its file; a run that
    was stopped inside an epoch, or between two, ends at the same weights."""
    seen = {}
    step = VideoRetriTask.__call__

    def watched(task, model, sample):
        if model.training:
            seen.setdefault(task.state.get("epoch", 1), []).append(sample["video_id"][0])
        return step(task, model, sample)

    monkeypatch.setattr(VideoRetriTask, "__call__", watched)
    caplog.set_level(logging.INFO)
    job = workspace.job(retri_epoch=2)
    settings = {"num_workers": 2, "max_epoch": 3, "max_update": None}
    assert train.main(workspace.arguments(job, "runs/whole", **settings)) == 0
    assert "8 random groups" in caplog.text
    assert not candidates_path("runs/whole", 1, 0).exists()
    for epoch in (2, 3):
        assert sorted(seen[epoch]) == sorted(retrieved("runs/whole", epoch)), epoch
    assert seen[2] != seen[3]

    for updates in (13, 16, 21):  # inside epoch 2, at its end, inside epoch 3
        caplog.clear()
        arguments = workspace.arguments(job, "runs/parts", **{**settings, "max_update": updates})
        assert train.main(arguments) == 0
    assert train.main(workspace.arguments(job, "runs/parts", **settings)) == 0
    assert "epoch 3: batches as they stand in" in caplog.text
    assert "retrieved anew" not in caplog.text
    assert equal(weights("runs/whole"), weights("runs/parts"))

    caplog.clear()
    again = workspace.arguments(job, "runs/parts", **{**settings, "max_update": 24})
    train.main(again)  # complete: nothing is encoded for a further epoch
    assert "encoded" not in caplog.text
    assert multiprocessing.active_children() == [], "loader workers outlive a complete run"


@pytest.mark.parametrize(
    ("pool", "backend"),
    [("VideoVectorPool", "no_c10d"), ("DistributedVideoVectorPool", "c10d")],
)
def test_two_processes_have_the_same_batches(workspace, forkserver, pool, backend):
    """Also where they go on inside an epoch; and they contrast each other's clips."""
    changes = {"retri_epoch": 1, "vectorpool_cls": pool, "loss": {"gather_negatives": True}}
    job = workspace.job(**changes)

    def trained(folder, **limits) -> str:
        settings = {"num_workers": 1, "ddp_backend": backend, **limits}
        log = workspace.folder / "log0"
        log.unlink(missing_ok=True)
        ranks = start_ranks(forkserver, workspace.arguments(job, folder, **settings))
        assert [forkserver.wait(rank) for rank in ranks] == [0, 0], log.read_text()
        one, two = (torch.load(f"rank{rank}.pt", weights_only=True) for rank in range(2))
        assert equal(one, two)
        return log.read_text()

    said = trained("runs/two", max_epoch=2, max_update=None)
    assert "epoch 2: 8 retrieved batches" in said
    trained("runs/parts", max_epoch=2, max_update=6)  # 4 updates an epoch: inside the second
    said = trained("runs/parts", max_epoch=2, max_update=None)
    assert "epoch 2: batches as they stand in" in said and "encoded" not in said
    assert equal(weights("runs/two"), weights("runs/parts"))
    lists = [
        sorted(read_candidates(candidates_path("runs/two", epoch, rank)).batches)
        for epoch in (1, 2)
        for rank in (0, 1)
    ]
    if pool == "VideoVectorPool":  # each process has its share of the videos
        assert [len(batches) for batches in lists] == [4, 4, 4, 4]
        shares = [{i for batch in batches for i in batch} for batches in lists]
        assert not shares[0] & shares[1]
    else:
        assert [len(batches) for batches in lists] == [8, 0, 8, 0]


def test_another_number_of_processes_inside_an_epoch(workspace, forkserver):
    """Processes share an epoch's batches by their number: with another, the epoch begins anew."""
    job = workspace.job(retri_epoch=1)
    settings = {"num_workers": 0, "max_epoch": 2}
    arguments = workspace.arguments(job, "runs/two", max_update=6, **settings)
    assert [forkserver.wait(rank) for rank in start_ranks(forkserver, arguments)] == [0, 0]
    arguments = workspace.arguments(job, "runs/two", max_update=None, **settings)
    assert forkserver.run(arguments, "log") == 0
    said = (workspace.folder / "log").read_text()
    assert "written inside epoch 2 by 2 processes, this run has 1: the epoch begins anew" in said
    assert "(other number of processes and weights); batches are retrieved anew\n" in said
    status = json.loads((workspace.folder / "runs/two/status.json").read_text())
    assert status["updates"] == 6 + 8


def test_processes_that_find_different_things_agree(retri_task, run, monkeypatch):
    """What one of them takes for another run's, none uses."""
    for changed_rank in (0, 1):
        assert run_ranks(2, agreed, str(run.save_dir), changed_rank) == [None, None]
    assert run_ranks(2, agreed, str(run.save_dir), None) == [[["a"], ["b"]]] * 2


def agreed(rank, folder, changed_rank):
    made_from = {"data": "1", "weights": "2"}
    here = candidates_path(folder, 1, rank)
    write_candidates(here, Candidates([["a", "b"][rank : rank + 1]], made_from, {}))
    now = {**made_from, "data": "other"} if rank == changed_rank else made_from
    task = VideoRetriTask({})
    return task._written(1, TrainingRun(folder), now)[0]


@pytest.mark.parametrize(("retri_epoch", "slow_save"), [(1, False), (2, False), (2, True)])
@pytest.mark.slow
def test_a_stop_of_spawned_processes_while_videos_are_encoded(workspace, retri_epoch, slow_save):
    """fairseq's own spawning: the status is the signal's, and after an epoch all leave in order,
    the checkpoint being whole."""
    job = workspace.job(retri_epoch=retri_epoch)
    arguments = workspace.arguments(
        job, "runs/two", num_workers=0, max_epoch=4, max_update=None, save_interval=9
    )
    command = [sys.executable, str(Path(__file__).with_name("spawned.py")), str(int(slow_save))]
    log = workspace.folder / "log"
    with log.open("w") as file:
        child = subprocess.Popen(
            [*command, *arguments, "--distributed-world-size=2", "--distributed-backend=gloo"],
            stdout=file, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        end = time.monotonic() + 120
        while "slow encoding" not in log.read_text():
            assert time.monotonic() < end and child.poll() is None, log.read_text()
            time.sleep(0.1)
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 143, log.read_text()
    said = log.read_text()
    assert "Traceback" not in said
    if retri_epoch > 1:
        assert "stopped by SIGTERM between two epochs" in said
        assert newest_whole("runs/two").updates == 4


def test_a_stop_between_two_epochs(workspace, forkserver):
    """While the videos are encoded there is no update to finish: the run leaves at once."""
    job = workspace.job(retri_epoch=2)
    settings = {"num_workers": 1, "max_epoch": 4, "max_update": None}
    arguments = workspace.arguments(job, "runs/stopped", **settings)
    training = forkserver.start(arguments, "log", {"SLOW_ENCODING": "yes"})
    wait_for(training, workspace.folder / "log", "slow encoding")
    os.kill(training, signal.SIGTERM)
    assert forkserver.wait(training) == 143
    said = (workspace.folder / "log").read_text()
    assert "stopped by SIGTERM between two epochs" in said
    assert not candidates_path("runs/stopped", 2, 0).exists()
    assert forkserver.run(arguments, "log") == 0
    assert forkserver.run(workspace.arguments(job, "runs/whole", **settings), "log") == 0
    assert equal(weights("runs/stopped"), weights("runs/whole"))
