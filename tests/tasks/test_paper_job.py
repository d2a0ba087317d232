"""The paper's pretraining job, its file unchanged, on a made corpus in the true forms."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.demo import make_corpus
from mmpt.io.candidates import candidates_path, read_candidates

JOB = REPOSITORY_ROOT / "projects/retri/norton/how2_pretrain.yaml"
VIDEOS = 512
EPOCHS, BATCHES, SIZE = 6, 8, 64  # as the file says: 512 videos are 8 batches of 64


FIRST_STAGE = f"""
includes: {JOB}
retri_epoch: null
fairseq:
  optimization: {{max_update: 1}}
  checkpoint:
    save_dir: runs/retri/videoclip
    restore_file: null
    reset_optimizer: null
    reset_dataloader: null
    reset_meters: null
"""
"""Makes what stands for VideoCLIP's checkpoint: one update from random weights."""


def launch(job) -> str:
    """Trains a job as a user does; what it said."""
    command = [sys.executable, str(REPOSITORY_ROOT / "locallaunch.py"), str(job)]
    done = subprocess.run(
        [*command, "--jobtype", "local_single"], capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_how2_pretrain_as_it_stands(tmp_path, monkeypatch):
    """Six epochs of retrieved batches of 64 videos x 16 clips, with 4 loader workers."""
    monkeypatch.chdir(tmp_path)
    make_corpus("data", videos=VIDEOS, bert_name="bert-base-uncased", bert_hidden=16,
                test_videos=1, finetune_videos=1, align_videos=1)  # fmt: skip
    Path("pretrained_models").mkdir()
    Path("pretrained_models/bert-base-uncased").symlink_to("../data/bert-base-uncased")
    Path("videoclip.yaml").write_text(FIRST_STAGE)
    launch("videoclip.yaml")
    said = launch(JOB)
    run = Path("runs/retri/norton")
    status = json.loads((run / "status.json").read_text())
    assert (status["updates"], status["epoch"]) == (EPOCHS * BATCHES, EPOCHS)
    for epoch in range(1, EPOCHS + 1):
        batches = read_candidates(candidates_path(run, epoch, 0)).batches
        assert len(batches) == BATCHES
        assert all(len(batch) == len(set(batch)) == SIZE for batch in batches)
        assert f"epoch {epoch}: {BATCHES} retrieved batches of videos" in said
    assert (run / "checkpoint_best.pt").is_file()
