"""Fine-tuning: a new classifier on restored weights, resumed, evaluated; the demo's four jobs."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.demo import make_corpus
from mmpt.io.checkpoints import read_checkpoint
from mmpt.io.run_record import read_record
from mmpt.utils.bert import load_tokenizer
from mmpt_cli import predict, train
from mmpt_cli.localjob import dry_command, read_jobs

from .conftest import forget_runs

JOBS = REPOSITORY_ROOT / "projects/retri/demo"

FIRST = f"""
includes: {JOBS}/vtt_ft.yaml
dataset: {{dup: 1, val_path: data/demo/msrvtt/val.csv}}
fairseq:
  dataset: {{num_workers: 0, batch_size: 4}}
  optimization: {{max_update: 1}}
  checkpoint: {{restore_file: null, reset_optimizer: null, reset_dataloader: null,
    reset_meters: null, save_dir: runs/first}}
"""
"""A retrieval model after one update, validated on what is no test set."""

COIN = f"""
includes: {JOBS}/coin_ft.yaml
fairseq:
  dataset: {{num_workers: 0}}
  optimization: {{max_epoch: 9, max_update: UPDATES}}
  checkpoint: {{restore_file: runs/first/checkpoint_best.pt, save_dir: runs/coin}}
"""


@pytest.fixture(autouse=True)
def _own_tokenizer():
    load_tokenizer.cache_clear()  # kept by the folder's name, which is the same in every place
    yield
    load_tokenizer.cache_clear()


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A working directory with a corpus of 4 COIN-form training videos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    make_corpus("data/demo", videos=1, steps=6, tasks=2, shared_steps=0, test_videos=4,
                finetune_videos=4, align_videos=1, youcook_videos=1, coin_videos=4,
                didemo_videos=1, crosstask_videos=3, bert_hidden=16)  # fmt: skip
    shutil.copy("data/demo/msrvtt/MSRVTT_JSFUSION_test.csv", "data/demo/msrvtt/val.csv")
    return tmp_path


def run_training(name, text):
    """Trains a job in this process, as the launcher would in another."""
    forget_runs()
    Path(name).write_text(text, encoding="utf-8")
    _, (job,) = read_jobs([name], "local_single")
    _, _, *arguments = dry_command(job)
    assert train.main(arguments) == 0


def test_a_classifier_on_a_retrieval_model_resumed_and_evaluated(corpus, caplog):
    caplog.set_level(logging.INFO)
    run_training("first.yaml", FIRST)
    assert "validation is on" not in caplog.text
    assert read_record("runs/first")["starts"][0]["validates_on_test"] is None

    run_training("coin.yaml", COIN.replace("UPDATES", "3"))
    assert caplog.text.count("validation is on the test set of COIN (it has no third subset") == 1
    assert (
        "runs/first/checkpoint_best.pt: 2 names missing, kept as built: "
        "video_encoder.classifier.bias, video_encoder.classifier.weight" in caplog.text
    )
    run_training("coin.yaml", COIN.replace("UPDATES", "8"))
    starts = read_record("runs/coin")["starts"]
    assert [(s["checkpoint"], s["updates"]) for s in starts] == [
        ("runs/first/checkpoint_best.pt", 0),
        ("runs/coin/checkpoint_last.pt", 3),
    ]
    assert caplog.text.count("names missing") == 1
    assert starts[0]["validates_on_test"]["test_set"] == "COIN"
    state = read_checkpoint("runs/coin/checkpoint_best.pt")
    assert state["extra_state"]["best"] == state["extra_state"]["val_loss"]

    content = predict.evaluate_job(JOBS / "test_coin_ft.yaml", "runs/coin/checkpoint_best.pt")
    (result,) = content["results"]
    assert result["missing"] == result["unexpected"] == []
    assert 0 <= result["metrics"]["frame_acc"] <= 1
    assert content["selected_on_test"] is True
    assert "reads 'testing'), says runs/coin/run.json" in content["selected_on_test_reason"]
    content = predict.evaluate_job(JOBS / "test_vtt_ft.yaml", "runs/first/checkpoint_best.pt")
    assert content["selected_on_test"] is False


BETTER = {
    "vtt": ("R1", 0.05),
    "vttqa": ("acc", 0.05),
    "coin": ("frame_acc", 0.3),
    "crosstask": ("recall", 0.03),
}
"""Task -> its first number, and by how much it must be better than zero-shot."""


@pytest.mark.slow
def test_the_demo_s_fine_tunings_improve_on_zero_shot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_corpus("data/demo")
    for job in ("videoclip", "norton", *(f"{task}_ft" for task in BETTER)):
        command = [sys.executable, str(REPOSITORY_ROOT / "locallaunch.py"), f"{JOBS}/{job}.yaml"]
        done = subprocess.run(
            [*command, "--jobtype", "local_single"], capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for task, (metric, gain) in BETTER.items():
        before = predict.evaluate_job(
            JOBS / f"test_{task}_norton.yaml", "runs/retri/demo/norton/checkpoint_best.pt"
        )
        folder = Path("runs/retri/demo/norton", task)
        after = predict.evaluate_job(JOBS / f"test_{task}_ft.yaml", folder / "checkpoint_best.pt")
        zero_shot, tuned = (r["results"][0]["metrics"][metric] for r in (before, after))
        assert tuned >= zero_shot + gain, (task, zero_shot, tuned)
        assert (before["selected_on_test"], after["selected_on_test"]) == (False, True)
        assert json.loads((folder / f"results_test_{task}_ft.json").read_text()) == after
