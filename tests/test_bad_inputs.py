"""Bad inputs, from `bad_inputs/*.yaml`: each ends in its one line and leaves nothing behind.

    ID:
      spoil: [[ACTION, argument...], ...]   what is done to files with which all goes well (ACTIONS)
      run: COMMAND argument...              where it is not given: a dry run of train.yaml (DRY_RUN)
      line: TEXT                            the line after `error: `; `…` stands for any text
      stays: [FILE...]                      what the command leaves; where it is not given: nothing

The README's section "Troubleshooting" is made from the same tables, and the last test keeps it so.
"""

import builtins
import errno
import io
import json
import os
import pickle
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.utils.bert import load_tokenizer
from mmpt_cli import (
    extract,
    localjob,
    merge_manifests,
    predict,
    pretokenization,
    shard_feature,
    train,
)
from mmpt_cli.entry import run_command

GROUPS = ("configuration", "data", "preparing", "checkpoints", "launch")
TABLE = {
    group: yaml.safe_load((Path(__file__).parent / f"bad_inputs/{group}.yaml").read_text("utf-8"))
    for group in GROUPS
}
ROWS = {f"{group}: {name}": row for group, rows in TABLE.items() for name, row in rows.items()}
SHARDS = "data/feat/feat_how2_s3d_shard_small"
DRY_RUN = "launch train.yaml --jobtype local_single --dryrun"
TRAINER = [
    *("--user-dir", str(REPOSITORY_ROOT / "mmpt"), "--task", "mmtask", "--arch", "mmarch"),
    *("--criterion", "mmloss", "--cpu", "--num-workers=0", "--batch-size=1", "--max-update=1"),
    *("--optimizer=adam", "--lr=0.001", "--save-dir=runs/new", "--no-progress-bar"),
]
RUN_RECORD = {"runs/new"} | {
    f"runs/new/{name}" for name in ("config.yaml", "run.json", "run.lock", "status.json")
}
"""What says in a run's folder who worked there, and that it failed."""
COMMANDS = {
    "launch": localjob.main,
    "predict": predict.main,
    "train": lambda argv: train.main([*argv, *TRAINER]),
    "train.py": train.main,
    "extract": extract.main,
    "merge-manifests": merge_manifests.main,
    "shard": shard_feature.main,
    "tokenise": pretokenization.main,
}
TRAINING = {
    "common": {"tensorboard_logdir": "run"},
    "optimization": {"max_update": 1},
    "checkpoint": {"save_dir": "runs/new"},
}
TEST = {
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
        "video_encoder_cls": "MMBertForEncoder",
        "text_encoder_cls": "BertModel",
        "num_hidden_video_layers": 2,
    },
    "fairseq": {"dataset": {"batch_size": 7}, "common_eval": {"path": "runs/named.pt"}},
    "eval": {"save_path": "runs/retri"},
    "predictor": "RetrievalPredictor",
    "metric": "RetrievalMetric",
}


@pytest.fixture(scope="module")
def good_files(golden, golden_dir, tinybert, small_video, tmp_path_factory):
    """A corpus, a test set, a checkpoint and a job file for each, with which all goes well."""
    folder = tmp_path_factory.mktemp("good")
    source = golden_dir / "models_data"
    shutil.copytree(source / "corpus", folder / "data")
    shutil.copytree(tinybert, folder / "tinybert")
    (folder / "videos").mkdir()
    shutil.copy(small_video, folder / "videos/one.mp4")
    (folder / "feat").mkdir()
    for name, value in golden("models_data/predictors.npz").items():
        if name.startswith("vtt.feat."):
            np.save(folder / "feat" / f"{name.removeprefix('vtt.feat.')}.npy", value)
    described = json.loads((source / "predictors.json").read_text())
    (folder / "test.csv").write_text("\n".join(described["vtt_csv"]) + "\n")
    (folder / "runs/retri").mkdir(parents=True)
    state = torch.load(source / "pred_separate_state.pt", weights_only=True)
    torch.save({"model": {f"mmmodel.{k}": v for k, v in state.items()}}, folder / "runs/named.pt")
    training = OmegaConf.load(source / "fairseq_ckpt/train_tiny.yaml")
    OmegaConf.save(OmegaConf.merge(training, {"fairseq": TRAINING}), folder / "train.yaml")
    OmegaConf.save(OmegaConf.create(TEST), folder / "test_vtt.yaml")
    how2 = {"split": "test", "test_path": training.dataset.val_path}
    changes = {**TEST, "dataset": OmegaConf.merge(training.dataset, how2)}
    OmegaConf.save(OmegaConf.merge(training, changes), folder / "test_how2.yaml")
    return folder


@pytest.fixture
def place(good_files, tmp_path, monkeypatch):
    """A copy of the good files to spoil, as the working directory."""
    folder = tmp_path / "place"
    shutil.copytree(good_files, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(localjob, "count_gpus", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["command"])
    load_tokenizer.cache_clear()  # kept by the folder's name, which is the same in every place
    return folder


# ---- what is done to the good files ------------------------------------------------------------


def set_key(key, value, job="train.yaml"):
    config = yaml.safe_load(Path(job).read_text())
    *sections, leaf = key.split(".")
    node = config
    for name in sections:
        node = node.setdefault(name, {})
    node[leaf] = value
    Path(job).write_text(yaml.safe_dump(config, allow_unicode=True))


ROLES = ("meta_processor", "video_processor", "text_processor", "aligner")
WINDOWS = ("sliding_window", "sliding_window_size")


def use_task(job):
    """Makes the test job one of another task, as a released job file has it; the files stay."""
    released = yaml.safe_load((REPOSITORY_ROOT / "projects/retri/norton" / job).read_text())
    for key in (*ROLES, *WINDOWS):
        if key in released["dataset"]:
            set_key(f"dataset.{key}", released["dataset"][key], "test_vtt.yaml")
    set_key("model.model_cls", released["model"]["model_cls"], "test_vtt.yaml")
    for key in ("predictor", "metric"):
        set_key(key, released[key], "test_vtt.yaml")


def truncate(path, size):
    content = Path(path).read_bytes()
    assert len(content) > size
    Path(path).write_bytes(content[:size])


def spoil_features(path, how):
    features = np.load(path)
    spoilt = {
        "narrow": lambda: features[:, :500],
        "nan": lambda: features * np.where(np.arange(len(features)) == 2, np.nan, 1)[:, None],
        "empty": lambda: features[:0],
        "integers": lambda: features.astype(np.int64),
    }
    np.save(path, spoilt[how]())


class Code:
    def __reduce__(self):
        return os.getcwd, ()


def spoil_checkpoint(path, how):
    content = torch.load(path, weights_only=True)
    model = content["model"]
    if how == "narrow":
        model["mmmodel.video_encoder.videomlp.linear1.weight"] = torch.zeros(16, 512)
    elif how == "foreign":
        content["model"] = {f"encoder.{number}": torch.zeros(1) for number in range(6)}
    elif how == "empty":
        content["model"] = {}
    else:
        content["args"] = Code()
    torch.save(content, path)


def failing_open(monkeypatch, path, number, failing):
    """From now on, opening a file of that name (or in that folder) ends in an error of the system.

    Taking away permissions would do for most users, but not for root.
    """
    original, target = builtins.open, os.path.abspath(path)

    def opened(file, mode="r", *args, **kwargs):
        if isinstance(file, str | os.PathLike) and mode in failing:
            name = os.path.abspath(file)
            if target in (name, os.path.dirname(name)):
                raise OSError(number, os.strerror(number), str(file))
        return original(file, mode, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(io, "open", opened)


ACTIONS = {
    "set": lambda patch, key, value: set_key(key, value),
    "set_how2": lambda patch, key, value: set_key(key, value, "test_how2.yaml"),
    "set_test": lambda patch, key, value: set_key(key, value, "test_vtt.yaml"),
    "use_task": lambda patch, job: use_task(job),
    "write": lambda patch, path, text: Path(path).write_text(text),
    "write_pickle": lambda patch, path, value: Path(path).write_bytes(pickle.dumps(value)),
    "write_latin1": lambda patch, path, text: Path(path).write_text(text, encoding="latin-1"),
    "copy": lambda patch, source, target: shutil.copyfile(source, target),
    "delete": lambda patch, path: Path(path).unlink(),
    "truncate": lambda patch, path, size: truncate(path, size),
    "features": lambda patch, path, how: spoil_features(path, how),
    "checkpoint": lambda patch, path, how: spoil_checkpoint(path, how),
    "unsafe_pickle": lambda patch, path: Path(path).write_bytes(pickle.dumps(Code())),
    "deny": lambda patch, path: failing_open(patch, path, errno.EACCES, ("r", "rb")),
    "full_disk": lambda patch, path: failing_open(patch, path, errno.ENOSPC, ("w", "wb")),
    "env": lambda patch, name, value: patch.setenv(name, value),
}


def apply(row, monkeypatch):
    for name, *arguments in row.get("spoil", []):
        filled = [a.replace("{shards}", SHARDS) if isinstance(a, str) else a for a in arguments]
        ACTIONS[name](monkeypatch, *filled)


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def as_pattern(line):
    """A line of the table, in which `…` stands for any text, as a regular expression."""
    filled = line.replace("{shards}", SHARDS).replace("{repository}", str(REPOSITORY_ROOT))
    return ".+".join(re.escape(part) for part in filled.split("…"))


# ---- the tests ---------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_one_line(row, place, monkeypatch, capsys):
    apply(row, monkeypatch)
    before = files(place)
    name, *argv = shlex.split(row.get("run", DRY_RUN))
    status = run_command(COMMANDS[name], argv)
    monkeypatch.undo()
    said = capsys.readouterr().err
    assert status == 1, said
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert re.fullmatch(f"error: {as_pattern(row['line'])}", last), last
    assert sum(line.startswith("error: ") for line in said.splitlines()) == 1
    left = files(place) - before - (RUN_RECORD if name == "train" else set())
    assert left == set(row.get("stays", []))


def test_the_good_files_are_good(place, capsys):
    """Else a row could end in its line for another reason."""
    assert run_command(localjob.main, ["train.yaml", "--jobtype", "local_single", "--dryrun"]) == 0
    assert run_command(predict.main, ["test_vtt.yaml"]) == 0
    assert run_command(COMMANDS["train"], ["train.yaml"]) == 0
    videos = ["--vdir", "videos", "--fdir", "new", "--type", "colour_grid"]
    assert run_command(COMMANDS["extract"], videos) == 0
    Path("own.lst").write_text("one\n")
    lists = ["--train_list", "own.lst", "--splits", "train"]
    features = ["--vfeat_dir", "new", "--target_dir", "new"]
    assert run_command(COMMANDS["shard"], [*features, *lists]) == 0


def test_there_are_enough_rows_of_every_kind():
    assert len(ROWS) >= 55
    assert all(len(rows) >= 10 for rows in TABLE.values())


HEADINGS = {
    "configuration": "Job files",
    "data": "Data",
    "preparing": "Preparing data",
    "checkpoints": "Checkpoints",
    "launch": "Launching",
}


@pytest.mark.parametrize("group", TABLE)
def test_the_readme_lists_lines_that_there_are(group):
    """Every line of the README's section on troubleshooting is one of the table's, of its kind."""
    readme = (REPOSITORY_ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Troubleshooting\n")[2].partition("\n## ")[0]
    part = section.partition(f"**{HEADINGS[group]}**")[2].partition("\n**")[0]
    shown = re.findall(r"^\| `([^`]+)` \| .* \| .+ \|$", part, re.MULTILINE)
    assert len(shown) >= 8
    lines = [row["line"] for row in TABLE[group].values()]
    unknown = [s for s in shown if not any(re.fullmatch(as_pattern(s), line) for line in lines)]
    assert unknown == []
