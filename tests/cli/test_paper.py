"""The paper's recipe: what it lists as missing, what it runs, in which order, what it prints."""

import json
import logging
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from huggingface_hub import constants

from mmpt.config.load import REPOSITORY_ROOT, load_config
from mmpt.errors import ConfigError, DataError, LaunchError
from mmpt.processors import paths
from mmpt_cli import localjob, missing, paper
from mmpt_cli.child import Outcome
from mmpt_cli.localjob import Job

TASKS = ["vtt", "vttqa", "youcook", "youcook_fullvideo", "youcook_fullvideo_bg", "coin"]
EVALUATIONS = [f"test_{task}_zs" for task in [*TASKS, "how2align"]]
FEATURES = "data/feat/feat_how2_s3d_shard_small"
MSRVTT = "data/msrvtt"
YOUCOOK = "data/youcook"
BERT = "pretrained_models/bert-base-uncased"
RESTORE = "runs/retri/videoclip/checkpoint_best.pt"
CHECKPOINT = "runs/retri/norton/checkpoint_best.pt"

PRETRAINING_DATA = {
    "data/how2/how2_s3d_train.lst": "train_path",
    "data/how2/how2_s3d_val.lst": "val_path",
    FEATURES: "vfeat_dir",
    f"{FEATURES}/sentencified_htm_1200k.bert-base-uncased.*": "tfeat_dir",
    f"{FEATURES}/train_meta.pkl": "vfeat_dir",
    f"{FEATURES}/val_meta.pkl": "vfeat_dir",
}
EVALUATION_DATA = {
    f"{MSRVTT}/MSRVTT_JSFUSION_test.csv": "test_path",
    f"{MSRVTT}/msrvtt_feature_fps30_512": "vfeat_dir",
    f"{MSRVTT}/MSR_MC_test.csv": "test_path",
    f"{YOUCOOK}/youcook_val.pkl": "test_path",
    f"{YOUCOOK}/youcookii_annotations_trainval.json": "trainval_annotation",
    f"{YOUCOOK}/youcook_validation_feature_fps30_512": "vfeat_dir",
    "data/coin/COIN.json": "test_path",
    "data/coin/coin_feature_fps30_512": "vfeat_dir",
    "data/how2-align/": "vfeat_dir",
    "data/how2-align/htm_align.json": "anno_path",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with the paper's job files, all of which this version can run, on a machine
    without GPU, data, and a cache of the hub."""
    monkeypatch.chdir(tmp_path)
    jobs = tmp_path / paper.JOBS
    jobs.mkdir(parents=True)
    for path in (REPOSITORY_ROOT / paper.JOBS).glob("*.yaml"):
        shutil.copy(path, jobs)
    monkeypatch.setattr("mmpt.config.ready.NOT_YET", {})
    monkeypatch.setattr(localjob, "count_gpus", lambda: 0)
    monkeypatch.setattr(localjob, "run_child", lambda *_: pytest.fail("started something"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no cache"))
    return jobs


@pytest.fixture
def ready(place, monkeypatch):
    """The same with everything there; returns the commands that were run, to which `statuses` can
    give other ends than success.  Evaluations write results."""
    for path in (*PRETRAINING_DATA, *EVALUATION_DATA, RESTORE):
        file = Path(path.replace("*", "train_0.caps_ids_data.npy"))
        folder = file if not file.suffix else file.parent
        folder.mkdir(parents=True, exist_ok=True)
        if file.suffix:
            file.write_text("")
    Path(BERT).mkdir(parents=True)
    monkeypatch.setattr(localjob, "count_gpus", lambda: 2)
    started, statuses = [], {}

    def run(command, environment):
        job = Path(next(part for part in command if part.endswith(".yaml")))
        started.append(job.stem)
        if job.stem.startswith("test"):
            folder = Path(load_config(config_file=job).eval.save_path)
            folder.mkdir(parents=True, exist_ok=True)
            results = [
                {"checkpoint": f"{name}.pt", "metrics": {"R1": 0.5, "MR": 2.0}} for name in "ab"
            ]
            (folder / f"results_{job.stem}.json").write_text(json.dumps({"results": results}))
        status = statuses.get(job.stem, 0)
        return status if isinstance(status, Outcome) else Outcome(status, None)

    monkeypatch.setattr(localjob, "run_child", run)
    run.started, run.statuses = started, statuses
    return run


def tree():
    return sorted((str(p), p.stat().st_mtime_ns) for p in Path().rglob("*"))


def listed(jobs, kind):
    return {one.what: one for one in missing.find_missing(jobs) if one.kind == kind}


def stems(one):
    return [Path(file).stem for file in one.jobs]


def read(only=None):
    return paper.read_recipe(only, paper.JOB_TYPE).steps


def test_an_empty_folder_lacks_every_path_once(place):
    found = missing.find_missing(read())
    data = [one for one in found if one.kind == "data"]
    expected = PRETRAINING_DATA | EVALUATION_DATA
    assert sorted(one.what for one in data) == sorted([*expected, BERT])
    by_path = {one.what: one for one in data}
    for path, key in expected.items():
        assert by_path[path].keys == (f"dataset.{key}",)
    assert stems(by_path[BERT]) == ["how2_pretrain", *EVALUATIONS]
    assert stems(by_path[f"{MSRVTT}/msrvtt_feature_fps30_512"]) == ["test_vtt_zs", "test_vttqa_zs"]
    assert all(stems(by_path[path]) == ["how2_pretrain"] for path in PRETRAINING_DATA)
    assert [one.kind for one in found if one.kind != "data"] == ["checkpoints", "GPUs"]


def test_sections_are_those_of_dataset_md(place):
    headings = re.findall(r"^## (.+)$", (REPOSITORY_ROOT / "DATASET.md").read_text(), re.M)
    found = {one.what: one.section for one in missing.find_missing(read())}
    assert {section for section in found.values() if section} <= set(headings)
    for path, section in (
        (f"{FEATURES}/val_meta.pkl", "HowTo100M"),
        (f"{MSRVTT}/MSRVTT_JSFUSION_test.csv", "MSR-VTT"),
        ("data/how2-align/htm_align.json", "HTM-Align"),
        (BERT, "BERT"),
        (RESTORE, "Checkpoints"),
    ):
        assert found[path] == section


def test_the_real_files_and_the_list(tmp_path, monkeypatch, capsys):
    """From anywhere, with what this version has: nothing is started or written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(localjob, "count_gpus", lambda: 1)
    monkeypatch.setattr(localjob, "run_child", lambda *_: pytest.fail("started something"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no cache"))
    assert paper.main([]) == 1
    assert tree() == []
    out = capsys.readouterr().out
    lines = out.splitlines()
    for path in (*PRETRAINING_DATA, RESTORE, BERT, f"{MSRVTT}/MSRVTT_JSFUSION_test.csv"):
        assert lines.count(f"  {path}") == 1
    assert (
        "  data/how2/how2_s3d_train.lst\n"
        "      dataset.train_path of how2_pretrain; DATASET.md, section 'HowTo100M'\n"
    ) in out
    assert (
        f"missing, checkpoints:\n  {RESTORE}\n      fairseq.checkpoint.restore_file of "
        "how2_pretrain; DATASET.md, section 'Checkpoints'\n"
    ) in out
    assert "missing, GPUs:\n  local_small needs 2 GPUs, this machine has 1; use --jobtype" in out
    assert "hf download bert-base-uncased fills the cache" in out
    entries = [n for n, line in enumerate(lines) if line.startswith("      ")]
    count = re.fullmatch(
        r"(\d+) things are missing; the same command starts when they are there", lines[-1]
    )
    assert int(count[1]) == len(entries)


def test_one_thing_is_missing(ready, capsys):
    Path(RESTORE).unlink()
    before = tree()
    assert paper.main([]) == 1
    assert tree() == before and ready.started == []
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "1 thing is missing; the same command starts when it is there"


def test_a_run_that_has_begun_needs_its_restore_file_no_more(place):
    assert list(listed(read(), "checkpoints")) == [RESTORE]
    Path(CHECKPOINT).parent.mkdir(parents=True)
    Path(CHECKPOINT).with_name("checkpoint_1_1024.pt").write_text("")
    assert listed(read(), "checkpoints") == {}


def test_a_restore_file_that_is_optional(place):
    with (place / "how2_pretrain.yaml").open("a") as file:
        file.write("restore_optional: true\n")
    assert listed(read(), "checkpoints") == {}


def test_checkpoints_that_no_step_makes(place):
    """Without the pretraining they must be there; HTM-Align takes any of its folder."""
    (one,) = listed(read("eval"), "checkpoints").values()
    assert (one.what, stems(one)) == (CHECKPOINT, EVALUATIONS)
    assert one.keys == ("fairseq.common_eval.path", "eval.save_path")
    Path(CHECKPOINT).parent.mkdir(parents=True)
    Path(CHECKPOINT).with_name("checkpoint_last.pt").write_text("")
    (one,) = listed(read("eval"), "checkpoints").values()
    assert stems(one) == EVALUATIONS[:-1]
    Path(CHECKPOINT).write_text("")
    assert listed(read("eval"), "checkpoints") == {}


def test_checkpoints_of_another_run_are_not_made_by_the_pretraining(place):
    file = place / "test_vtt_zs.yaml"
    other = "runs/elsewhere/checkpoint_best.pt"
    file.write_text(file.read_text().replace(CHECKPOINT, other))
    assert list(listed(read(), "checkpoints")) == [RESTORE, other]


@pytest.mark.parametrize(
    ("job_type", "gpus", "line"),
    [
        ("local_small", 1, "local_small needs 2 GPUs, this machine has 1; use --jobtype"),
        ("local_big", 2, "local_big needs 8 GPUs, this machine has 2; use --jobtype"),
        ("local_small", 2, None),
        ("local_single", 0, None),
        ("torchrun_small", 0, None),
        ("torchrun_small", 1, "torchrun_small needs 2 GPUs, this machine has 1"),
    ],
)
def test_gpus(ready, monkeypatch, capsys, job_type, gpus, line):
    monkeypatch.setattr(localjob, "count_gpus", lambda: gpus)
    assert paper.main(["--jobtype", job_type]) == (line is not None)
    out = capsys.readouterr().out
    assert ("missing, GPUs:" in out) == (line is not None)
    assert (line or "nothing is missing") in out


def test_evaluations_need_no_gpu(ready, monkeypatch):
    Path(CHECKPOINT).parent.mkdir(parents=True)
    Path(CHECKPOINT).write_text("")
    monkeypatch.setattr(localjob, "count_gpus", lambda: pytest.fail("asked for GPUs"))
    assert paper.main(["--only", "eval"]) == 0
    assert ready.started == EVALUATIONS


def test_packages_and_parts(ready, monkeypatch, capsys):
    (job,) = read("pretrain")
    monkeypatch.setattr(missing, "lacking", lambda *_, **__: iter(["adam needs the package apex"]))
    (one,) = missing.find_missing([job])
    assert (one.kind, one.what) == ("packages", "adam needs the package apex")
    find_spec = missing.importlib.util.find_spec
    monkeypatch.setattr(
        missing.importlib.util, "find_spec", lambda n: None if n == "fairseq" else find_spec(n)
    )
    assert len(missing.find_missing([job])) == 2
    assert paper.main(["--only", "pretrain"]) == 1
    assert "  fairseq, which trains\n      for how2_pretrain; bash run.sh setup" in (
        capsys.readouterr().out
    )


def test_what_this_version_does_not_have_is_skipped(place, ready, monkeypatch, capsys):
    names = {"dataset.aligner": ("YoucookFullVideoBGAligner",), "predictor": ("QAPredictor",)}
    monkeypatch.setattr("mmpt.config.ready.NOT_YET", names)
    monkeypatch.setattr(missing, "is_there", lambda key, path: "MC" not in path)
    assert paper.main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "not in this version, skipped:\n"
        "  test_vttqa_zs: predictor: QAPredictor is not available in this version\n"
        "  test_youcook_fullvideo_bg_zs: dataset.aligner: YoucookFullVideoBGAligner is not"
    )
    assert ready.started == [
        "how2_pretrain",
        *(e for e in EVALUATIONS if e not in ("test_vttqa_zs", "test_youcook_fullvideo_bg_zs")),
    ]
    assert "[6/6] zero-shot evaluation: projects/retri/norton/test_how2align_zs.yaml" in out
    last = "not in this version, skipped: test_vttqa_zs, test_youcook_fullvideo_bg_zs"
    assert out.splitlines()[-1] == last


def test_nothing_of_it_is_in_this_version(place, monkeypatch):
    names = {"model.text_encoder_cls": ("BertModel",)}
    monkeypatch.setattr("mmpt.config.ready.NOT_YET", names)
    with pytest.raises(LaunchError, match=r"test_\*_zs.yaml: no evaluation that this version"):
        paper.main(["--only", "eval"])


def test_the_steps_and_the_table(ready, capsys):
    (paper.JOBS / "test_another_zs.yaml").write_text((paper.JOBS / "test_vtt_zs.yaml").read_text())
    assert paper.main([]) == 0
    assert ready.started == ["how2_pretrain", *EVALUATIONS, "test_another_zs"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "nothing is missing",
        "[1/9] pretraining (local_small): projects/retri/norton/how2_pretrain.yaml",
        "[2/9] zero-shot evaluation: projects/retri/norton/test_vtt_zs.yaml",
    ]
    at = lines.index("| zero-shot | checkpoint | metrics |")
    assert lines[at + 1] == "| --- | --- | --- |"
    assert lines[at + 2 : at + 4] == [
        "| test_vtt_zs | a.pt | R1 0.5000, MR 2.0000 |",
        "| test_vtt_zs | b.pt | R1 0.5000, MR 2.0000 |",
    ]
    assert len(lines) == at + 2 + 2 * 8


@pytest.mark.parametrize(
    ("step", "end", "status", "number"),
    [
        ("how2_pretrain", 3, 3, "[1/8] pretraining (local_small)"),
        ("test_youcook_zs", 1, 1, "[4/8] zero-shot evaluation"),
        ("how2_pretrain", Outcome(0, 15), 143, "[1/8] pretraining"),
    ],
)
def test_the_first_failure_is_the_last_step(ready, capsys, step, end, status, number):
    ready.statuses[step] = end
    assert paper.main([]) == status
    assert ready.started[-1] == step
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith(number)
    assert said.err.endswith(f"{step}.yaml: ended with status {status}; the same command goes on "
                             "from there\n")  # fmt: skip
    assert "| zero-shot |" not in said.out


def test_results_that_are_not_there(ready):
    jobs = read("eval")
    with pytest.raises(DataError, match=r"results_test_vtt_zs.json: not the results of .*No such"):
        paper.table(jobs)


def test_one_half(ready, capsys):
    assert paper.main(["--only", "pretrain"]) == 0
    assert ready.started == ["how2_pretrain"]
    out = capsys.readouterr().out
    assert "[1/1] pretraining" in out and "|" not in out


def record(max_epoch, state):
    folder = Path(CHECKPOINT).parent
    folder.mkdir(parents=True, exist_ok=True)
    start = {"max_epoch": max_epoch, "max_update": None, "updates": 0, "end": {"state": state}}
    (folder / "run.json").write_text(json.dumps({"form": 1, "starts": [start]}))
    (folder / "status.json").write_text(json.dumps({"updates": 77}))
    Path(CHECKPOINT).write_text("")


def test_a_finished_pretraining(ready, monkeypatch, capsys):
    """Neither its data nor its GPUs are needed any more."""
    record(6, "finished")
    Path("data/how2/how2_s3d_train.lst").unlink()
    monkeypatch.setattr(localjob, "count_gpus", lambda: pytest.fail("asked for GPUs"))
    assert paper.main([]) == 0
    assert ready.started == EVALUATIONS
    said = capsys.readouterr().out
    assert said.startswith("pretraining: finished before, 77 updates, in runs/retri/norton/ (")
    assert paper.main(["--only", "pretrain"]) == 0
    assert ready.started == EVALUATIONS


@pytest.mark.parametrize(("max_epoch", "state"), [(5, "finished"), (6, "stopped"), (6, "failed")])
def test_a_pretraining_that_goes_on(ready, max_epoch, state):
    record(max_epoch, state)
    assert paper.main(["--only", "pretrain"]) == 0
    assert ready.started == ["how2_pretrain"]


def test_a_dry_run(place, capsys, caplog):
    caplog.set_level(logging.WARNING)
    before = tree()
    assert paper.main(["--dryrun", "--jobtype", "local_big"]) == 0
    assert tree() == before and caplog.text == ""
    lines = capsys.readouterr().out.splitlines()
    assert "missing, GPUs:" in lines and f"  {RESTORE}" in lines
    assert not any("the same command" in line for line in lines)
    at = lines.index("# [1/8] pretraining (local_big): projects/retri/norton/how2_pretrain.yaml")
    commands = [shlex.split(line) for line in lines[at + 1 :: 2]]
    assert [Path(command[2]).stem for command in commands] == ["how2_pretrain", *EVALUATIONS]
    (job,) = read("pretrain")
    assert commands[0] == localjob.dry_command(job._replace(job_type="local_big"))


def test_a_dry_run_lacks_nothing(ready, capsys):
    before = tree()
    assert paper.main(["--dryrun", "--only", "pretrain"]) == 0
    assert tree() == before and ready.started == []
    out = capsys.readouterr().out
    assert out.startswith("nothing is missing\n# [1/1] pretraining") and out.count("\n") == 3


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--jobtype", "local_smal"], "unknown job type 'local_smal' (did you mean local_small?)"),
        (["--jobtype", "local_predict"], "--jobtype local_predict evaluates; name one that trains"),
    ],
)
def test_job_types_that_cannot_be(place, argv, line):
    with pytest.raises(LaunchError, match=re.escape(line)):
        paper.main(argv)


def test_a_job_type_without_a_training(place, capsys):
    with pytest.raises(SystemExit):
        paper.main(["--only", "eval", "--jobtype", "local_single"])
    assert "--jobtype is for the pretraining" in capsys.readouterr().err


def test_a_mistake_in_the_last_file_shows_first(ready):
    (paper.JOBS / "test_how2align_zs.yaml").write_text("dataset: {max_ln: 3}")
    with pytest.raises(ConfigError, match=r"test_how2align_zs.yaml: unknown key dataset.max_ln"):
        paper.main([])
    assert ready.started == []


def test_keys_come_from_the_schema():
    assert missing.SPLIT_KEYS == paths.SPLIT_KEYS
    assert missing.DISK_SPLITS == paths.DISK_SPLITS
    assert {"vfeat_dir", "annotation_path", "target_dir"} == missing.FOLDERS
    test = missing.needed_keys(["test"])
    assert {"test_path", "anno_path", "vfeat_dir", "tfeat_dir", "json_path"} <= set(test)
    assert not {"train_path", "val_path", "target_dir"} & set(test)
    both = missing.needed_keys(["train", "valid"])
    assert {"train_path", "val_path"} <= set(both) and "test_path" not in both


def test_a_training_without_validation_needs_no_val_path():
    config = {"fairseq": {"dataset": {"disable_validation": True}}}
    assert missing.read_splits(config, evaluated=False) == ["train"]
    config = {"fairseq": {"dataset": {"valid_subset": "valid,train"}}}
    assert missing.read_splits(config, evaluated=False) == ["train", "valid", "train"]


def test_what_stands_in_the_place(tmp_path):
    file, folder = tmp_path / "a.npy", tmp_path / "b"
    file.write_text("")
    folder.mkdir()
    for key, path, there in (
        ("test_path", file, True),
        ("test_path", folder, False),
        ("vfeat_dir", folder, True),
        ("vfeat_dir", file, False),
        ("tfeat_dir", tmp_path / "a.", True),
        ("tfeat_dir", tmp_path / "c.", False),
        ("tfeat_dir", tmp_path / "no" / "a.", False),
    ):
        assert missing.is_there(key, str(path)) == there, (key, path)


def test_bert(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert not any(map(missing.has_bert, ("some/bert", "x/y/z", "a b", "some/bert-")))
    stored = tmp_path / "cache/models--some--bert"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs/main").write_text("c0ffee")
    (stored / "snapshots/c0ffee").mkdir(parents=True)
    for name, whole in (("config.json", False), ("vocab.txt", False), ("model.safetensors", True)):
        (stored / "snapshots/c0ffee" / name).write_text("")
        assert missing.has_bert("some/bert") == whole
    (tmp_path / "pretrained_models/other").mkdir(parents=True)
    assert missing.has_bert("other") and missing.has_bert(str(tmp_path / "cache"))
    job = Job("j.yaml", {"dataset": {"bert_name": "/x/y"}}, "local_predict")
    (one,) = missing.missing_data(job, evaluated=True)
    assert one.what == "/x/y" and "hf download" not in one.note


def test_run_sh_knows_it():
    run = ["bash", str(REPOSITORY_ROOT / "run.sh"), "help"]
    help_text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "\n  bash run.sh paper" in help_text
    assert help_text.rstrip().endswith("index has only CUDA builds")
