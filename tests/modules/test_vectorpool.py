"""Vectors of videos: stored ones of the published code, and those of several processes."""

import json
import random

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmpt.errors import ConfigError, DataError
from mmpt.modules.hardbatches import draw_batches
from mmpt.modules.vectorpool import DistributedVideoVectorPool, VideoVectorPool

from ..ranks import run_ranks

CONFIG = {"centroids": 2, "examples_per_cent_to_train": 4, "nprobe": 1}


def test_golden_vectors_and_batches(golden, golden_dir):
    arrays = golden("models_data/faiss_retrieval.npz")
    facts = json.loads((golden_dir / "models_data/faiss_retrieval.json").read_text())
    ids = list(facts["pool_search_all"])
    pool = VideoVectorPool(OmegaConf.create(CONFIG))
    for first in range(0, 20, 4):
        clips = slice(3 * first, 3 * (first + 4))
        sample = {f"pooled_{side}": torch.from_numpy(arrays[f"pool.pooled_{side}"][clips])
                  for side in ("video", "text")}  # fmt: skip
        pool({**sample, "video_id": [ids[first : first + 4]]}, clips=3)
    assert pool.video_ids == ids
    np.testing.assert_allclose(pool.vectors(), arrays["pool.vectors"], atol=1e-6)

    retriever = pool.build_retriever()
    centroids = retriever.db.index.quantizer.reconstruct_n(0, 2)
    np.testing.assert_allclose(centroids, arrays["pool.centroids"], atol=1e-5)
    asked = len(max(facts["pool_search_all"].values(), key=len))
    assert retriever.search_by_video_ids(ids, asked) == list(facts["pool_search_all"].values())
    size = len(facts["batched_videos"][0])
    batches = draw_batches(
        ids, size, asked, retriever.search_by_video_ids,
        random.Random(facts["batched_seed"]), keep_anchor=False,
    )  # fmt: skip
    assert batches == facts["batched_videos"]


def test_half_precision_is_averaged_in_float32():
    pool = VideoVectorPool({})
    pooled = torch.full((2048, 4), 3.0, dtype=torch.float16)
    pooled[0] = 4.0
    pool({"pooled_video": pooled, "pooled_text": pooled, "video_id": ["a"]}, clips=2048)
    assert pool.vectors().dtype == np.float32
    np.testing.assert_allclose(pool.vectors(), 3 + 1 / 2048, rtol=1e-6)


def test_ids_in_all_their_forms():
    pool = VideoVectorPool({})
    for video_id in (["a", "b"], [["c", "d"]], [("e", 0, 1, 2), ("f", 1, 1, 3)]):
        rows = torch.ones(2, 3)
        pool({"pooled_video": rows, "pooled_text": rows, "video_id": video_id}, clips=1)
    assert pool.video_ids == list("abcdef") and len(pool) == 6
    with pytest.raises(DataError, match="3 vectors for 2 videos"):
        pool.add(torch.ones(3, 3), ["g", "h"])


def test_unknown_retriever():
    pool = VideoVectorPool({"retriever_cls": "VectorRetriver"})
    pool.add(torch.ones(2, 3), ["a", "b"])
    with pytest.raises(ConfigError, match=r"retriever_cls: unknown name .*did you mean VectorRet"):
        pool.build_retriever()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_pools_of_several_processes_become_one(world):
    first, *others = run_ranks(world, _merged, 10)
    ids, vectors = first
    assert ids == [f"v{i}" for i in range(10)]
    np.testing.assert_array_equal(vectors[:, 0], np.arange(10))
    assert all(len(ids) == 0 for ids, _ in others)


def _merged(rank, count):
    import torch.distributed as dist

    from mmpt.utils import distributed

    distributed.ROWS_AT_ONCE = 2  # several rounds
    pool = DistributedVideoVectorPool({})
    share = range(rank, count, dist.get_world_size()) if rank < 2 else []  # the third has none
    share = [*share, *(range(2, count, 3) if rank == 0 and dist.get_world_size() == 3 else [])]
    for i in share:
        pool.add(torch.full((1, 4), float(i)), [f"v{i}"])
    pool.merge({f"v{i}": i for i in range(count)})
    return pool.video_ids, pool.vectors()
