"""The launcher: what it prints, what it checks, what it runs."""

import json
import logging
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmpt.config import ConfigError
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import LaunchError
from mmpt_cli import localjob
from mmpt_cli.child import Outcome

HOW2 = "projects/retri/norton/how2_pretrain.yaml"

# the settings that the paper's authors give for their pretraining
PAPER = """
--distributed-world-size 2 --log-interval 1000 --fp16 --num-workers 4 --batch-size 1 --lr 1e-05
--clip-norm 2.0 --optimizer adam --adam-betas '(0.9, 0.98)' --lr-scheduler polynomial_decay
--total-num-update 1000000 --warmup-updates 1000 --weight-decay 0.0 --ddp-backend no_c10d
--max-epoch 6 --restore-file runs/retri/videoclip/checkpoint_best.pt --reset-optimizer
--reset-dataloader --reset-meters --save-dir runs/retri/norton/ --save-interval-updates 1024
--keep-interval-updates 2 --keep-last-epochs 50
"""

MODEL = """
model:
  model_cls: MMFusionSeparate
  video_encoder_cls: MMBertForEncoder
  text_encoder_cls: BertModel
"""
TRAINING = (
    MODEL
    + """
dataset:
  meta_processor: How2MetaProcessor
  video_processor: ShardedVideoProcessor
  text_processor: ShardedTextProcessor
  aligner: FixedLenAligner
  train_path: train.lst
  val_path: val.lst
loss: {loss_cls: T2VContraLoss}
fairseq:
  common: {tensorboard_logdir: run, fp16: true}
  dataset: {batch_size: 1}
  optimization: {optimizer: adam}
  checkpoint: {save_dir: runs/x, restore_file: start.pt, reset_optimizer: true}
"""
)
EVALUATION = (
    MODEL
    + """
dataset: {split: test}
predictor: RetrievalPredictor
metric: RetrievalMetric
"""
)

# a stand-in for the trainer: writes down its arguments, ends with the status in the file's name
FAKE = """
import pathlib, re, sys
with open("calls", "a") as stream:
    print(*sys.argv[1:], file=stream)
sys.exit(int(re.findall(r"\\d+", sys.argv[1])[0]))
"""


@pytest.fixture(autouse=True)
def _all_lines(caplog):
    caplog.set_level(logging.INFO, logger="mmpt_cli")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a stand-in trainer and no GPU; writes job files into it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(FAKE)
    (tmp_path / "mmpt_cli").mkdir()
    (tmp_path / "mmpt_cli/predict.py").write_text(FAKE)
    (tmp_path / "start.pt").write_text("")
    monkeypatch.setattr(localjob, "count_gpus", lambda: 0)

    def write(name, content=None):
        usual = EVALUATION if name.startswith("test_") else TRAINING
        (tmp_path / name).write_text(usual if content is None else content)
        return name

    return write


def calls():
    return Path("calls").read_text().splitlines() if Path("calls").exists() else []


def dry(capsys, *argv):
    assert localjob.main([*argv, "--dryrun"]) == 0
    return capsys.readouterr().out.splitlines()


def pairs(arguments):
    """`--flag [value]` tokens -> {flag: value or True}."""
    found = {}
    for token in arguments:
        if token.startswith("--"):
            flag = token
            found[flag] = True
        else:
            assert found[flag] is True, token
            found[flag] = token
    return found


def test_the_paper_s_command(capsys, monkeypatch, caplog):
    monkeypatch.chdir(REPOSITORY_ROOT)
    (line,) = dry(capsys, HOW2, "--jobtype", "local_small")
    assert caplog.text == ""
    tokens = shlex.split(line)
    assert tokens[:3] == [sys.executable, "train.py", HOW2]
    found = pairs(tokens[3:])
    logdir = found.pop("--tensorboard-logdir")
    assert re.fullmatch(r"runs/retri/norton/run_\d+", logdir)
    plugin = "--user-dir mmpt --task mmtask --arch mmarch --criterion mmloss"
    extras = "--required-batch-size-multiple 1 --load-checkpoint-on-all-dp-ranks"
    assert found == pairs(shlex.split(f"{plugin} {PAPER} {extras}"))
    assert "--adam-betas '(0.9, 0.98)'" in line


@pytest.mark.parametrize(
    ("job_type", "starts_with", "has", "has_not"),
    [
        ("local_single", "train.py 0.yaml", "--distributed-world-size 1", "on-all-dp-ranks"),
        ("sweep_small", "train.py 0.yaml", "--distributed-world-size 1", "on-all-dp-ranks"),
        ("local_small", "train.py 0.yaml", "--distributed-world-size 2", "torch.distributed"),
        ("local_big", "train.py 0.yaml", "--distributed-world-size 8", "torch.distributed"),
        ("sweep_big", "train.py 0.yaml", "--distributed-world-size 8", "--cpu"),
        (
            "torchrun_small",
            "-m torch.distributed.run --standalone --nproc-per-node 2 train.py 0.yaml",
            "--load-checkpoint-on-all-dp-ranks",
            "--distributed-world-size",
        ),
        ("local_predict", "mmpt_cli/predict.py 0.yaml", "", "--fp16"),
    ],
)
def test_job_types(place, capsys, job_type, starts_with, has, has_not):
    (line,) = dry(capsys, place("0.yaml"), "--jobtype", job_type)
    assert line.startswith(f"{shlex.quote(sys.executable)} {starts_with}")
    assert has in line
    assert has_not not in line


def test_the_file_s_own_job_type_and_the_order_of_files(place, capsys):
    place("1.yaml", TRAINING + "task_type: local_small")
    place("test_2.yaml", EVALUATION + "task_type: local_predict")
    lines = dry(capsys, "test_2.yaml,1.yaml")
    assert len(lines) == 2
    assert lines[0].endswith("mmpt_cli/predict.py test_2.yaml")
    assert "--distributed-world-size 2" in lines[1]


def test_the_job_type_decides_on_the_processes(place, capsys, caplog):
    content = TRAINING + "  distributed_training: {distributed_world_size: 4}"
    (line,) = dry(capsys, place("0.yaml", content), "--jobtype", "local_small")
    assert pairs(shlex.split(line)[3:])["--distributed-world-size"] == "2"
    assert "4" not in shlex.split(line)[3:]
    assert "distributed_world_size has no effect (the job type decides" in caplog.text


def test_a_dry_run_writes_nothing_and_starts_nothing(place, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(localjob, "count_gpus", lambda: pytest.fail("looked at the devices"))
    place("0.yaml", TRAINING.replace("start.pt", "missing.pt"))

    def tree():
        return sorted((str(p), p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))

    before = tree()
    dry(capsys, "0.yaml", "--jobtype", "local_big")
    assert tree() == before


def test_a_dry_run_is_quick_and_light(tmp_path):
    code = (
        "import sys; from mmpt_cli.localjob import main; "
        f"main(['{HOW2}', '--dryrun']); "
        "print([m for m in ('torch', 'fairseq', 'numpy') if m in sys.modules])"
    )
    start = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY_ROOT
    )
    assert time.monotonic() - start < 5  # without torch it takes 0.2 s
    assert run.stdout.splitlines()[1] == "[]", run.stderr


def test_the_printed_command_works_when_pasted(place, capsys):
    (line,) = dry(capsys, place("a b 3.yaml"), "--jobtype", "local_single")
    assert subprocess.run(["/bin/sh", "-c", line]).returncode == 3
    assert calls()[0].startswith("a b 3.yaml --user-dir ")


@pytest.mark.parametrize("status", [0, 3])
def test_the_exit_status_is_the_child_s(place, status):
    assert localjob.main([place(f"{status}.yaml"), "--jobtype", "local_single"]) == status
    assert len(calls()) == 1


def test_several_files_stop_at_the_first_failure(place, caplog):
    other = TRAINING.replace("runs/x", "runs/y")
    files = [place("0.yaml"), place("4.yaml", other), place("test_0.yaml")]
    assert localjob.main([",".join(files), "--jobtype", "local_single"]) == 4
    assert [call.split()[0] for call in calls()] == ["0.yaml", "4.yaml"]
    assert "4.yaml failed: 1 more are not started" in caplog.text


def test_files_are_separated_by_spaces_or_commas(place, capsys):
    files = [place("test_0.yaml"), place("test_1.yaml"), place("test_2.yaml")]
    lines = dry(capsys, files[0], ",".join(files[1:]))
    assert [line.split()[-1] for line in lines] == files


def test_two_files_with_one_folder(place):
    files = [place("0.yaml"), place("1.yaml", TRAINING.replace("runs/x", "runs/y/../x/"))]
    with pytest.raises(LaunchError, match=r"1.yaml: .*save_dir .* is that of 0.yaml too"):
        localjob.main([*files, "--jobtype", "local_single"])
    assert calls() == []
    # an evaluation writes no checkpoints, and one file twice is one run
    place("test_0.yaml", TRAINING + "predictor: RetrievalPredictor\nmetric: RetrievalMetric")
    assert localjob.main(["0.yaml", "0.yaml", "test_0.yaml", "--jobtype", "local_single"]) == 0


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("loss:", "task: VLMTask\nloss:", "task: VLMTask is not available in this version"),
        ("T2VContraLoss", "MMContraLoss, implementation: triton", "triton is not available in"),
        ("adam", "lamb", "fairseq.optimization.optimizer: lamb needs the package apex, which is"),
        ("fp16: true", "tpu: true", "fairseq.common.tpu: true needs the package torch_xla"),
    ],
)
def test_what_is_not_here_yet(place, capsys, caplog, old, new, line):
    """Refused before anything else, the missing restore file included; a dry run warns."""
    place("0.yaml", TRAINING.replace(old, new).replace("start.pt", "no.pt"))
    assert len(dry(capsys, "0.yaml", "--jobtype", "local_single")) == 1
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith("0.yaml: ") and line in warning
    with pytest.raises(ConfigError) as refused:
        localjob.main(["0.yaml", "--jobtype", "local_single"])
    assert f"{refused.value} (a real run is refused)" == warning
    assert calls() == [] and not Path("runs").exists()


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("log_file: no/x.log", r"log_file: no folder 'no' for it; make it, or name another file"),
        ("log_file: a/", r"log_file: cannot write 'a/' \(Is a directory\); name another file"),
        ("log_file: start.pt/x", r"log_file: no folder 'start.pt' for it"),
        ("tensorboard_logdir: start.pt", r"logdir: cannot write in 'start.pt' \(File exists\)"),
        ("tensorboard_logdir: start.pt/x", r"logdir: cannot write in 'start.pt/x' \(Not a direc"),
        ("quantization_config_path: nope", r"quantization_config_path: no file 'nope'; name one"),
        ("user_dir: nope", r"user_dir: no folder 'nope'; set it to null for this project's own"),
    ],
)
def test_files_and_folders_of_the_trainer(place, tmp_path, setting, line):
    (tmp_path / "a").mkdir()
    place("0.yaml", TRAINING.replace("tensorboard_logdir: run", setting))
    with pytest.raises(LaunchError, match=rf"^0.yaml: fairseq.common.\w*{line}"):
        localjob.main(["0.yaml", "--jobtype", "local_single"])
    assert calls() == [] and not Path("runs").exists()


def test_files_of_the_trainer_that_can_be(place):
    place("0.yaml", TRAINING.replace("_logdir: run", "_logdir: logs/a, log_file: runs/x/log"))
    assert localjob.main(["0.yaml", "--jobtype", "local_single"]) == 0
    assert "--tensorboard-logdir logs/a --log-file runs/x/log" in calls()[0]
    assert not Path("logs").exists()  # the trainer makes it


def test_the_usage_names_the_command_as_it_was_called(monkeypatch, capsys):
    for called, name in (("mmpt", "mmpt launch"), ("main.py", "mmpt launch"), ("x.py", "locall")):
        monkeypatch.setattr(sys, "argv", [f"/a/{called}"])
        with pytest.raises(SystemExit):
            localjob.main(["--help"])
        out = capsys.readouterr().out
        assert out.startswith(f"usage: {name}")
        assert out.count("not in this version: under SLURM") == 3


def test_a_mistake_in_the_last_file_shows_before_the_first_runs(place):
    place("1.yaml", "dataset: {max_ln: 3}")
    with pytest.raises(ConfigError, match=r"1\.yaml: unknown key dataset\.max_ln"):
        localjob.main([place("0.yaml") + ",1.yaml", "--jobtype", "local_single"])
    assert calls() == []


def test_a_real_run_prepares_its_folder(place, tmp_path):
    localjob.main([place("0.yaml"), "--jobtype", "local_single"])
    assert "--tensorboard-logdir runs/x/run_0" in calls()[0]
    saved = (tmp_path / "runs/x/config.yaml").read_text()
    assert "tensorboard_logdir: runs/x/run_0" in saved
    (tmp_path / "runs/x/run_0").mkdir()
    localjob.main(["0.yaml", "--jobtype", "local_single"])
    assert "--tensorboard-logdir runs/x/run_1" in calls()[1]


def test_the_folder_of_a_run_that_never_began_is_taken_back(place):
    assert localjob.main([place("3.yaml"), "--jobtype", "local_single"]) == 3
    assert not Path("runs").exists()
    Path("runs/x").mkdir(parents=True)  # not made by the launcher: left alone
    assert localjob.main(["3.yaml", "--jobtype", "local_single"]) == 3
    assert [p.name for p in Path("runs/x").iterdir()] == ["config.yaml"]


def test_the_folder_of_a_run_that_began_is_kept(place, tmp_path):
    (tmp_path / "train.py").write_text(FAKE.replace("sys.exit", "open('runs/x/a', 'w'); sys.exit"))
    assert localjob.main([place("3.yaml"), "--jobtype", "local_single"]) == 3
    assert {p.name for p in Path("runs/x").iterdir()} == {"config.yaml", "a"}


def test_a_training_without_a_folder(place):
    place("0.yaml", TRAINING.replace("save_dir: runs/x, ", ""))
    with pytest.raises(ConfigError, match=r"^0.yaml: fairseq.checkpoint.save_dir is not set"):
        localjob.main(["0.yaml", "--jobtype", "local_single"])


def test_without_a_gpu_the_cpu_trains_and_says_so(place, caplog):
    localjob.main([place("0.yaml"), "--jobtype", "local_single"])
    assert "--cpu" in calls()[0]
    assert "--fp16" not in calls()[0]
    assert "0.yaml: training on the CPU (no GPU on this machine), without fp16" in caplog.messages


def test_with_a_gpu_it_trains(place, monkeypatch, caplog):
    monkeypatch.setattr(localjob, "count_gpus", lambda: 1)
    localjob.main([place("0.yaml"), "--jobtype", "local_single"])
    assert "--cpu" not in calls()[0]
    assert "--fp16" in calls()[0]
    assert "CPU" not in caplog.text


@pytest.mark.parametrize("gpus", [0, 1])
@pytest.mark.parametrize(("job_type", "wanted"), [("local_small", 2), ("local_big", 8)])
def test_too_few_gpus(place, monkeypatch, gpus, job_type, wanted):
    monkeypatch.setattr(localjob, "count_gpus", lambda: gpus)
    with pytest.raises(LaunchError) as caught:
        localjob.main([place("0.yaml"), "--jobtype", job_type])
    expected = f"0.yaml: {job_type} needs {wanted} GPUs, this machine has {gpus}; use --jobtype"
    assert str(caught.value).startswith(expected)
    assert calls() == []
    assert not Path("runs").exists()


def test_a_file_that_wants_the_cpu(place, monkeypatch, caplog):
    monkeypatch.setattr(localjob, "count_gpus", lambda: 2)
    place("0.yaml", TRAINING.replace("fp16: true", "fp16: true, cpu: true"))
    assert localjob.main(["0.yaml", "--jobtype", "local_single"]) == 0
    assert "--cpu" in calls()[0]
    assert "--fp16" not in calls()[0]
    assert "as the job file says" in caplog.text
    with pytest.raises(LaunchError, match="needs 2 GPUs, the file says cpu: true"):
        localjob.main(["0.yaml", "--jobtype", "local_small"])


@pytest.mark.parametrize(("gpus", "world"), [(0, 1), (1, 1), (3, 3), (8, 8), (9, 8)])
def test_sweep_big_takes_what_is_there(place, monkeypatch, caplog, gpus, world):
    monkeypatch.setattr(localjob, "count_gpus", lambda: gpus)
    localjob.main([place("0.yaml"), "--jobtype", "sweep_big"])
    assert f"--distributed-world-size {world} " in calls()[0]
    assert ("--cpu" in calls()[0]) == (gpus == 0)
    said = [m for m in caplog.messages if "sweep_big wants 8 GPUs" in m]
    assert len(said) == (gpus < 8)


@pytest.mark.parametrize(("gpus", "cpu"), [(0, True), (2, False)])
def test_torchrun_without_gpus_takes_the_cpu(monkeypatch, gpus, cpu):
    job = localjob.Job("x.yaml", None, "torchrun_small")
    asked = localjob.plan("x.yaml", "torchrun_small")
    assert localjob.place(job, asked, gpus) == (asked, cpu)
    with pytest.raises(LaunchError, match="torchrun_small needs 2 GPUs, this machine has 1"):
        localjob.place(job, asked, 1)


def test_a_missing_restore_file(place, caplog):
    place("0.yaml", TRAINING.replace("start.pt", "no.pt"))
    with pytest.raises(LaunchError, match=r"0.yaml: .*restore_file: no file 'no.pt'; train"):
        localjob.main(["0.yaml", "--jobtype", "local_single"])
    assert calls() == []
    assert not Path("runs").exists()
    place("0.yaml", TRAINING.replace("start.pt", "."))
    with pytest.raises(LaunchError, match=r"restore_file: '\.' is a folder; name a checkpoint"):
        localjob.main(["0.yaml", "--jobtype", "local_single"])

    place("0.yaml", TRAINING.replace("start.pt", "no.pt") + "restore_optional: true")
    assert localjob.main(["0.yaml", "--jobtype", "local_single"]) == 0
    assert "no file no.pt: starting without it" in caplog.text
    assert "--restore-file" not in calls()[0]
    assert "--reset-optimizer" not in calls()[0]


@pytest.mark.parametrize("name", ["checkpoint_last.pt", "checkpoint_3_1024.pt"])
def test_an_interrupted_run_needs_its_restore_file_no_more(place, tmp_path, name):
    place("0.yaml", TRAINING.replace("start.pt", "no.pt"))
    (tmp_path / "runs/x").mkdir(parents=True)
    (tmp_path / "runs/x" / name).write_text("")
    assert localjob.main(["0.yaml", "--jobtype", "local_single"]) == 0
    assert "--restore-file no.pt --reset-optimizer" in calls()[0]


def test_a_missing_file_to_finetune_from(place):
    start = "restore_file: start.pt, reset_optimizer: true"
    content = TRAINING.replace(start, "finetune_from_model: no.pt")
    with pytest.raises(LaunchError, match=r"finetune_from_model: no file 'no\.pt'"):
        localjob.main([place("0.yaml", content), "--jobtype", "local_single"])


def test_an_evaluation_file_is_evaluated_and_says_so(place, caplog):
    assert localjob.main([place("test_0.yaml"), "--jobtype", "local_small"]) == 0
    assert calls() == ["test_0.yaml"]
    assert "test_0.yaml: an evaluation file, so it is evaluated" in caplog.text
    caplog.clear()
    localjob.main(["test_0.yaml"])
    assert "evaluation file" not in caplog.text


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["0.yaml"], ["0.yaml: no task_type in the file", "local_single, local_small"]),
        (
            ["0.yaml", "--jobtype", "locl_big"],
            ["'locl_big' (did you mean local_big?)", "sweep_big"],
        ),
        (
            ["0.yaml", "--jobtype", "slurm_small"],
            ["slurm_small", "not available", "torchrun_small"],
        ),
        (["test_1.yaml", "--jobtype", "slurm_big"], ["SLURM job types are not available"]),
        (["0.yaml", "--generate"], ["0.yaml: --generate is for pipeline files"]),
        ([","], ["no job file was named"]),
    ],
)
@pytest.mark.parametrize("extra", [[], ["--dryrun"]])
def test_commands_that_cannot_be(place, argv, expected, extra):
    place("0.yaml")
    place("test_1.yaml")
    with pytest.raises(LaunchError) as caught:
        localjob.main(argv + extra)
    for part in expected:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_counting_gpus_asks_torch(monkeypatch, tmp_path):
    """With a stand-in for torch: its number, or the reason why there is none."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    stand_in = "class cuda:\n    device_count = staticmethod(lambda: 3)\n"
    (tmp_path / "torch.py").write_text(stand_in)
    assert localjob.count_gpus() == 3
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart is missing')")
    with pytest.raises(LaunchError, match=r"torch cannot be used .*: ImportError: libcudart"):
        localjob.count_gpus()


@pytest.mark.parametrize(("state", "status"), [("stopped", 143), ("failed", 1), (None, 1)])
def test_the_status_of_a_stopped_torchrun(tmp_path, state, status):
    """torchrun itself says 1 when it is told to stop."""
    end = state and {"state": state}
    (tmp_path / "run.json").write_text(json.dumps({"form": 1, "starts": [{"end": end}]}))
    assert localjob.stopped_status(str(tmp_path), Outcome(1, signal.SIGTERM)) == status
    assert localjob.stopped_status(str(tmp_path / "none"), Outcome(1, signal.SIGTERM)) == 1
