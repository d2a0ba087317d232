"""eval_zeroshot_align.py: the published numbers through the real model, files and command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmpt.evaluators.htm_align import load_alignments
from mmpt_cli import eval_align, predict
from mmpt_cli.entry import run_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stored(golden_dir):
    return json.loads((golden_dir / "models_data/htm_align.json").read_text())["e2e"]


@pytest.fixture
def workspace(tmp_path, golden, golden_dir, stored, tinybert, monkeypatch):
    """The stored annotation, features and model, under the keys of the published job file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "how2-align").mkdir()
    for name, value in golden("models_data/htm_e2e.npz").items():
        if name.startswith("feat."):
            np.save(f"how2-align/{name.removeprefix('feat.')}.npy", value)
    (tmp_path / "how2-align/htm_align.json").write_text(json.dumps(stored["anno"]))
    shutil.copytree(tinybert, "tinybert")
    config = OmegaConf.load(ROOT / "projects/retri/norton/test_how2align_zs.yaml")
    changes = {
        "dataset": {
            "bert_name": "tinybert",
            "anno_path": "how2-align/htm_align.json",
            "vfeat_dir": "how2-align",
        },
        "model": {"num_hidden_video_layers": 2},
        "fairseq": {"dataset": {"num_workers": 0}},
    }
    OmegaConf.save(OmegaConf.merge(config, changes), "test_align.yaml")
    state = torch.load(golden_dir / "models_data/htm_model_state.pt", weights_only=True)
    (tmp_path / "runs/retri/norton").mkdir(parents=True)
    path = "runs/retri/norton/checkpoint_best.pt"
    torch.save({"model": {f"mmmodel.{k}": v for k, v in state.items()}}, path)
    return tmp_path


def read_results(folder="runs/retri/norton"):
    return json.loads(Path(folder, "results_test_align.json").read_text())


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (eval_align.main, ["test_align.yaml"]),
        (eval_align.main, ["--taskconfig", "test_align.yaml", "--device", "cpu"]),
        (predict.main, ["test_align.yaml"]),
    ],
)
def test_published_numbers(workspace, stored, golden, main, arguments):
    assert run_command(main, arguments) == 0
    (result,) = read_results()["results"]
    assert result["metrics"] == pytest.approx(stored["metric"], abs=1e-12)
    assert result["items"] == 2 and result["missing"] == result["unexpected"] == []
    folder = workspace / "runs/retri/norton" / result["scores"]
    assert folder.name == "scores_test_align_checkpoint_best"
    arrays, videos = golden("models_data/htm_e2e.npz"), load_alignments(folder)
    assert list(videos) == ["e0", "e1"]
    for video_id, video in videos.items():
        wanted = arrays[f"sim.{video_id}"]
        assert np.array_equal(video.coverage > 0, wanted > -6e4)
        np.testing.assert_allclose(video.similarity, wanted, atol=1e-5, rtol=0)
        assert video.texts == [row[3] for row in stored["anno"][video_id]]
        assert video.sentences.tolist() == [row[:3] for row in stored["anno"][video_id]]


def test_workers_and_small_batches_change_nothing(workspace, stored):
    config = OmegaConf.load("test_align.yaml")
    config.fairseq.dataset = {"batch_size": 3, "valid_subset": "test", "num_workers": 1}
    OmegaConf.save(config, "test_align.yaml")
    out = str(workspace / "elsewhere")
    assert run_command(eval_align.main, ["test_align.yaml", "--out", out]) == 0
    (result,) = read_results(out)["results"]
    assert result["metrics"] == pytest.approx(stored["metric"], abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["test_other.yaml"], 1, "test_other.yaml: predictor is RetrievalPredictor; eval_zeroshot"),
        (["train.yaml"], 1, "train.yaml: a job file to evaluate is called test*.yaml"),
        (["test_align.yaml", "--out", ""], 2, "argument --out: an empty name; give one, or leave"),
        (["test_align.yaml", "--checkpoint", ""], 2, "argument --checkpoint: an empty name"),
        ([], 2, "one of the arguments yaml --taskconfig is required"),
        (["test_align.yaml", "--taskconfig", "test_align.yaml"], 2, "not allowed with"),
        (["no.yaml"], 1, "no.yaml"),
    ],
)
def test_wrong_commands(workspace, capsys, arguments, status, message):
    config = OmegaConf.load("test_align.yaml")
    OmegaConf.save(config, "train.yaml")
    config.predictor, config.metric = "RetrievalPredictor", "RetrievalMetric"
    OmegaConf.save(config, "test_other.yaml")
    assert run_command(eval_align.main, arguments) == status
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_features_that_overflow_name_the_video(workspace, capsys):
    features = np.load("how2-align/e1.npy").astype(np.float32)
    np.save("how2-align/e1.npy", features * 1e30)
    assert run_command(eval_align.main, ["test_align.yaml"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "error: HTM-Align: videos: the model gives NaN or inf for 1 of 2: e1; look at"
    )
    assert "checkpoint runs/retri/norton/checkpoint_best.pt" in last
    assert [p.name for p in Path("runs/retri/norton").iterdir()] == ["checkpoint_best.pt"]


def test_missing_features_are_counted(workspace, capsys):
    (workspace / "how2-align/e1.npy").unlink()
    assert run_command(eval_align.main, ["test_align.yaml"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: how2-align: 1 of the 2 videos of how2-align/htm_align.json")
    assert "e1" in last and not (workspace / "runs/retri/norton/results_test_align.json").exists()


def test_the_file_at_the_root_is_that_command():
    command = [sys.executable, "eval_zeroshot_align.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "--taskconfig" in done.stdout
