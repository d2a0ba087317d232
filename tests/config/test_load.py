"""Includes, merging, reading without side effects, and the folder of a run."""

import argparse
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from mmpt.config import ConfigError, load_config, prepare_run, recursive_config, with_run_folder
from mmpt.config.load import REPOSITORY_ROOT

TRAINING = """
dataset: {subsampling: 4}
fairseq:
  common: {tensorboard_logdir: run, fp16: true}
  dataset: {batch_size: 32, num_workers: 0}
  optimization: {lr: [1.0e-5]}
  checkpoint: {save_dir: runs/x/}
"""


def listing(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_the_including_file_is_merged_over_its_base(job):
    job("{dataset: {max_len: 48, bert_name: a}, loss: {sequence_contrast: {scale: 1}}}", "a.yaml")
    job("{includes: a.yaml, dataset: {bert_name: b}, model: {compile: true}}", "b.yaml")
    job("{includes: b.yaml, loss: {sequence_contrast: null}, num_cands: 4}", "sub/c.yaml")
    expected = {
        "dataset": {"max_len": 48, "bert_name": "b"},
        "loss": {"sequence_contrast": None},
        "model": {"compile": True},
        "num_cands": 4,
    }
    assert OmegaConf.to_container(recursive_config("sub/c.yaml")) == expected
    assert OmegaConf.to_container(load_config(config_file="sub/c.yaml")) == expected


def test_includes_are_found_in_the_repository_from_anywhere(job):
    name = job("{includes: projects/retri/norton/vtt_ft.yaml, num_cands: 4}")
    config = load_config(config_file=name)
    assert config.dataset.dup == 20
    assert config.num_cands == 4


def test_the_working_directory_wins_over_the_repository(job):
    job("num_cands: 5", "projects/retri/norton/vtt_ft.yaml")
    name = job("includes: projects/retri/norton/vtt_ft.yaml")
    assert OmegaConf.to_container(load_config(config_file=name)) == {"num_cands": 5}


def test_an_include_cycle_names_its_files(job):
    job("includes: b.yaml", "a.yaml")
    job("includes: c.yaml", "b.yaml")
    job("includes: a.yaml", "c.yaml")
    with pytest.raises(ConfigError, match=r"cycle: a.yaml -> b.yaml -> c.yaml -> a.yaml$"):
        recursive_config("a.yaml")
    job("includes: ./d.yaml", "d.yaml")
    with pytest.raises(ConfigError, match=r"cycle: d.yaml -> ./d.yaml$"):
        recursive_config("d.yaml")


def test_a_mistake_in_a_base_names_the_base(job):
    job("dataset: {max_ln: 48}", "base.yaml")
    with pytest.raises(ConfigError, match=r"^base.yaml: unknown key dataset.max_ln"):
        load_config(config_file=job("includes: base.yaml"))


def test_values_of_two_files_that_cannot_go_together_name_the_job(job):
    job("dataset: {max_video_len: 32, max_len: 96}", "base.yaml")
    with pytest.raises(ConfigError, match=r"^job.yaml: dataset.max_len .* 35 .*, got 20$"):
        load_config(config_file=job("{includes: base.yaml, dataset: {max_len: 20}}"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("includes: nothing.yaml", ["job.yaml: includes 'nothing.yaml'", str(REPOSITORY_ROOT)]),
        ("includes: [a.yaml]", ["job.yaml: includes must be the path of one file"]),
        ("a: [1, 2", ["job.yaml, line", "not valid YAML"]),
        ("a: 1\nb: : 2", ["job.yaml, line 2: not valid YAML"]),
        ("num_cands: 1\nnum_cands: 2", ["job.yaml, line 2", "duplicate key num_cands"]),
        ("- 1\n- 2", ["job.yaml: a job file must be a mapping"]),
        ("5", ["job.yaml: cannot be read (a job file must be a mapping of sections)"]),
        ("a:\n\tb: 1", ["job.yaml, line 2: not valid YAML", "indent with spaces, not tabs"]),
    ],
)
def test_files_that_cannot_be_read(job, content, expected):
    with pytest.raises(ConfigError) as caught:
        recursive_config(job(content))
    assert "\n" not in str(caught.value)
    for part in expected:
        assert part in str(caught.value)


def test_a_file_that_is_no_text(job, tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00\xd8\x01")
    with pytest.raises(ConfigError, match=r"^x.yaml: not a UTF-8 text file \(byte 0: .*save it"):
        recursive_config("x.yaml")


def test_a_folder_that_may_not_be_looked_into(job, tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=r"x.yaml: permission denied: .* look into 'closed'"):
        recursive_config("closed/x.yaml")


def test_a_missing_job_file(job):
    job("", "vtt_ft.yaml")
    with pytest.raises(ConfigError, match=r"no job file 'vtt.yaml' \(did you mean vtt_ft.yaml\?\)"):
        load_config(config_file="vtt.yaml")
    with pytest.raises(ConfigError, match=r"no job file 'qqq/x.yaml'; give a path"):
        load_config(config_file="qqq/x.yaml")
    with pytest.raises(ConfigError, match=r"'\.' is a folder"):
        load_config(config_file=".")
    with pytest.raises(ConfigError, match="no job file was named"):
        load_config()


def test_loading_writes_nothing(job, tmp_path):
    name = job(TRAINING)
    before = listing(tmp_path)
    load_config(argparse.Namespace(taskconfig=name), overwrite_fairseq=True)
    with_run_folder(load_config(config_file=name))
    assert listing(tmp_path) == before


def test_overwrite_fairseq_copies_what_the_trainer_shall_see(job):
    args = argparse.Namespace(taskconfig=job(TRAINING), batch_size=1, seed=7)
    config = load_config(args, overwrite_fairseq=True)
    assert vars(args) == {
        "taskconfig": "job.yaml",
        "tensorboard_logdir": "runs/x/run_0",
        "fp16": True,
        "batch_size": 8,
        "num_workers": 0,
        "lr": [1e-5],
        "save_dir": "runs/x/",
        "seed": 7,
    }
    # the file's own value stays, so that a config written out divides the same way again
    assert config.fairseq.dataset.batch_size == 32
    untouched = argparse.Namespace(taskconfig="job.yaml")
    load_config(untouched)
    assert vars(untouched) == {"taskconfig": "job.yaml"}


def test_prepare_run_makes_the_folder_and_writes_the_config(job, tmp_path):
    config = load_config(config_file=job(TRAINING))
    prepared = prepare_run(config)
    assert prepared.fairseq.common.tensorboard_logdir == "runs/x/run_0"
    assert config.fairseq.common.tensorboard_logdir == "runs/x/run_0"
    assert listing(tmp_path / "runs") == ["x", "x/config.yaml"]
    assert load_config(config_file="runs/x/config.yaml") == prepared
    assert prepare_run(config) == prepared


def test_the_next_run_follows_the_highest(job, tmp_path):
    config = load_config(config_file=job(TRAINING))
    for name in ("run_0", "run_9", "run_10", "run_x", "rerun_70"):
        (tmp_path / "runs/x" / name).mkdir(parents=True)
    assert with_run_folder(config).fairseq.common.tensorboard_logdir == "runs/x/run_11"
    config.fairseq.common.tensorboard_logdir = "elsewhere"
    assert with_run_folder(config).fairseq.common.tensorboard_logdir == "elsewhere"


def test_prepare_run_needs_a_folder_it_can_write(job, tmp_path):
    with pytest.raises(ConfigError, match=r"^job.yaml: fairseq.checkpoint.save_dir is not set"):
        prepare_run({"fairseq": {"common": {"tensorboard_logdir": "run"}}}, "job.yaml")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write in 'file/x'"):
        prepare_run({"fairseq": {"checkpoint": {"save_dir": "file/x"}}})


def test_the_room_is_light():
    """Reading a job file must start neither torch nor fairseq: a dry run takes no time."""
    code = (
        "import sys, mmpt.config; "
        "print([m for m in ('torch', 'fairseq', 'numpy', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY_ROOT
    )
    assert run.stdout.strip() == "[]", run.stderr
