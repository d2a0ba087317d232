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
    "youcook_videos": 14,
    "coin_videos": 6,
    "didemo_videos": 8,
    "crosstask_videos": 3,
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


@pytest.fixture
def demo_folder(corpus, tmp_path, monkeypatch):
    """A working directory whose `data/demo` is the small corpus."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/demo").symlink_to(corpus)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def untrained(demo_folder):
    """The checkpoint of the model that the demo's first stage starts from."""
    from mmpt_cli.demo_run import JOBS, save_untrained

    path = demo_folder / "checkpoint_untrained.pt"
    save_untrained(JOBS / "videoclip.yaml", path)
    return path
