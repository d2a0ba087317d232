"""Tasks and what the plugin hands to fairseq."""

from argparse import Namespace

import pytest
import torch

from mmpt.config import load_config
from mmpt.errors import ConfigError
from mmpt.tasks import Task, VideoRetriTask
from mmpt.tasks.fairseqmm_trainer import close_loader
from mmpt.tasks.fairseqmmtask import FairseqMMTask


@pytest.fixture
def task(workspace):
    job = workspace.job()
    return FairseqMMTask(Namespace(taskconfig=job, save_dir="runs/t", seed=3))


def epoch_of(task, epoch, workers):
    task.load_dataset("train")
    iterator = task.get_batch_iterator(
        task.dataset("train"),
        max_sentences=1,
        required_batch_size_multiple=8,
        seed=3,
        num_workers=workers,
        epoch=epoch,
    )
    groups = [batch["video_id"][0] for batch in iterator.next_epoch_itr(shuffle=True)]
    close_loader(iterator)
    return groups


def test_regrouped_videos_reach_the_loaders_workers(task):
    seen = []
    for epoch in (1, 2):
        groups = epoch_of(task, epoch, workers=2)
        assert sorted(groups) == sorted(task.mmtask.train_data.meta_processor.cands)
        assert sorted(i for group in groups for i in group) == sorted(
            task.mmtask.train_data.meta_processor.data
        )
        seen.append(groups)
    assert sorted(seen[0]) != sorted(seen[1])


def test_no_batch_is_lost(workspace):
    """fairseq drops what does not fill a multiple of 8 items, unless it is told otherwise."""
    job = workspace.job(dataset={"num_video_per_batch": 5})
    task = FairseqMMTask(Namespace(taskconfig=job, save_dir="runs/t", seed=3))
    assert len(epoch_of(task, 1, workers=0)) == 3


def test_batches_are_flattened_clips_of_a_video_adjacent(task):
    task.load_dataset("train")
    item = task.dataset("train")[0]
    batch = task.dataset("train").collater([item])
    flat = task.mmtask.reshape_subsample(batch)
    assert batch["caps"].shape == (1, 2, 8, 32) and flat["caps"].shape == (16, 32)
    assert flat["vfeats"].shape == (16, 16, 512) and flat["video_start"].shape == (16,)
    assert torch.equal(flat["caps"][8:], item["caps"][1])


def test_the_model_that_is_given_is_called(task):
    """The published task called its own model, past the wrapper that averages gradients."""
    model = task.mmtask.build_model()
    calls = []

    def wrapper(**sample):
        calls.append(1)
        return model(**sample)

    task.load_dataset("train")
    output = task.mmtask(wrapper, task.dataset("train").collater([task.dataset("train")[0]]))
    assert calls == [1] and torch.isfinite(output.total)
    assert {"loss_v2t", "loss_t2v", "loss_seq", "temperature", "p"} <= output.parts.keys()


def test_subsampling_flattens_the_first_two_axes():
    sample = {"caps": torch.zeros(2, 3, 5), "video_id": ["a"], "idx": torch.zeros(2)}
    task = Task({"dataset": {"subsampling": 3}})
    assert task.reshape_subsample(sample)["caps"].shape == (6, 5)
    assert Task({"dataset": {"subsampling": 1}}).reshape_subsample(sample) is sample


ONE_VIDEO = {
    "meta_processor": "ShardedHow2MetaProcessor",
    "video_processor": "ShardedVideoProcessor",
    "text_processor": "ShardedTextProcessor",
}


@pytest.mark.parametrize(
    ("clip_per_video", "subsampling"), [(None, 1), (1, None), (4, None), (4, 1), (None, 4)]
)
@pytest.mark.parametrize(
    "aligner", ["FixedLenAligner", "VariedLenAligner", "StartClipAligner", "OverlappedAligner"]
)
def test_clips_of_single_videos_train_whatever_their_number(
    aligner, clip_per_video, subsampling, workspace
):
    counts = {"clip_per_video": clip_per_video, "subsampling": subsampling}
    job = workspace.job(
        task="Task",
        dataset={**ONE_VIDEO, "aligner": aligner, **counts},
        fairseq={"dataset": {"batch_size": 8}},
        loss={"sequence_contrast": {"sequence_contrast_weight": None}},
    )
    task = Task.config_task(load_config(config_file=job))
    task.build_loss()
    data = task.build_split("train")
    items = [data[0], data[1]]
    clips = clip_per_video or subsampling
    batch = data.collater(items)
    assert batch["vfeats"].shape == (2, clips, 16, 512)
    flat = task.reshape_subsample(batch)
    for key in ("caps", "cmasks", "vfeats", "vmasks", "video_start", "text_end"):
        assert torch.equal(flat[key], torch.cat([item[key] for item in items])), key
    assert flat["video_id"] is batch["video_id"] and flat["idx"].tolist() == [0, 1]
    output = task(task.build_model(), batch)
    assert torch.isfinite(output.total)


def test_windows_of_a_whole_video_keep_their_axes():
    """One item of segmentation: [1, W, V, width], without the bounds of a clip."""
    sample = {
        "caps": torch.zeros(1, 3, 4),
        "vfeats": torch.zeros(1, 3, 8, 5),
        "video_targets": torch.zeros(1, 20),
        "video_start": torch.zeros(1),
    }
    for dataset in ({}, {"subsampling": None}, {"subsampling": 1}):
        assert Task({"dataset": dataset}).reshape_subsample(sample) is sample


def test_task_names(workspace):
    config = load_config(config_file=workspace.job())
    assert isinstance(Task.config_task(config), VideoRetriTask)
    config.task = "VideoRetriTusk"
    with pytest.raises(ConfigError, match="did you mean VideoRetriTask"):
        Task.config_task(config)


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("meta_processor", "ShardedHow2VideoRetriMetaProcesor"),
        ("aligner", "OverlapedAligner"),
    ],
)
def test_unknown_processors(workspace, section, name):
    config = load_config(config_file=workspace.job())
    config.dataset[section] = name
    with pytest.raises(ConfigError, match=rf"dataset.{section}: unknown name '{name}' \(did you"):
        Task.config_task(config).build_dataset()


def test_split_that_is_not_set(workspace):
    job = workspace.job(dataset={"val_path": None})
    task = FairseqMMTask(Namespace(taskconfig=job, save_dir="runs/t", seed=3))
    with pytest.raises(ConfigError, match=r"dataset.val_path is not set"):
        task.load_dataset("valid")


def test_every_validation_sees_the_same_clips(task):
    """As fairseq's trainer asks for it: epoch 1, and the data set's epoch left alone."""
    task.load_dataset("valid")
    passes = []
    for _ in range(2):
        iterator = task.get_batch_iterator(
            task.dataset("valid"), max_sentences=1, seed=3, num_workers=0, epoch=1
        )
        epoch = iterator.next_epoch_itr(shuffle=False, set_dataset_epoch=False)
        passes.append([batch["video_start"].tolist() for batch in epoch])
    assert passes[0] == passes[1]


@pytest.mark.parametrize(
    ("limits", "retrieves"),
    [
        ({"max_epoch": 5, "max_update": 0}, False),
        ({"max_epoch": 6, "max_update": 0}, True),
        ({"max_epoch": 0, "max_update": 0}, True),
        ({"max_epoch": 0, "max_update": 10}, False),
    ],
)
def test_what_retrieval_needs_is_looked_at_where_a_run_comes_that_far(
    workspace, monkeypatch, limits, retrieves
):
    """Hours before it is needed."""
    monkeypatch.setattr("mmpt.modules.vectorindex.has_faiss", lambda: False)
    jobs = {
        r"num_cands is not set, and retri_epoch: 6": {"num_cands": None},
        r"db_type: pq needs the package faiss-cpu": {"db_type": "pq"},
    }
    for message, changes in jobs.items():
        job = workspace.job(retri_epoch=6, **changes)
        args = Namespace(taskconfig=job, save_dir="runs/t", seed=3, **limits)
        if retrieves:
            with pytest.raises(ConfigError, match=message):
                FairseqMMTask(args)
        else:
            FairseqMMTask(args)


def test_a_task_that_regroups_videos_needs_groups(workspace):
    job = workspace.job(retri_epoch=None, dataset=ONE_VIDEO)
    args = Namespace(taskconfig=job, save_dir="runs/t", seed=3, max_epoch=1, max_update=0)
    with pytest.raises(ConfigError, match=r"ShardedHow2MetaProcessor has no groups .* task: Task"):
        FairseqMMTask(args)


def test_a_job_without_data():
    with pytest.raises(ConfigError, match="no section dataset"):
        Task({"model": {}}).build_dataset()
