"""The demo's table and verdict; the whole run is `bash run.sh demo`."""

from pathlib import Path

import pytest

from mmpt.config import load_config
from mmpt_cli import demo_run
from mmpt_cli.demo_run import PROGRESS, Row, table, verdict

ROOT = Path(__file__).resolve().parents[2]


def rows(first, second):
    metrics = [{"R1": r, "R5": 0.9, "R10": 1.0, "MR": 1.0} for r in (0.01, first, second)]
    return [Row(name, m) for name, m in zip(("untrained", "one", "two"), metrics, strict=True)]


def test_table_stands_beside_chance():
    lines = table(rows(0.75, 0.76), items=100).splitlines()
    assert lines[3] == "| one | 0.75 | 0.90 | 1.00 | 1.0 |"
    assert lines[-1] == "| chance | 0.01 | 0.05 | 0.10 | 50.5 |"


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (0.75, 0.70, None),
        (0.45, 0.70, "stage 1 is 0.45"),
        (0.75, 0.60, "fell from 0.75 to 0.60"),
    ],
)
def test_verdict(first, second, problem):
    said = verdict(rows(first, second), items=100)
    assert said is None if problem is None else problem in said


def test_progress_is_read_from_a_training_s_log():
    line = (
        "2026-01-01 00:00:00 | INFO | train_inner | epoch 002:      5 / 25 loss=7.045, "
        "loss_v2t=3.5, wps=1, ups=3, wpb=128, bsz=1, num_updates=30, lr=0.0019"
    )
    assert PROGRESS.search(line).groups() == ("7.045", "30")
    assert PROGRESS.search(line.replace("train_inner", "valid")) is None


@pytest.mark.parametrize("stage", ["videoclip", "norton"])
def test_demo_jobs_change_only_what_they_may(stage, monkeypatch):
    """Data, sizes, learning rate, trainer limits and logging, restore file, retrieval."""
    monkeypatch.chdir(ROOT)
    real = load_config(config_file=f"projects/retri/{stage}/how2_pretrain.yaml")
    demo = load_config(config_file=f"projects/retri/demo/{stage}.yaml")
    assert demo.loss == real.loss and demo.retri_epoch is None
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
