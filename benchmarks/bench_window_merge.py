"""The merge of windows: its share of a COIN evaluation, and against a loop over windows.

    python -m benchmarks.bench_window_merge [--windows 20] [--layers 6] [--repeats 3]

One video: windows of 32 seconds moved by 8, 779 labels, an encoder of BERT's width with random
weights.

evaluation   the video through the model, its windows merged, the best label of every second
scatter      the merge alone, as the evaluation does it
loop         the merge alone, window by window
"""

import argparse
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.harness import RESULTS, compare, report
from mmpt.evaluators import COINPredictor
from mmpt.evaluators.windows import window_starts
from mmpt.models import build_model
from mmpt.ops.window_merge import merge_windows, merge_windows_loop

SLOTS, STEP, LABELS, FEATURES = 32, 8, 779, 512
MERGES = {"scatter": merge_windows, "loop": merge_windows_loop}


def job(folder: str, layers: int) -> dict:
    bert = {"model_type": "bert", "num_hidden_layers": 1, "vocab_size": 1000}
    Path(folder, "config.json").write_text(json.dumps(bert))
    dataset = {"bert_name": folder, "max_video_len": SLOTS, "max_len": 96, "num_labels": LABELS}
    return {
        "dataset": {**dataset, "sliding_window": STEP, "vfeat_dim": FEATURES},
        "model": {
            "model_cls": "MMFusionSeparateActionSegmentation",
            "video_encoder_cls": "MMBertForTokenClassification",
            "text_encoder_cls": "BertModel",
            "num_hidden_video_layers": layers,
        },
    }


def video(windows: int) -> dict[str, Tensor | list]:
    """A batch of one video whose last window is half empty."""
    length = SLOTS + STEP * (windows - 1) - STEP // 2
    starts = window_starts(windows, STEP)[:, None]
    return {
        "caps": torch.tensor([2, 3, 0, 3]).expand(1, windows, -1),
        "cmasks": torch.tensor([False, True, False, True]).expand(1, windows, -1),
        "vfeats": torch.randn(1, windows, SLOTS, FEATURES),
        "vmasks": (starts + torch.arange(SLOTS) < length)[None],
        "video_id": ["video"],
        "video_len": torch.tensor([length]),
        "video_targets": torch.zeros(1, length, dtype=torch.int64),
    }


def build(way: str, windows: int, layers: int) -> Callable[[], object]:
    batch = video(windows)
    if way == "evaluation":
        with tempfile.TemporaryDirectory() as folder:
            config = job(folder, layers)
            model = build_model(config).eval()
        predictor = COINPredictor(config)
        return lambda: predictor.predict_loop(model, [batch], None)
    scores = torch.randn(windows, SLOTS, LABELS)
    valid, length = batch["vmasks"][0], int(batch["video_len"])
    return lambda: MERGES[way](scores, valid, window_starts(windows, STEP), length)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS / "window_merge.csv")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    ways = ("evaluation", *MERGES)
    builds = {way: functools.partial(build, way, args.windows, args.layers) for way in ways}
    case = f"W={args.windows} V={SLOTS} C={LABELS} d=768 L={args.layers} float32"
    rows = compare("window_merge", case, builds, "evaluation", repeats=args.repeats, memory=False)
    report(rows, args.output)


if __name__ == "__main__":
    main()
