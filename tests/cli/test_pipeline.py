"""Pipelines: derived files, their order, and runs that write nothing they should not."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mmpt.config import ConfigError, load_config
from mmpt_cli import localjob

PIPELINE = """
base_dir: task
project_dir: mine
task_group:
  pretrain:
    task_list: [how2.yaml]
    dataset: {max_len: 64}
  eval:
    task_list: [test_a.yaml, test_b.yaml]
    fairseq: {dataset: {batch_size: 4}}
run_task:
  - how2.yaml
  - [test_a.yaml, test_b.yaml]
"""

MODEL = """
model:
  model_cls: MMFusionSeparate
  video_encoder_cls: MMBertForEncoder
  text_encoder_cls: BertModel
"""

DEFAULT = (
    MODEL
    + """
task_type: local_single
num_cands: 7
dataset:
  meta_processor: How2MetaProcessor
  video_processor: ShardedVideoProcessor
  text_processor: ShardedTextProcessor
  aligner: FixedLenAligner
loss: {loss_cls: T2VContraLoss}
fairseq:
  dataset: {batch_size: 1, disable_validation: true}
  optimization: {optimizer: adam}
"""
)

TEST = (
    MODEL
    + """
dataset: {split: test}
predictor: RetrievalPredictor
metric: RetrievalMetric
fairseq: {common_eval: {path: runs/task/checkpoint_best.pt}}
"""
)

HOW2 = """
includes: projects/task/default.yaml
dataset: {max_len: 48, train_path: data/runs/task}
fairseq: {checkpoint: {save_dir: runs/task/, restore_file: runs/taskmaster/x.pt}}
eval: {save_path: runs/task}
restore_optional: true
"""

FAKE = """
import re, sys
with open("calls", "a") as stream:
    print(sys.argv[1], file=stream)
sys.exit(3 if sys.argv[1].endswith(FAILS) else 0)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(localjob, "count_gpus", lambda: 0)
    base = tmp_path / "projects/task"
    base.mkdir(parents=True)
    (base / "default.yaml").write_text(DEFAULT)
    (base / "how2.yaml").write_text(HOW2)
    for name in ("test_a.yaml", "test_b.yaml"):
        (base / name).write_text(TEST)
    (tmp_path / "pipe.yaml").write_text(PIPELINE)
    (tmp_path / "mmpt_cli").mkdir()
    for name in ("train.py", "mmpt_cli/predict.py"):
        (tmp_path / name).write_text(FAKE.replace("FAILS", "'none'"))
    return tmp_path


def tree(folder):
    return sorted((str(p), p.stat().st_mtime_ns) for p in folder.rglob("*"))


def test_generate_writes_and_runs_nothing(folder):
    assert localjob.main(["pipe.yaml", "--generate"]) == 0
    assert not Path("calls").exists()
    assert sorted(p.name for p in Path("projects/mine").iterdir()) == [
        "how2.yaml",
        "test_a.yaml",
        "test_b.yaml",
    ]
    how2 = OmegaConf.to_container(load_config(config_file="projects/mine/how2.yaml"))
    base = OmegaConf.to_container(OmegaConf.create(DEFAULT))
    assert how2 == {
        **base,
        # whatever starts with `runs/task` moves, as published; not inside another path
        "dataset": {**base["dataset"], "max_len": 64, "train_path": "data/runs/task"},
        "fairseq": {
            **base["fairseq"],
            "checkpoint": {"save_dir": "runs/mine/", "restore_file": "runs/minemaster/x.pt"},
        },
        "eval": {"save_path": "runs/mine"},
        "restore_optional": True,
    }
    test = load_config(config_file="projects/mine/test_a.yaml")
    assert test.fairseq.common_eval.path == "runs/mine/checkpoint_best.pt"
    assert test.fairseq.dataset.batch_size == 4


def test_a_dry_run_prints_both_and_writes_nothing(folder, capsys):
    before = tree(folder)
    assert localjob.main(["pipe.yaml", "--dryrun"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "# writes projects/mine/how2.yaml",
        "# writes projects/mine/test_a.yaml",
        "# writes projects/mine/test_b.yaml",
    ]
    assert "train.py projects/mine/how2.yaml" in lines[3]
    assert [line.split()[-1] for line in lines[4:]] == [
        "projects/mine/test_a.yaml",
        "projects/mine/test_b.yaml",
    ]
    assert localjob.main(["pipe.yaml", "--dryrun", "--generate"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[:3]
    assert tree(folder) == before


def test_a_real_run_writes_and_runs_the_stages_in_order(folder):
    assert localjob.main(["pipe.yaml"]) == 0
    assert Path("calls").read_text().split() == [
        f"projects/mine/{name}.yaml" for name in ("how2", "test_a", "test_b")
    ]


def test_it_stops_at_the_first_failure(folder):
    Path("mmpt_cli/predict.py").write_text(FAKE.replace("FAILS", "'test_a.yaml'"))
    assert localjob.main(["pipe.yaml"]) == 3
    assert Path("calls").read_text().split() == [
        "projects/mine/how2.yaml",
        "projects/mine/test_a.yaml",
    ]


def test_a_file_that_is_already_there_can_be_run(folder):
    Path("projects/mine").mkdir()
    Path("projects/mine/test_c.yaml").write_text(TEST)
    Path("pipe.yaml").write_text(PIPELINE.replace("- how2.yaml", "- test_c.yaml"))
    assert localjob.main(["pipe.yaml"]) == 0
    assert Path("calls").read_text().split()[0] == "projects/mine/test_c.yaml"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("- how2.yaml", "- how.yaml", "run_task: 'how.yaml' is in no task_list.*how2.yaml"),
        ("[test_a.yaml, test_b.yaml]\n    f", "[how2.yaml]\n    f", "how2.yaml stands in two"),
        ("{max_len: 64}", "{max_ln: 64}", r"pipe.yaml, task_group.pretrain: .*mean max_len"),
        ("{max_len: 64}", "{clip_per_video: 0}", r"task_group.pretrain: dataset.clip_per_video"),
        (
            "{max_len: 64}",
            "{max_video_len: 64}",
            r"projects/mine/how2.yaml \(from pipe.yaml, task_group.pretrain\): dataset.max_len",
        ),
        ("[how2.yaml]", "[nothing.yaml]", "no job file 'projects/task/nothing.yaml'"),
    ],
)
def test_mistakes_leave_nothing_behind(folder, old, new, expected):
    Path("pipe.yaml").write_text(PIPELINE.replace(old, new))
    before = tree(folder)
    with pytest.raises(ConfigError, match=expected):
        localjob.main(["pipe.yaml"])
    assert tree(folder) == before


def test_generate_needs_pipelines_only(folder):
    with pytest.raises(ValueError, match=r"projects/task/test_a.yaml: --generate is for pipeline"):
        localjob.main(["pipe.yaml,projects/task/test_a.yaml", "--generate"])
