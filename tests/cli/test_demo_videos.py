"""The demo from videos: its steps on a handful of films, its table, its verdict."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mmpt.config import load_config
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.demo.clips import ClipCorpus, films, make_clips
from mmpt.errors import LaunchError
from mmpt.utils.shardedtensor import ShardedTensor
from mmpt_cli import demo, demo_videos
from mmpt_cli.demo_run import Row, table
from mmpt_cli.demo_videos import COLUMNS, by_chance, chance, foot, verdict


def rows(first, second, best=0.3):
    found = []
    for name, recall in (("untrained", 0.25), ("one", first), ("two", second)):
        found.append(Row(name, {"R1": best, "R5": recall, "R10": 0.9, "MR": 2.0}))
    return [*found, chance(24)]


def test_probability_by_chance_is_the_binomial_tail():
    assert by_chance(0.0, 5, 24) == pytest.approx(1.0)
    assert by_chance(1.0, 1, 4) == pytest.approx(0.25**4)
    draws = np.random.default_rng(0).random((20000, 24)) < 5 / 24
    assert by_chance(8 / 24, 5, 24) == pytest.approx((draws.sum(1) >= 8).mean(), abs=0.01)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (rows(0.75, 0.75), None),
        (rows(0.25, 0.75), "R@5 of one is 0.25, which chance gives with 0.4"),
        (rows(0.75, 0.42), "R@5 of two is 0.42"),
        (rows(0.75, 0.75, best=0.04), "R@1 of one is 0.04, no better than chance"),
    ],
)
def test_verdict(made, problem):
    said = verdict(made, 24)
    assert said is None if problem is None else problem in said


def test_table_ends_with_chance_and_its_foot_says_what_is_not_there():
    lines = table(rows(0.75, 0.75), COLUMNS).splitlines()
    assert lines[0] == "| zero-shot | R@1 | R@5 | R@10 | median rank |"
    assert lines[-1] == "| chance | 0.04 | 0.21 | 0.42 | 12.5 |"
    clips = ClipCorpus(0, 48, 96.0, ["v"] * 24, "no network")
    said = foot(rows(0.75, 0.75), clips).splitlines()
    assert said[1] == "one: an R@5 of 0.75 comes by chance with probability 2e-08"
    assert said[-1] == "rendered clips only: no network"
    assert "rendered clips" not in foot(rows(0.75, 0.75), clips._replace(without_real=None))


def test_the_command_line_picks_the_demo(monkeypatch):
    monkeypatch.setattr(demo.demo_videos, "run", lambda: 7)
    monkeypatch.setattr(demo.demo_run, "run", lambda: 8)
    assert demo.main(["run", "--from-videos"]) == 7
    assert demo.main(["run"]) == 8


def test_a_command_that_fails_ends_the_demo():
    def main(argv):
        return 3

    with pytest.raises(LaunchError, match="--fdir x ended with status 3"):
        demo_videos.command(main, ["--fdir", "x"])


def test_from_films_to_shards_with_a_network_that_needs_no_weights(tmp_path, monkeypatch, capsys):
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(films, "TRAINING", (2, 2))
    monkeypatch.setattr(films, "CHECKING", (1, 1))
    monkeypatch.setattr(films, "COLOURS", ("red", "blue"))
    monkeypatch.setattr(films, "GROUNDS", ("sand",))
    monkeypatch.setattr("mmpt.demo.clips.corpus.fetch_real", lambda cache, folder: "no network")
    corpus = demo_videos.CORPUS
    made = make_clips(corpus)
    demo_videos.prepare(corpus, ["--type", "colour_grid", "--device", "cpu"])
    shards = corpus / "feat/shards"
    assert ShardedTensor.load(shards / "train_0").lengths().tolist() == [2, 2]
    tokens = ShardedTensor.load(shards / "sentencified_htm_1200k.tinybert.train_0.caps_ids")
    assert tokens.lengths().tolist() == [2, 2]
    for video_id in made.test:
        assert len(np.load(corpus / f"feat/s3d/{video_id}.npy")) == 1
    said = capsys.readouterr().out
    assert "[2/9] features" in said
    assert "[5/9] lists, feature shards" in said
    assert "problem" not in said


@pytest.mark.parametrize("stage", ["videoclip", "norton"])
def test_jobs_change_only_what_they_may(stage, monkeypatch):
    """Data, sizes, how clips are drawn, learning rate, the trainer's limits, retrieval."""
    monkeypatch.chdir(REPOSITORY_ROOT)
    real = load_config(config_file=f"projects/retri/{stage}/how2_pretrain.yaml")
    ours = load_config(config_file=f"projects/retri/demo_videos/{stage}.yaml")
    assert ours.loss == real.loss
    assert ours.get("retri_epoch") == {"videoclip": None, "norton": real.retri_epoch}[stage]
    assert ours.model.get("layernorm_only") == real.model.get("layernorm_only")
    for key in ("meta_processor", "video_processor", "text_processor", "max_video_len", "max_len"):
        assert ours.dataset[key] == real.dataset[key]
    for key in ("optimizer", "adam_betas", "clip_norm", "weight_decay", "ddp_backend"):
        assert ours.fairseq.optimization[key] == real.fairseq.optimization[key]
    test = load_config(config_file=f"projects/retri/demo_videos/test_vtt_{stage}.yaml")
    assert test.fairseq.common_eval.path == f"runs/retri/demo_videos/{stage}/checkpoint_last.pt"


@pytest.mark.slow
def test_the_whole_way_from_videos_is_above_chance(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)}
    command = [sys.executable, "-m", "mmpt_cli.main", "demo", "run", "--from-videos"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "| stage 2, Norton |" in done.stdout
