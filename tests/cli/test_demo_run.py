"""The demo's table and verdict; the whole run is `bash run.sh demo`."""

from pathlib import Path

import numpy as np
import pytest

from mmpt.config import load_config
from mmpt_cli import demo_run
from mmpt_cli.demo_run import HARDNESS, PROGRESS, Row, limits, table, verdict

ROOT = Path(__file__).resolve().parents[2]


CHANCE = {"R1": 0.01, "R5": 0.05, "R10": 0.1, "MR": 50.5, "Recall": 0.16, "AUC": 0.36}


def rows(first, second, recall=0.8, recall_second=0.8):
    found = []
    for name, r1, aligned in (
        ("untrained", 0.01, 0.15),
        ("one", first, recall),
        ("two", second, recall_second),
    ):
        metrics = {"R1": r1, "R5": 0.9, "R10": 1.0, "MR": 1.0, "Recall": aligned, "AUC": 0.7}
        found.append(Row(name, metrics))
    return found


def test_table_stands_between_chance_and_the_best_possible(tmp_path):
    sentences = np.array([[1, 2.5, 4], [0, 6, 7]])
    coverage = np.zeros((2, 20), np.int16)
    coverage[:, :10] = 1
    np.savez(
        tmp_path / "v1.npz",
        similarity=np.zeros((2, 20), np.float32),
        coverage=coverage,
        texts=np.array(["a", "b"]),
        aligned=sentences[:, 0] == 1,
        start=sentences[:, 1],
        end=sentences[:, 2],
    )
    best, chance = limits(100, tmp_path)
    lines = table([*rows(0.75, 0.76), best, chance]).splitlines()
    assert lines[0].endswith("| median rank | alignment recall | alignment AUC |")
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3] == "| one | 0.75 | 0.90 | 1.00 | 1.0 | 0.80 | 0.70 |"
    assert lines[-2] == "| best possible | 1.00 | 1.00 | 1.00 | 1.0 | 1.00 | 1.00 |"
    assert lines[-1] == "| chance | 0.01 | 0.05 | 0.10 | 50.5 | 0.30 | 0.50 |"


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (rows(0.75, 0.70), None),
        (rows(0.45, 0.70), "R@1 after stage 1 is 0.45"),
        (rows(0.75, 0.60), "fell from 0.75 to 0.60"),
        (rows(0.75, 0.75, recall=0.2), "alignment recall after stage 1 is 0.20, below 0.32"),
        (rows(0.75, 0.75, recall_second=0.3), "alignment recall after stage 2 is 0.30"),
    ],
)
def test_verdict(made, problem):
    said = verdict(made, CHANCE)
    assert said is None if problem is None else problem in said


@pytest.mark.parametrize("stage", ["videoclip", "norton"])
def test_alignment_jobs_change_only_data_and_size(stage, monkeypatch):
    monkeypatch.chdir(ROOT)
    real = load_config(config_file="projects/retri/norton/test_how2align_zs.yaml")
    demo = load_config(config_file=f"projects/retri/demo/test_htm_align_{stage}.yaml")
    assert (demo.predictor, demo.metric) == (real.predictor, real.metric)
    for key in ("max_video_len", "max_len"):
        assert demo.dataset[key] == real.dataset[key]
    folder = f"runs/retri/demo/{stage}"
    assert demo.eval.save_path == folder
    assert demo.fairseq.common_eval.path == f"{folder}/checkpoint_best.pt"


def test_progress_is_read_from_a_training_s_log():
    line = (
        "2026-01-01 00:00:00 | INFO | train_inner | epoch 002:      5 / 25 loss=7.045, "
        "loss_v2t=3.5, wps=1, ups=3, wpb=128, bsz=1, num_updates=30, lr=0.0019"
    )
    assert PROGRESS.search(line).groups() == ("7.045", "30")
    assert PROGRESS.search(line.replace("train_inner", "valid")) is None
    said = (
        "epoch 2: 25 retrieved batches of videos; mean similarity of batch mates 0.9, in random "
        "groups 0.5"
    )
    assert HARDNESS.search(f"x | INFO | mmpt.tasks.retritask | {said}\n")[1] == said


@pytest.mark.parametrize("stage", ["videoclip", "norton"])
def test_demo_jobs_change_only_what_they_may(stage, monkeypatch):
    """Data, sizes, learning rate, trainer limits and logging, restore file, retrieval."""
    monkeypatch.chdir(ROOT)
    real = load_config(config_file=f"projects/retri/{stage}/how2_pretrain.yaml")
    demo = load_config(config_file=f"projects/retri/demo/{stage}.yaml")
    assert demo.loss == real.loss
    assert demo.get("retri_epoch") == {"videoclip": None, "norton": real.retri_epoch}[stage]
    for key in ("vectorpool_cls", "retriever_cls", "centroids", "examples_per_cent_to_train"):
        assert demo.get(key) == real.get(key)
    assert demo.model.get("layernorm_only") == real.model.get("layernorm_only")
    for key in ("aligner", "clip_per_video", "max_video_len", "max_len", "sampled_max_len"):
        assert demo.dataset[key] == real.dataset[key]
    for key in ("optimizer", "adam_betas", "clip_norm", "weight_decay", "ddp_backend"):
        assert demo.fairseq.optimization[key] == real.fairseq.optimization[key]


def test_a_failed_training_shows_its_last_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        demo_run.LaunchError, match=r"norton.yaml failed with status 1; all it said"
    ):
        demo_run.train(ROOT / "projects/retri/demo/norton.yaml", tmp_path / "x.log")
    assert "error: " in capsys.readouterr().err


def test_the_command_at_the_end_evaluates_every_task():
    pattern = demo_run.EVERY_TASK.split()[-1]
    tasks = {path.stem[5:-7] for path in ROOT.glob(pattern)}
    assert tasks == {
        *("vtt", "vttqa", "htm_align", "youcook", "youcook_fullvideo", "youcook_fullvideo_bg"),
        *("coin", "didemo", "crosstask"),
    }
