"""Every command and snippet of the documents, run where it can be.

They run in a folder laid out as the documents say: a small made corpus in `data/`, its BERT in
`pretrained_models/`, a checkpoint of the released model's shape in `runs/`.  What would train, or
set up a whole environment, is read and printed only (`--dryrun`).
"""

import functools
import importlib
import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from mmpt.config import load_config
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.demo import make_corpus
from mmpt.errors import LaunchError
from mmpt.models import build_model
from mmpt.models.s3d_weights import load_s3d
from mmpt.models.s3dg import S3D
from mmpt.utils.bert import load_tokenizer
from mmpt_cli import eval_align, localjob, predict
from mmpt_cli.main import COMMANDS
from mmpt_cli.main import main as mmpt

DOCUMENTS = ("README.md", "endtask.md", "pretraining.md", "DATASET.md", "docs/runs.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:python|mmpt|bash)\s[^`]+)`")
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\.yaml\b|\bJOB\b|runs/some|…|\[")
OWN_DATA = "A data set of your own"
"""The section of endtask.md whose files another test makes."""
WRITTEN = re.compile(r"^cat > (\S+) <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)
OF_THE_SHELL = ("source", "mkdir")


def blocks(language):
    """(document, content) of the fenced blocks in a language."""
    for document in DOCUMENTS:
        text = (REPOSITORY_ROOT / document).read_text("utf-8").partition(f"## {OWN_DATA}")[0]
        for found, content in BLOCK.findall(text):
            if found == language:
                yield document, content


def inline(document):
    """The commands within the sentences of a document."""
    text = BLOCK.sub("", (REPOSITORY_ROOT / document).read_text("utf-8"))
    return [" ".join(command.split()) for command in INLINE.findall(text)]


def commands():
    """The documented command lines, each once, as lists of words."""
    found = {}
    for document in DOCUMENTS:
        for line in inline(document):
            if not PLACEHOLDER.search(line):
                found.setdefault(shlex.join(shlex.split(line)), document)
    for document, content in blocks("bash"):
        content = WRITTEN.sub("", content)
        for line in content.splitlines():
            words = shlex.split(line, comments=True)
            if words and not PLACEHOLDER.search(line) and words[0] not in OF_THE_SHELL:
                found.setdefault(shlex.join(words), document)
    return sorted(found)


@pytest.fixture(scope="module")
def place(tmp_path_factory, small_video, trained_run, golden_dir):
    """A working directory in which the released job files find what they name."""
    folder = tmp_path_factory.mktemp("documented")
    sizes = {"videos": 16, "tasks": 2, "steps": 8, "shared_steps": 0}
    small = {f"{name}_videos": 4 for name in ("test", "align", "youcook", "coin", "didemo")}
    make_corpus(
        folder / "data",
        bert_name="bert-base-uncased",
        crosstask_videos=34,
        per_video_features=True,
        **sizes,
        **small,
    )
    make_corpus(folder / "data/demo", crosstask_videos=4, **sizes, **small)
    (folder / "docs").mkdir()
    (folder / "docs/parity.md").write_bytes((REPOSITORY_ROOT / "docs/parity.md").read_bytes())
    (folder / "pretrained_models").mkdir()
    (folder / "pretrained_models/bert-base-uncased").symlink_to(folder / "data/bert-base-uncased")
    words = folder / "pretrained_models/s3d_dict.npy"
    shutil.copy(golden_dir / "models_data/s3d_dict.npy", words)
    s3d = S3D(words)
    s3d.load_state_dict(load_s3d(trained_run / "r.pth").state_dict(), strict=False)
    torch.save(s3d.state_dict(), folder / "pretrained_models/s3d_howto100m.pth")
    for name in ("kitchen.mp4", "garage.mp4"):
        shutil.copy(small_video, folder / name)
    (folder / "runs").mkdir()
    for name in ("projects", "scripts"):
        (folder / name).symlink_to(REPOSITORY_ROOT / name)
    (folder / "videos").mkdir()
    (folder / "videos/kitchen.mp4").symlink_to(small_video)
    for _, content in blocks("bash"):
        for name, text in WRITTEN.findall(content):
            (folder / name).write_text(text)
    return folder


@pytest.fixture
def here(place, monkeypatch, small_pictures):
    monkeypatch.chdir(place)
    load_tokenizer.cache_clear()  # kept by the name, which is the same in every place
    yield place
    load_tokenizer.cache_clear()


def save_checkpoint(job):
    """The weights that a test job evaluates, drawn at random."""
    config = load_config(config_file=job)
    named = config.get("fairseq", {}).get("common_eval", {}).get("path")
    path = Path(named or f"{config.eval.save_path}/checkpoint_best.pt")
    if not path.is_file():
        torch.manual_seed(0)
        state = build_model(config).state_dict()
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"model": {f"mmmodel.{name}": value for name, value in state.items()}}, path)


def run_predict(words):
    for job in words:
        if job.endswith(".yaml"):
            save_checkpoint(job)
    return predict.main(words)


def run_alignment(words):
    save_checkpoint(words[-1])
    return eval_align.main(words)


def run_launcher(words):
    return localjob.main([*words, *([] if "--dryrun" in words else ["--dryrun"])])


def run_script(words):
    """`bash run.sh WORD ...`: what it starts, as far as it is a command of ours."""
    assert re.search(rf"\b{words[1]}\)", (REPOSITORY_ROOT / "run.sh").read_text())
    return run_mmpt(words[1:]) if words[1] in COMMANDS and words[1] != "demo" else 0


@functools.cache
def plan_paper(options):
    return mmpt(["paper", *options, "--dryrun"])


def run_module(words):
    assert importlib.util.find_spec(words[0]) is not None
    return 0


def run_of_scripts(words):
    """`python scripts/NAME.py ...`: the command that the script starts."""
    text = (REPOSITORY_ROOT / "scripts" / words[0]).read_text()
    module = importlib.import_module(re.search(r"from (mmpt_cli\.\w+) import main", text)[1])
    if "--slurm" in words:
        return 0
    return module.main(words[1:])


def run_mmpt(words):
    name, rest = words[0], words[1:]
    assert name in COMMANDS
    if not rest and name in NEED_ARGUMENTS:
        return 0
    if name == "launch":
        return run_launcher(rest)
    if name == "predict":
        return run_predict(rest)
    if name == "paper":
        return plan_paper(tuple(word for word in rest if word != "--dryrun"))
    if name == "demo":
        with pytest.raises(SystemExit) as ended:
            mmpt(["demo", *rest, "--help"])
        return ended.value.code
    if name == "verify-release" and "--rehearse" not in rest:
        with pytest.raises(LaunchError, match="lies in a demo corpus"):  # that is all we have
            mmpt(words)
        return 0
    if name == "verify-release":
        for job in DEMO_JOBS:
            save_checkpoint(job)
    if name == "score":
        save_checkpoint(rest[0])
    if name == "report":
        run_predict(["projects/retri/norton/test_vtt_zs.yaml"])
    status = mmpt(words)
    # the made corpus is not all that the released job files name
    return 0 if name == "check-data" and status == 1 else status


NEED_ARGUMENTS = ("launch", "predict", "report", "demo", "extract", "tokenise", "score")
"""Commands that a sentence may name alone."""
DEMO_JOBS = [
    str(path.relative_to(REPOSITORY_ROOT))
    for path in sorted(REPOSITORY_ROOT.glob("projects/retri/demo/test_*_norton.yaml"))
]
PROGRAMS = {
    ("python", "predict.py"): run_predict,
    ("python", "locallaunch.py"): run_launcher,
    ("python", "eval_zeroshot_align.py"): run_alignment,
    ("bash", "run.sh"): lambda words: run_script(["run.sh", *words]),
    ("python", "-m"): run_module,
    ("python", "scripts"): run_of_scripts,
    ("mmpt",): run_mmpt,
}


@pytest.mark.parametrize("line", commands(), ids=str)
def test_a_command(line, here):
    words = shlex.split(line)
    if words[1].startswith("scripts/"):
        words[1:2] = ["scripts", words[1].removeprefix("scripts/")]
    program = next(p for p in PROGRAMS if tuple(words[: len(p)]) == p)
    expanded = [
        name
        for word in words[len(program) :]
        for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    assert PROGRAMS[program](expanded) == 0


@pytest.mark.parametrize(("document", "content"), blocks("yaml"))
def test_settings_are_those_of_a_job_file(document, content, here, tmp_path):
    settings = yaml.safe_load(content)
    settings.setdefault("includes", "projects/retri/norton/how2_pretrain.yaml")
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    load_config(config_file=tmp_path / "job.yaml")


@pytest.mark.parametrize(("document", "content"), blocks("python"))
def test_a_snippet(document, content, here):
    for job in re.findall(r"(?:api\.load|from_pretrained)\(\"(.+?)\"", content):
        save_checkpoint(job)
    if "load_alignments" in content:
        run_alignment(["projects/retri/norton/test_how2align_zs.yaml"])
    exec(content.replace("30, 224, 224", "4, 64, 64"), {})
