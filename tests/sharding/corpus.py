"""The golden miniature of HowTo100M as it is before sharding: fixtures for two folders of tests."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from mmpt.io.pickles import load_pickle
from mmpt.utils.shardedtensor import ShardedTensor

SHARDS = "models_data/corpus/feat/feat_how2_s3d_shard_small"
CAPTIONS = "sentencified_htm_1200k"


class Corpus(NamedTuple):
    """Where things are: feature files, captions and lists; where the shards shall be."""

    vfeat_dir: Path
    how2: Path
    target: Path
    golden: Path

    @property
    def captions(self) -> Path:
        return self.how2 / f"{CAPTIONS}.json"

    def list_of(self, split: str) -> Path:
        return self.how2 / f"how2_s3d_{split}.lst"

    def ids(self, split: str) -> list[str]:
        return self.list_of(split).read_text().split()

    def feature(self, video_id: str) -> Path:
        return self.vfeat_dir / f"{video_id}.npy"

    def arguments(self) -> list[str]:
        """The command line of `mmpt shard`."""
        return [
            *("--vfeat_dir", str(self.vfeat_dir), "--target_dir", str(self.target)),
            *("--train_list", str(self.list_of("train")), "--val_list", str(self.list_of("val"))),
            *("--shard_size", "8"),
        ]

    def config(self, bert_name, **changes) -> Path:
        """The file of `mmpt tokenise`."""
        path = self.how2.parent / "tokens.yaml"
        keys = {
            "bert_name": str(bert_name),
            "use_fast": True,
            "caption_pkl_path": str(self.captions),
            "target_dir": str(self.target),
        }
        path.write_text(yaml.safe_dump({**keys, **changes}))
        return path


@pytest.fixture(scope="session")
def feature_files(golden_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    for split in ("train", "val"):
        for shard, ids in load_pickle(golden_dir / SHARDS / f"{split}_meta.pkl").items():
            arrays = ShardedTensor.load(golden_dir / SHARDS / f"{split}_{shard}")
            for video_id, rows in zip(ids, arrays, strict=True):
                np.save(folder / f"{video_id}.npy", rows)
    return folder


@pytest.fixture
def corpus(golden_dir, feature_files, tmp_path):
    """Feature files, captions and lists that a test may damage."""
    how2 = tmp_path / "how2"
    how2.mkdir()
    for name in ("how2_s3d_train.lst", "how2_s3d_val.lst", f"{CAPTIONS}.json"):
        shutil.copy(golden_dir / "models_data/corpus/how2" / name, how2)
    shutil.copytree(feature_files, tmp_path / "features")
    return Corpus(tmp_path / "features", how2, tmp_path / "shards", golden_dir / SHARDS)
