"""One small corpus with every kind of content, made once for all tests of the demo."""

import pytest

from mmpt.demo import CorpusSettings, make_corpus
from mmpt.demo.corpus import read_truth
from mmpt.demo.world import build_world

SMALL = {
    "videos": 40,
    "seed": 3,
    "test_videos": 30,
    "finetune_videos": 4,
    "align_videos": 12,
    "shard_size": 16,
    "per_video_features": True,
    "bert_hidden": 16,
}


@pytest.fixture(scope="session")
def small_settings():
    return SMALL


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    assert make_corpus(folder, **SMALL)
    return folder


@pytest.fixture(scope="session")
def truth(corpus):
    return read_truth(corpus)


@pytest.fixture(scope="session")
def world():
    return build_world(CorpusSettings(**SMALL))
