"""VectorRetriever against stored searches of the published code, and in all its forms."""

import json

import numpy as np
import pytest

from mmpt.errors import ConfigError, DataError
from mmpt.modules import vectorindex
from mmpt.modules.retri import VectorRetriever, VectorRetrieverDM

faiss = pytest.importorskip("faiss")


@pytest.fixture
def stored(golden, golden_dir):
    arrays = golden("models_data/faiss_retrieval.npz")
    return arrays, json.loads((golden_dir / "models_data/faiss_retrieval.json").read_text())


@pytest.fixture
def without_faiss(monkeypatch):
    monkeypatch.setattr(vectorindex, "has_faiss", lambda: False)


def vectors(count=240, width=32, seed=0):
    """Videos around a few centres."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, width))
    noise = rng.standard_normal((count, width))
    return (2 * centres[rng.integers(8, size=count)] + noise).astype(np.float32)


def names(count):
    return [f"v{i:03d}" for i in range(count)]


def filled(kind=VectorRetriever, count=240, width=32, cells=4, **settings):
    retriever = kind(width, cells, examples_per_cent_to_train=20, **settings)
    retriever.add(vectors(count, width), names(count), last=True)
    return retriever


def exact(stored, k, inner=False):
    """Of every vector, the k nearest, itself first."""
    stored = stored.astype(np.float64)
    products = stored @ stored.T
    squares = (stored**2).sum(axis=1)
    near = -products if inner else squares[:, None] + squares - 2 * products
    order = [[row, *(i for i in np.argsort(near[row], kind="stable") if i != row)][:k]
             for row in range(len(stored))]  # fmt: skip
    return [[f"v{i:03d}" for i in row] for row in order]


def test_golden_searches_one_cell(stored):
    """As published: trained on the first 80 of what came in blocks of 30, one cell searched."""
    arrays, facts = stored
    retriever = VectorRetriever(32, 4, "flatl2", 20, nprobe=facts["nprobe"])
    assert retriever.train_thres == facts["train_thres"]
    for first in range(0, 240, 30):
        retriever.add(arrays["vectors"][first : first + 30], facts["ids"][first : first + 30])
    retriever.finalize_training()
    assert len(retriever) == facts["n_total"]
    centroids = retriever.db.index.quantizer.reconstruct_n(0, 4)
    np.testing.assert_allclose(centroids, arrays["centroids"], atol=1e-5)
    np.testing.assert_array_equal(retriever.db.vectors(np.arange(240)), arrays["reconstructed"])
    asked = facts["ids"][: len(facts["results_by_query"])]
    found = retriever.search_by_video_ids(asked, facts["num_cands"])
    assert found == facts["results_by_query"]

    small = VectorRetriever(32, 16, "flatl2", 2, nprobe=1)
    small.add(arrays["vectors"][:40], facts["ids"][:40])
    centroids = small.db.index.quantizer.reconstruct_n(0, 16)
    np.testing.assert_allclose(centroids, arrays["centroids16"], atol=1e-5)
    expected = facts["small_cells_results"]
    assert small.search_by_video_ids(facts["ids"][: len(expected)], 20) == expected


def test_finds_as_many_as_are_asked_for(stored):
    arrays, facts = stored
    retriever = VectorRetriever(32, 16, "flatl2", 5)
    retriever.add(arrays["vectors"], facts["ids"])
    for wanted in (1, 10, 100, 240):
        found = retriever.search_by_video_ids(facts["ids"], wanted)
        assert {len(row) for row in found} == {wanted}
        assert all(len(set(row)) == wanted for row in found)
        assert [row[0] for row in found] == facts["ids"]
    assert {len(row) for row in retriever.search_by_video_ids(facts["ids"], 1000)} == {240}


@pytest.mark.parametrize("kind", [VectorRetriever, VectorRetrieverDM])
@pytest.mark.parametrize("db_type", ["flatl2", "innerproduct"])
def test_all_cells_are_an_exact_search(kind, db_type):
    found = filled(kind, db_type=db_type, nprobe=4).search_by_video_ids(names(240), 10)
    assert found == exact(vectors(), 10, inner=db_type == "innerproduct")


@pytest.mark.parametrize("db_type", ["flatl2", "innerproduct"])
def test_without_faiss_the_search_is_exact(without_faiss, db_type):
    retriever = filled(db_type=db_type)
    assert isinstance(retriever.db, vectorindex.ExactIndex)
    found = retriever.search_by_video_ids(names(240), 10)
    assert found == exact(vectors(), 10, inner=db_type == "innerproduct")
    assert {len(row) for row in retriever.search_by_video_ids(names(240), 300)} == {240}


def test_the_same_answers_with_and_without_faiss(monkeypatch):
    with_faiss = filled(nprobe=4).search(vectors(7, seed=1), 5)
    monkeypatch.setattr(vectorindex, "has_faiss", lambda: False)
    monkeypatch.setattr(vectorindex, "DISTANCES_AT_ONCE", 500)  # several blocks, the last smaller
    without = filled().search(vectors(7, seed=1), 5)
    assert without.video_ids == with_faiss.video_ids
    np.testing.assert_allclose(without.distances, with_faiss.distances, rtol=1e-4)


def test_compressed_vectors_find_what_is_near():
    retriever = filled(count=2000, width=64, cells=8, db_type="pq", nprobe=8)
    found = retriever.search_by_video_ids(names(2000), 50)
    expected = exact(vectors(2000, 64), 50)
    shared = np.mean([len(set(a) & set(b)) / 50 for a, b in zip(found, expected, strict=True)])
    assert shared > 0.5  # by chance: 0.025
    assert retriever.db.index.code_size == 32


@pytest.mark.parametrize(
    ("count", "cells", "line"),
    [
        (79, 3, "79 videos train 3 cells, not the 4 cells asked for (20 videos a cell)"),
        (39, 1, "39 videos train no cells (exact search), not the 4 cells asked for"),
        (1, 1, "1 videos train no cells (exact search)"),
        (80, 4, None),
    ],
)
def test_fewer_videos_than_the_cells_need(count, cells, line, caplog):
    retriever = filled(count=count)
    assert retriever.db.cells == cells
    assert (line in caplog.text) if line else caplog.text == ""
    found = retriever.search_by_video_ids(names(count), 10)
    assert {len(row) for row in found} == {min(10, count)}


def test_pq_with_few_videos_is_exact(caplog):
    assert filled(count=200, db_type="pq").db.cells == 1
    assert "no cells (exact search)" in caplog.text


def test_videos_that_are_added_twice_or_later():
    retriever = VectorRetriever(32, 4, examples_per_cent_to_train=20)
    retriever.add(vectors()[:200], names(200), last=True)
    more = vectors()[150:]
    retriever.add(more, names(240)[150:])
    assert len(retriever) == len(retriever.db) == 240
    retriever.add(more, names(240)[150:])
    assert len(retriever) == len(retriever.db) == 240
    nearest_of_all = VectorRetriever(32, 4, examples_per_cent_to_train=20, nprobe=4)
    nearest_of_all.add(vectors(), names(240), last=True)
    retriever.nprobe = 4
    assert retriever.search_by_video_ids(["v239", "v000"], 9) == (
        nearest_of_all.search_by_video_ids(["v239", "v000"], 9)
    )


@pytest.mark.parametrize("kind", [VectorRetriever, VectorRetrieverDM])
@pytest.mark.parametrize("here", ["faiss", "no faiss"])
def test_save_and_load(kind, here, tmp_path, request):
    if here == "no faiss":
        request.getfixturevalue("without_faiss")
    saved = filled(kind)
    saved.save(tmp_path / "index")
    loaded = kind(32)
    loaded.load(tmp_path / "index")
    assert len(loaded) == 240
    assert loaded.search_by_video_ids(names(240), 7) == saved.search_by_video_ids(names(240), 7)


def test_broken_and_foreign_files(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    filled().save(folder)
    wider = VectorRetriever(64)
    with pytest.raises(
        DataError, match=r"faiss_idx: holds vectors of width 32, this model's have 64: .* again"
    ):
        wider.load(folder)
    file = folder / "faiss_idx"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="faiss_idx: truncated or no faiss index"):
        VectorRetriever(32).load(folder)
    filled(count=100).save(tmp_path / "other")
    file.write_bytes((tmp_path / "other/faiss_idx").read_bytes())
    with pytest.raises(DataError, match="does not name the 100 vectors"):
        VectorRetriever(32).load(folder)
    with pytest.raises(DataError, match="nowhere: no index"):
        VectorRetriever(32).load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="made for another db_type than innerproduct; name"):
        VectorRetriever(32, db_type="innerproduct").load(tmp_path / "other")
    monkeypatch.setattr(vectorindex, "has_faiss", lambda: False)
    with pytest.raises(DataError, match="reading it needs the package faiss-cpu"):
        VectorRetriever(32).load(folder)
    filled().save(folder)  # the older faiss_idx there would be read instead
    VectorRetriever(32).load(folder)
    filled(db_type="innerproduct").save(tmp_path / "exact")
    with pytest.raises(DataError, match="made for another db_type than flatl2"):
        VectorRetriever(32).load(tmp_path / "exact")
    filled().save(tmp_path / "exact")
    file = tmp_path / "exact/exact_l2.npy"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"exact_l2.npy: truncated or no array"):
        VectorRetriever(32).load(tmp_path / "exact")


def test_bad_inputs(without_faiss):
    with pytest.raises(ConfigError, match=r"db_type: unknown name 'flatl' \(did you mean flatl2"):
        VectorRetriever(32, db_type="flatl")
    with pytest.raises(ConfigError, match="pq needs the package faiss-cpu"):
        VectorRetriever(32, db_type="pq")
    retriever = VectorRetriever(32)
    with pytest.raises(DataError, match="no video was added"):
        retriever.search(vectors(1), 1)
    with pytest.raises(DataError, match=r"vectors \[3, 16\] for 3 videos: \[3, 32\] is needed"):
        retriever.add(vectors(3, 16), names(3))
    spoilt = vectors(3)
    spoilt[1, 5] = np.nan
    with pytest.raises(DataError, match=r"NaN or inf for 1 of 3 videos: v001; look"):
        retriever.add(spoilt, names(3))
    retriever.add(vectors(3), names(3))
    with pytest.raises(DataError, match="1 ids are not in the index: v9"):
        retriever.search_by_video_ids(["v000", "v9"], 2)
    with pytest.raises(DataError, match=r"queries \[2, 16\]"):
        retriever.search(vectors(2, 16))


def test_a_width_that_pq_cannot_cut():
    with pytest.raises(ConfigError, match=r"pq cuts vectors into 32 parts, .* width 48"):
        filled(count=600, width=48, db_type="pq")
