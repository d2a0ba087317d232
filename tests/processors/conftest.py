"""The golden miniature of HowTo100M as a `dataset` section; feature files of any length."""

import json
import logging

import numpy as np
import pytest
from omegaconf import OmegaConf

from mmpt.datasets.mmdataset import MMDataset


@pytest.fixture
def how2_config(golden_dir, tinybert):
    """`how2_config(split="train", **changes)`: the golden job's data, its paths made absolute."""
    stored = OmegaConf.load(golden_dir / "models_data/fairseq_ckpt/train_tiny.yaml").dataset
    corpus = golden_dir / "models_data/corpus"

    def make(split="train", **changes):
        dataset = dict(stored)
        for key in ("train_path", "val_path", "vfeat_dir", "tfeat_dir"):
            dataset[key] = dataset[key].replace("data/", f"{corpus}/", 1)
        return OmegaConf.create({**dataset, "bert_name": str(tinybert), "split": split, **changes})

    return make


@pytest.fixture
def build():
    """`build(config)`: the data set of a `dataset` section."""

    def make(config):
        return MMDataset.from_config(config)

    return make


@pytest.fixture(scope="session")
def stored_items(golden_dir):
    """The JSON half of the golden items."""
    return json.loads((golden_dir / "models_data/dataset_items.json").read_text())


@pytest.fixture
def put_features(tmp_path):
    """`put_features({"v1": 40})`: a folder of feature files, so many seconds [seconds, 2] each."""

    def put(videos, name="features"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for video_id, seconds in videos.items():
            rows = np.arange(2 * seconds, dtype=np.float16).reshape(seconds, 2)
            np.save(folder / f"{video_id}.npy", rows)
        return str(folder)

    return put


@pytest.fixture
def said(caplog):
    """`said()`: the warnings logged so far, each one line."""

    def lines():
        messages = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        assert not any("\n" in message for message in messages)
        return messages

    return lines
