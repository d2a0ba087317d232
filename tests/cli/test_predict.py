"""predict.py: the published numbers through the whole path, and which checkpoints are evaluated."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import CheckpointError, ConfigError, DataError, LaunchError
from mmpt_cli import predict
from mmpt_cli.entry import run_command
from mmpt_cli.evaluation_options import FirstItems


@pytest.fixture
def workspace(tmp_path, golden, golden_dir, tinybert, monkeypatch):
    """The golden MSR-VTT-form test set, a job file for it and one checkpoint."""
    monkeypatch.chdir(tmp_path)
    described = json.loads((golden_dir / "models_data/predictors.json").read_text())
    arrays = golden("models_data/predictors.npz")
    shutil.copytree(tinybert, "tinybert")
    (tmp_path / "feat").mkdir()
    (tmp_path / "test.csv").write_text("\n".join(described["vtt_csv"]) + "\n")
    for name, value in arrays.items():
        if name.startswith("vtt.feat."):
            np.save(tmp_path / "feat" / f"{name.removeprefix('vtt.feat.')}.npy", value)
    config = {
        "dataset": {
            "split": "test",
            "meta_processor": "MSRVTTMetaProcessor",
            "video_processor": "VideoProcessor",
            "text_processor": "MSRVTTTextProcessor",
            "aligner": "DSAligner",
            "bert_name": "tinybert",
            "test_path": "test.csv",
            "vfeat_dir": "feat",
            "max_video_len": 32,
            "max_len": 96,
        },
        "model": {
            "model_cls": "MMFusionSeparate",
            "mm_encoder_cls": None,
            "video_encoder_cls": "MMBertForEncoder",
            "text_encoder_cls": "BertModel",
            "num_hidden_video_layers": 2,
        },
        "fairseq": {
            "dataset": {"batch_size": 3, "valid_subset": "test", "num_workers": 0},
            "common_eval": {"path": "runs/named.pt"},
        },
        "eval": {"save_path": "runs/retri/"},
        "predictor": "RetrievalPredictor",
        "metric": "RetrievalMetric",
    }
    OmegaConf.save(OmegaConf.create(config), tmp_path / "test_vtt.yaml")
    (tmp_path / "runs/retri").mkdir(parents=True)
    state = torch.load(golden_dir / "models_data/pred_separate_state.pt", weights_only=True)
    torch.save({"model": {f"mmmodel.{k}": v for k, v in state.items()}}, "runs/named.pt")
    return tmp_path


def test_published_scores_and_metrics(workspace, golden, golden_dir):
    described = json.loads((golden_dir / "models_data/predictors.json").read_text())["vtt"]
    content = predict.evaluate_job(workspace / "test_vtt.yaml")
    (result,) = content["results"]
    scores = np.load(workspace / "runs/retri" / result["scores"])
    wanted = golden("models_data/predictors.npz")["vtt.outputs"]
    assert np.abs(scores - wanted).max() < 1e-4 * np.abs(wanted).max()
    published = {name: result["metrics"][name] for name in described["metrics"]}
    assert published == described["metrics"]
    low, high = result["intervals"]["R1"]
    assert low <= result["metrics"]["R1"] <= high
    assert result["missing"] == [] and result["unexpected"] == []
    assert result["items"] == 7 and len(result["sha256"]) == 64
    assert content["best"] == 0 and content["selected_on_test"] is False
    stored = json.loads((workspace / "runs/retri/results_test_vtt.json").read_text())
    assert stored == content and stored["config"]["dataset"]["max_len"] == 96


def test_texts_are_those_of_the_table(workspace, golden_dir):
    described = json.loads((golden_dir / "models_data/predictors.json").read_text())["vtt"]
    path = workspace / "test_vtt.yaml"
    job = predict.load_job(path, predict.load_config(config_file=str(path)), None)
    model = job.task.build_model("runs/named.pt")
    outputs = job.evaluator.predictor.predict_loop(model, job.loader, None)
    assert outputs["texts"] == described["texts"]
    assert outputs["video_ids"] == described["video_ids"]


def test_every_checkpoint_once_and_the_best_is_named(workspace, capsys):
    other = torch.load("runs/named.pt", weights_only=True)
    other["model"] = {name: 0 * value for name, value in other["model"].items()}
    torch.save(other, "runs/retri/checkpoint1.pt")
    shutil.copy("runs/named.pt", "runs/retri/checkpoint2.pt")
    shutil.copy("runs/named.pt", "runs/retri/checkpoint_last.pt")
    content = predict.evaluate_job(workspace / "test_vtt.yaml")
    names = [entry["checkpoint"] for entry in content["results"]]
    assert names == [
        "runs/retri/checkpoint1.pt",
        "runs/retri/checkpoint2.pt",
        "runs/retri/checkpoint_last.pt",
        "runs/named.pt",
    ]
    printed = capsys.readouterr().out
    assert printed.count("the same content as runs/retri/checkpoint2.pt") == 2
    assert "chosen on the test set itself" in printed and content["selected_on_test"]
    best = content["results"][content["best"]]["metrics"]["R1"]
    assert best == max(entry["metrics"]["R1"] for entry in content["results"])


def test_folder_called_eval_looks_in_its_parent_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/eval/checkpoint1.pt", "runs/checkpoint_best.pt", "runs/results.pt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    config = OmegaConf.create(
        {
            "eval": {"save_path": "runs/eval"},
            "fairseq": {"common_eval": {"path": "runs/../runs/checkpoint_best.pt"}},
        }
    )
    found = predict.find_checkpoints(config)
    assert [str(p) for p in found] == ["runs/eval/checkpoint1.pt", "runs/checkpoint_best.pt"]


def test_options(workspace):
    out = workspace / "elsewhere"
    arguments = ["test_vtt.yaml", "--checkpoint", "runs/named.pt", "--out", str(out)]
    assert predict.main([*arguments, "--device", "cpu"]) == 0
    assert (out / "results_test_vtt.json").is_file() and (
        out / "scores_test_vtt_named.npy"
    ).is_file()
    assert list((workspace / "runs/retri").iterdir()) == []


def test_a_limited_run_says_so_and_leaves_the_full_results_alone(workspace, golden, capsys):
    full = predict.evaluate_job(workspace / "test_vtt.yaml")
    before = (workspace / "runs/retri/results_test_vtt.json").read_bytes()
    assert predict.main(["test_vtt.yaml", "--limit", "4"]) == 0
    printed = capsys.readouterr().out
    assert "test_vtt: runs/named.pt (--limit 4: 4 of 7 items)" in printed
    assert "results: runs/retri/results_test_vtt.limit4.json" in printed
    stored = json.loads((workspace / "runs/retri/results_test_vtt.limit4.json").read_text())
    assert (full["limit"], stored["limit"], stored["results"][0]["items"]) == (None, 4, 4)
    scores = np.load(workspace / "runs/retri" / stored["results"][0]["scores"])
    wanted = golden("models_data/predictors.npz")["vtt.outputs"][:4, :4]
    assert np.abs(scores - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert (workspace / "runs/retri/results_test_vtt.json").read_bytes() == before


def test_a_limit_beyond_the_end_takes_all(workspace, capsys):
    content = predict.evaluate_job(workspace / "test_vtt.yaml", limit=100)
    assert content["results"][0]["items"] == 7 and content["limit"] == 100
    assert "(--limit 100: 7 of 7 items)" in capsys.readouterr().out


class Clips:
    """Clips of videos a, b, a, c, c, as a data set."""

    collater = None

    def __init__(self):
        self.meta_processor = [((video, 0, 1), "text") for video in "abacc"]

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index


def test_a_limit_of_whole_videos_leaves_out_those_that_it_cuts():
    def kept(limit, metric="FullVideoRetrievalMetric"):
        first = FirstItems(Clips(), limit, metric)
        return [first[place] for place in range(len(first))]

    assert [kept(limit) for limit in (2, 3, 4, 5, 6)] == [
        [1],
        [0, 1, 2],
        [0, 1, 2],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4],
    ]
    assert kept(2, "RetrievalMetric") == [0, 1]
    said = str(FirstItems(Clips(), 4, "FullVideoRetrievalMetric"))
    assert said == "3 of 5 items; 1 left out, of videos that the limit cuts"
    with pytest.raises(DataError, match=r"^--limit 1: no video has all of its clips among the fi"):
        FirstItems(Clips(), 1, "FullVideoRetrievalMetric")


@pytest.mark.parametrize("limit", ["0", "-3", "1.5", "all", ""])
def test_a_limit_is_a_whole_number(workspace, limit, capsys):
    assert run_command(predict.main, ["test_vtt.yaml", f"--limit={limit}"]) == 2
    assert f"argument --limit: {limit!r} is no whole number from 1" in capsys.readouterr().err
    assert list((workspace / "runs/retri").iterdir()) == []


def put_in_a_run(folder, record=None, config=None, name="checkpoint_best.pt"):
    """The workspace's checkpoint as that of a training whose record or config says this."""
    os.makedirs(folder, exist_ok=True)
    shutil.copy("runs/named.pt", f"{folder}/{name}")
    if record is not None:
        starts = [{"validates_on_test": said} for said in record]
        with open(f"{folder}/run.json", "w", encoding="utf-8") as file:
            json.dump({"form": 1, "starts": starts}, file)
    if config is not None:
        OmegaConf.save(OmegaConf.create(config), f"{folder}/config.yaml")
    return f"{folder}/{name}"


ON_TEST = {"test_set": "MSR-VTT", "why": "why"}
TRAINING = {
    "dataset": {"meta_processor": "MSRVTTMetaProcessor", "val_path": "MSRVTT_JSFUSION_test.csv"},
    "loss": {"loss_cls": "T2VContraLoss"},
}


@pytest.mark.parametrize(
    ("run", "source"),
    [
        ({"record": [None, ON_TEST, None]}, "run.json"),
        ({"config": TRAINING}, "config.yaml"),
        ({"config": TRAINING, "record": [None]}, None),
        ({"record": [{**ON_TEST, "test_set": "COIN"}]}, None),
        ({"record": [ON_TEST], "name": "checkpoint_last.pt"}, None),
        ({"config": {**TRAINING, "dataset": {"val_path": "own.csv"}}}, None),
        ({}, None),
    ],
)
def test_a_checkpoint_that_was_chosen_on_the_test_set(workspace, run, source, capsys):
    file = put_in_a_run("runs/ft", **run)
    content = predict.evaluate_job(workspace / "test_vtt.yaml", file)
    reason = content["selected_on_test_reason"]
    assert content["selected_on_test"] is (source is not None)
    assert content["results"][0]["selected_on_test_reason"] == reason
    if source is None:
        assert reason is None
        return
    assert reason.startswith(
        "the training of this checkpoint_best validated on the test set of MSR-VTT ("
    )
    assert reason.endswith(f", says runs/ft/{source}")
    assert f"chosen on the test set: {reason}\n" in capsys.readouterr().out


def test_another_name_of_the_best_checkpoint(workspace):
    best = put_in_a_run("runs/ft", record=[ON_TEST])
    os.link(best, "runs/ft/checkpoint7.pt")
    content = predict.evaluate_job(workspace / "test_vtt.yaml", "runs/ft/checkpoint7.pt")
    assert content["selected_on_test"] is True


def test_a_broken_checkpoint_does_not_cost_the_others_their_results(workspace, capsys):
    (workspace / "runs/retri/checkpoint1.pt").write_bytes(b"hello")
    shutil.copy("runs/named.pt", "runs/retri/checkpoint2.pt")
    assert run_command(predict.main, ["test_vtt.yaml"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "error: 1 of 3 checkpoints could not be evaluated (checkpoint runs/retri/"
    )
    stored = json.loads((workspace / "runs/retri/results_test_vtt.json").read_text())
    assert [entry["checkpoint"] for entry in stored["results"]] == [
        "runs/retri/checkpoint2.pt",
        "runs/named.pt",
    ]
    assert [entry["checkpoint"] for entry in stored["failed"]] == ["runs/retri/checkpoint1.pt"]
    assert "cannot be read" in stored["failed"][0]["error"]


def spoil_weights(path, name="mmmodel.video_encoder.videomlp.linear1.weight"):
    content = torch.load("runs/named.pt", weights_only=True)
    content["model"][name] = content["model"][name] * torch.nan
    torch.save(content, path)


def test_a_checkpoint_with_nan_is_named_and_leaves_no_scores(workspace):
    spoil_weights("runs/named.pt")
    with pytest.raises(CheckpointError) as caught:
        predict.evaluate_job(workspace / "test_vtt.yaml")
    assert str(caught.value).startswith("checkpoint runs/named.pt: 1 of ")
    assert "hold NaN or inf, first video_encoder.videomlp.linear1.weight" in str(caught.value)
    assert list((workspace / "runs/retri").iterdir()) == []


def test_a_checkpoint_with_nan_does_not_cost_the_others_their_results(workspace, capsys):
    spoil_weights("runs/retri/checkpoint1.pt")
    assert run_command(predict.main, ["test_vtt.yaml"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: 1 of 2 checkpoints could not be evaluated (checkpoint runs/ret")
    assert sorted(p.name for p in (workspace / "runs/retri").iterdir()) == [
        "checkpoint1.pt",
        "results_test_vtt.json",
        "scores_test_vtt_named.json",
        "scores_test_vtt_named.npy",
    ]


def test_features_that_overflow_name_the_videos(workspace):
    for name in ("video3", "video1"):
        np.save(f"feat/{name}.npy", np.load(f"feat/{name}.npy").astype(np.float32) * 1e30)
    with pytest.raises(DataError) as caught:
        predict.evaluate_job(workspace / "test_vtt.yaml")
    said = str(caught.value)
    assert said.startswith("retrieval: videos: the model gives NaN or inf for 2 of 7: video")
    assert "video1" in said and "video3" in said and said.endswith("(checkpoint runs/named.pt)")
    assert list((workspace / "runs/retri").iterdir()) == []


def test_only_broken_checkpoints(workspace):
    for name in ("runs/retri/checkpoint1.pt", "runs/named.pt"):
        (workspace / name).write_bytes(b"hello")
    with pytest.raises(CheckpointError, match=r"^checkpoint runs/named.pt cannot be read"):
        predict.evaluate_job(workspace / "test_vtt.yaml")
    assert not list((workspace / "runs/retri").glob("results*"))


def test_the_folder_of_results_is_tried_first(workspace, monkeypatch):
    monkeypatch.setattr(predict, "load_job", lambda *args: pytest.fail("built the test set"))
    with pytest.raises(LaunchError, match=r"test.csv/out: results cannot be written there"):
        predict.evaluate_job(workspace / "test_vtt.yaml", out=workspace / "test.csv/out")


def test_a_folder_made_for_results_that_never_came_goes_again(workspace):
    (workspace / "feat/video3.npy").unlink()
    with pytest.raises(DataError):
        predict.evaluate_job(workspace / "test_vtt.yaml", out=workspace / "new/results")
    assert not (workspace / "new").exists()


def test_as_a_script_from_anywhere(tmp_path):
    script = str(REPOSITORY_ROOT / "mmpt_cli/predict.py")
    run = subprocess.run(
        [sys.executable, script, "nothing.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert run.stderr.startswith("error: no job file 'nothing.yaml'")


def test_vis_job_only_predicts(workspace):
    config = OmegaConf.load("test_vtt.yaml")
    del config["metric"]
    OmegaConf.save(config, "vis_vtt.yaml")
    content = predict.evaluate_job(workspace / "vis_vtt.yaml")
    assert content["results"][0]["metrics"] == {}
    assert (workspace / "runs/retri/scores_vis_vtt_named.npy").is_file()


def test_no_checkpoint(workspace):
    (workspace / "runs/named.pt").unlink()
    with pytest.raises(CheckpointError, match=r"looked at runs/retri/checkpoint\*.pt, runs/named"):
        predict.evaluate_job(workspace / "test_vtt.yaml")
    assert list((workspace / "runs/retri").iterdir()) == []


def test_all_job_files_are_looked_at_before_the_first_is_evaluated(workspace, capsys):
    for names in (["test_vtt.yaml,test_vtx.yaml"], ["test_vtt.yaml", "test_vtx.yaml"]):
        assert run_command(predict.main, names) == 1
        said = capsys.readouterr().err
        assert "error: no job file 'test_vtx.yaml' (did you mean test_vtt.yaml?)" in said
    assert list((workspace / "runs/retri").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test_vtt.yaml", "--checkpoint", ""], "argument --checkpoint: an empty name; give one, "),
        (["test_vtt.yaml", "--out", " "], "argument --out: an empty name; give one, or leave"),
        ([""], "no job file is named"),
        ([",", ""], "no job file is named"),
    ],
)
def test_empty_names(workspace, arguments, message, capsys):
    before = sorted(workspace.rglob("*"))
    assert run_command(predict.main, arguments) == 2
    assert message in capsys.readouterr().err
    assert sorted(workspace.rglob("*")) == before


@pytest.mark.parametrize("device", ["mps", "meta", "xpu:0"])
def test_other_devices(workspace, device):
    with pytest.raises(LaunchError, match=rf"^--device {device}: .*use cuda, cuda:N or cpu$"):
        predict.evaluate_job(workspace / "test_vtt.yaml", device=device)


def test_a_pipe_or_a_folder_is_no_checkpoint(workspace):
    (workspace / "runs/named.pt").unlink()
    os.mkfifo("runs/named.pt")
    with pytest.raises(CheckpointError, match=r"^checkpoint runs/named.pt is a pipe; name a file$"):
        predict.evaluate_job(workspace / "test_vtt.yaml")
    (workspace / "runs/named.pt").unlink()
    (workspace / "runs/named.pt").mkdir()
    with pytest.raises(CheckpointError, match=r"named.pt is a folder; name a file in it"):
        predict.evaluate_job(workspace / "test_vtt.yaml")


def test_wrong_input(workspace, capsys):
    (workspace / "job.yaml").write_bytes((workspace / "test_vtt.yaml").read_bytes())
    with pytest.raises(ConfigError, match=r"is called test\*.yaml"):
        predict.evaluate_job(workspace / "job.yaml")
    if not torch.cuda.is_available():
        with pytest.raises(LaunchError, match="no CUDA device"):
            predict.evaluate_job(workspace / "test_vtt.yaml", device="cuda")
    (workspace / "feat/video3.npy").unlink()
    with pytest.raises(DataError, match=r"video3"):
        predict.evaluate_job(workspace / "test_vtt.yaml")
    assert run_command(predict.main, ["test_vtt.yaml"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "video3" in last


@pytest.mark.parametrize("damage", ["width", "nan"])
def test_broken_features_are_named(workspace, damage):
    features = np.load("feat/video2.npy")
    features = features[:, :500] if damage == "width" else features * np.nan
    np.save("feat/video2.npy", features)
    with pytest.raises(DataError, match=r"video2.npy"):
        predict.evaluate_job(workspace / "test_vtt.yaml")
