"""The golden miniature of HowTo100M as a data set."""

import pytest
from omegaconf import OmegaConf

from mmpt.datasets.mmdataset import MMDataset


@pytest.fixture
def how2(golden_dir, tinybert):
    """`how2(split="train")`: the golden job's data set, two videos an item."""
    stored = OmegaConf.load(golden_dir / "models_data/fairseq_ckpt/train_tiny.yaml").dataset
    corpus = golden_dir / "models_data/corpus"

    def make(split="train"):
        config = {
            key: value.replace("data/", f"{corpus}/", 1) if isinstance(value, str) else value
            for key, value in stored.items()
        }
        config = OmegaConf.create({**config, "bert_name": str(tinybert), "split": split})
        return MMDataset.from_config(config)

    return make
