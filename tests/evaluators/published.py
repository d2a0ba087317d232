"""The small models and the inputs that the stored predictions were made with."""

import json

import numpy as np
import torch

from mmpt.models import build_model
from mmpt.processors.processor import Aligner, TextProcessor
from tests.models.conftest import wrapper_config, written_rule


def job(tinybert, **dataset):
    """A job config for predictors; 32 seconds and 96 positions where not said otherwise."""
    settings = {"bert_name": str(tinybert), "max_video_len": 32, "max_len": 96, "split": "test"}
    return {"dataset": settings | dataset}


def small_model(tinybert, name, seed=None, golden_dir=None, **dataset):
    """A wrapper with the stored weights of the predictions, or with those of a seed."""
    config = wrapper_config(tinybert, name)
    config.dataset.update(job(tinybert, **dataset)["dataset"])
    model = build_model(config).eval()
    if seed is None:
        path = golden_dir / "models_data/pred_separate_state.pt"
        state = torch.load(path, weights_only=True)
        state = {name.removeprefix("mmmodel."): value for name, value in state.items()}
        model.load_state_dict(state, strict=False)
    else:
        model.load_state_dict(written_rule(model, seed))
    return model


def described(golden_dir):
    return json.loads((golden_dir / "models_data/predictors.json").read_text())


def text_of(config, text):
    """caps int64 [T] and cmasks bool [T]."""
    return Aligner(config["dataset"])._build_text_seq(TextProcessor(config["dataset"])(text))


def video_of(config, features):
    """vfeats float32 [V, width] and vmasks bool [V]."""
    return Aligner(config["dataset"])._build_video_seq(features.astype(np.float32))


def collated(items):
    """A batch as the data set makes it."""
    batch = {}
    for name, first in items[0].items():
        values = [item[name] for item in items]
        if isinstance(first, torch.Tensor):
            batch[name] = torch.stack(values)
        else:
            batch[name] = torch.tensor(values) if isinstance(first, int) else values
    return batch


def windows_of(features, step, size=32):
    """vfeats float32 [W, size, width] and vmasks bool [W, size] of a whole video."""
    starts = [0]
    while starts[-1] + size < len(features):
        starts.append(starts[-1] + step)
    vfeats = torch.zeros(len(starts), size, features.shape[1])
    vmasks = torch.zeros(len(starts), size, dtype=torch.bool)
    for row, start in enumerate(starts):
        part = torch.from_numpy(features[start : start + size].astype(np.float32))
        vfeats[row, : len(part)] = part
        vmasks[row, : len(part)] = True
    return vfeats, vmasks
