"""The data sets of one's own that endtask.md shows: its very blocks, run from file to numbers."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mmpt.config.class_names import CLASS_NAMES
from mmpt.evaluators.metric import METRICS
from mmpt.models import build_model
from mmpt.processors import META_PROCESSORS
from mmpt.utils.bert import load_tokenizer
from mmpt_cli import predict

GUIDE = Path(__file__).resolve().parents[2] / "endtask.md"
CHECKPOINT = Path("runs/retri/norton/checkpoint_best.pt")
SECONDS = {"soup": 50, "cake": 33, "bread": 26, "tea": 9}


def blocks(language):
    """The fenced blocks of the guide's last section."""
    section = GUIDE.read_text("utf-8").partition("\n## A data set of your own\n")[2]
    return re.findall(rf"^```{language}\n(.+?)^```", section, re.MULTILINE | re.DOTALL)


def put(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


@pytest.fixture
def place(tmp_path, tinybert, monkeypatch):
    """A working directory with the guide's files, a small BERT, features and a checkpoint."""
    monkeypatch.chdir(tmp_path)
    load_tokenizer.cache_clear()  # kept by the name, which is the same in every place
    shutil.copytree(tinybert, "pretrained_models/bert-base-uncased")
    (table,), (steps,) = blocks("csv"), blocks("json")
    put("data/recipes/test.csv", table)
    put("data/recipes/steps.json", steps)
    for job in blocks("yaml"):
        put(re.match(r"# (\S+)\n", job)[1], job)
    random = np.random.default_rng(0)
    Path("data/recipes/features").mkdir()
    for video, seconds in SECONDS.items():
        features = random.standard_normal((seconds, 512)).astype(np.float16)
        np.save(f"data/recipes/features/{video}.npy", features)
    torch.manual_seed(0)
    model = build_model(predict.read_job(Path("projects/retri/recipes/test_table.yaml")))
    CHECKPOINT.parent.mkdir(parents=True)
    torch.save({"model": {f"mmmodel.{k}": v for k, v in model.state_dict().items()}}, CHECKPOINT)
    yield tmp_path
    load_tokenizer.cache_clear()


def evaluated(command, job):
    """What a command of the guide writes: metrics, intervals, scores."""
    words = shlex.split(command)
    assert words == ["python", "predict.py", f"projects/retri/recipes/{job}.yaml"]
    assert predict.main(words[2:]) == 0
    (result,) = json.loads(Path(f"runs/recipes/results_{job}.json").read_text())["results"]
    return result["metrics"], result["intervals"], np.load(f"runs/recipes/{result['scores']}")


def scores_by_hand(pairs):
    """[texts, clips] of (sentence, video, start, end), one after the other through the model."""
    config = predict.read_job(Path("projects/retri/recipes/test_table.yaml"))
    model = build_model(config).eval()
    state = torch.load(CHECKPOINT, weights_only=True)["model"]
    model.load_state_dict({name.removeprefix("mmmodel."): value for name, value in state.items()})
    tokenizer = load_tokenizer("bert-base-uncased", True)
    texts, videos = [], []
    with torch.inference_mode():
        for sentence, video, start, end in pairs:
            ids = tokenizer(sentence, add_special_tokens=False)["input_ids"]
            special = [tokenizer.cls_token_id, tokenizer.sep_token_id]
            caps = torch.tensor([[*special, *ids, tokenizer.sep_token_id]])
            rows = np.load(f"data/recipes/features/{video}.npy")[start:end][:32]
            vfeats = torch.zeros(1, 32, 512)
            vfeats[0, : len(rows)] = torch.from_numpy(rows).float()
            vmasks = torch.arange(32)[None] < len(rows)
            encoded = model(caps, torch.ones_like(caps, dtype=torch.bool), vfeats, vmasks)
            texts.append(encoded["pooled_text"][0])
            videos.append(encoded["pooled_video"][0])
    return (torch.stack(texts) @ torch.stack(videos).T).numpy()


def test_a_table_needs_no_code(place):
    metrics, intervals, scores = evaluated(blocks("bash")[0].strip(), "test_table")
    lines = ["cut the onions, then fry them", "whisk eggs and sugar", "knead the dough"]
    pairs = zip([*lines, "pour hot water over the leaves"], SECONDS, strict=True)
    wanted = scores_by_hand([(sentence, video, 0, None) for sentence, video in pairs])
    assert np.abs(scores - wanted).max() < 1e-4 * np.abs(wanted).max()
    first = wanted.argmax(axis=1) == np.arange(4)
    assert metrics["R1"] == first.mean() and metrics["R5"] == 1
    assert intervals["R5"] == [1, 1]


def test_a_file_and_a_metric_of_ones_own(place, monkeypatch):
    names = {}
    for code in blocks("python"):
        exec(code, names)
    for key, name, registry in (
        ("dataset.meta_processor", "RecipeMetaProcessor", META_PROCESSORS),
        ("metric", "RecipeMetric", METRICS),
    ):
        monkeypatch.setitem(registry, name, names[name])
        monkeypatch.setitem(CLASS_NAMES, key, (*CLASS_NAMES[key], name))
    metrics, intervals, scores = evaluated(blocks("bash")[1].strip(), "test_steps")
    content = json.loads(Path("data/recipes/steps.json").read_text())
    items = [
        (step["text"], video, *step["seconds"])
        for video, steps in content.items()
        for step in steps
    ]
    wanted = scores_by_hand(items)
    assert np.abs(scores - wanted).max() < 1e-4 * np.abs(wanted).max()
    videos = np.array([video for _, video, _, _ in items])
    better = (wanted > np.diagonal(wanted)[:, None]).sum(axis=1)
    assert metrics["recipe"] == (videos[wanted.argmax(axis=1)] == videos).mean()
    assert metrics["MRR"] == pytest.approx((1 / (1 + better)).mean(), abs=1e-12)
    low, high = intervals["MRR"]
    assert 0 < low < metrics["MRR"] < high <= 1
