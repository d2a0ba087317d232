"""The corpus that is turned into shards, and its token shards."""

import shutil

import pytest

from mmpt.sharding.captions import write_token_shards
from mmpt.sharding.settings import read_settings
from tests.sharding.corpus import corpus, feature_files

__all__ = ["corpus", "feature_files"]


@pytest.fixture
def tokens(corpus, tinybert):
    """`tokens(part, **keys)`: writes the token shards of the golden captions beside meta files
    alone, which is all of the feature shards that is needed."""
    corpus.target.mkdir()
    for split in ("train", "val"):
        shutil.copy(corpus.golden / f"{split}_meta.pkl", corpus.target)

    def write(part=None, **keys):
        settings = read_settings(corpus.config(keys.pop("bert_name", tinybert), **keys))
        return write_token_shards(settings, part)

    return write
