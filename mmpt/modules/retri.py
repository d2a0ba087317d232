"""Which videos resemble a video: an index of one vector a video, asked by video id."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mmpt.errors import DataError, first_few
from mmpt.io.pickles import load_pickle, save_pickle
from mmpt.modules import vectorindex
from mmpt.modules.vectorindex import (
    EXACT_FILES,
    FAISS_FILE,
    PQ_CODES,
    ExactIndex,
    FaissIndex,
    check_db_type,
)

logger = logging.getLogger(__name__)

IDS_FILE = "videoid_to_vectoridx.pkl"
INDEX_FILES = (FAISS_FILE, *EXACT_FILES.values())
QUERIES_AT_ONCE = 4096


class Neighbours(NamedTuple):
    """Of every query, the nearest first; shorter where fewer were found."""

    video_ids: list[list[str]]
    distances: list[np.ndarray]


class VectorRetriever:
    """An index of video vectors; faiss's where it is installed, else an exact one.

    Vectors are added block by block. Those of the first blocks wait until there are enough to find
    the cells from (`cent * examples_per_cent_to_train`), and are the ones that train them. With
    fewer videos than that there are fewer cells, or none, which is said in one line.

    Args:
        hidden_size: width of a vector.
        cent: number of cells.
        db_type: `flatl2` (Euclidean), `innerproduct`, or `pq` (Euclidean, compressed).
        examples_per_cent_to_train: vectors a cell that the cells are found from.
        nprobe: cells that a search visits; None: as many as it takes to find what is asked for.
        device: where vectors are compared without faiss.

    Raises:
        ConfigError: unknown `db_type`; `pq` without faiss, or with a width that it cannot cut.
    """

    def __init__(
        self,
        hidden_size: int,
        cent: int = 512,
        db_type: str = "flatl2",
        examples_per_cent_to_train: int = 48,
        nprobe: int | None = None,
        device: torch.device | str = "cpu",
    ):
        check_db_type(db_type, hidden_size)
        self.hidden_size = hidden_size
        self.cent = cent
        self.db_type = db_type
        self.examples_per_cent_to_train = examples_per_cent_to_train
        self.nprobe = nprobe
        self.device = device
        self.video_ids: list[str] = []
        self.videoid_to_vectoridx: dict[str, int] = {}
        self._waiting: list[np.ndarray] = []
        self.db: FaissIndex | ExactIndex | None = None
        """The index, once there is one."""

    @property
    def train_thres(self) -> int:
        """Vectors that the cells are found from, and the codes of `pq`."""
        wanted = self.cent * self.examples_per_cent_to_train
        return max(wanted, PQ_CODES) if self.db_type == "pq" else wanted

    def __len__(self) -> int:
        """The number of videos added so far."""
        return len(self.video_ids)

    def add(self, hidden_states: np.ndarray, video_ids: Sequence[str], last: bool = False) -> None:
        """Adds videos; ids that are there already are passed over.

        Args:
            hidden_states: [n, hidden_size], taken as float32.
            video_ids: n ids.
            last: there will be no more, so that the index can be made.

        Raises:
            DataError: shapes that do not fit; vectors that are not finite.
        """
        vectors = np.ascontiguousarray(hidden_states, dtype=np.float32)
        if vectors.shape != (len(video_ids), self.hidden_size):
            raise DataError(
                f"vectors {list(vectors.shape)} for {len(video_ids)} videos: "
                f"[{len(video_ids)}, {self.hidden_size}] is needed"
            )
        # NaN and inf pass into a sum, which is small beside the vectors
        finite = np.isfinite(vectors.sum(axis=1))
        bad = [video_id for video_id, ok in zip(video_ids, finite, strict=True) if not ok]
        if bad:
            raise DataError(
                f"the model gives NaN or inf for {len(bad)} of {len(video_ids)} videos: "
                f"{first_few(bad)}; look at their features, or at the checkpoint"
            )
        kept = []
        for row, video_id in enumerate(video_ids):
            if video_id not in self.videoid_to_vectoridx:
                self.videoid_to_vectoridx[video_id] = len(self.video_ids)
                self.video_ids.append(video_id)
                kept.append(row)
        new = vectors if len(kept) == len(vectors) else vectors[kept]
        if self.db is not None:
            self.db.add(new)
        else:
            self._waiting.append(new)
            if last or len(self) >= self.train_thres:
                self.finalize_training()

    def finalize_training(self) -> None:
        """Makes the index of what was added. Called by the first search, if not before."""
        if not self._waiting:
            return
        vectors = np.concatenate(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
        self._waiting = []
        if vectorindex.has_faiss():
            self.db = FaissIndex(self.hidden_size, self.db_type, self._cells(len(vectors)))
        else:
            self.db = ExactIndex(self.hidden_size, self.db_type, self.device)
        self.db.fill(vectors, self.train_thres)

    def search(self, query_hidden_states: np.ndarray, k: int = 1) -> Neighbours:
        """The k nearest videos of every query.

        Args:
            query_hidden_states: [Q, hidden_size].
            k: how many to find.

        Raises:
            DataError: no video was added, or queries of another width.
        """
        self._make_ready()
        queries = np.ascontiguousarray(query_hidden_states, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.hidden_size:
            raise DataError(
                f"queries {list(queries.shape)}: [queries, {self.hidden_size}] is needed"
            )
        names = self.video_ids
        hits = self.db.search(queries, k, self.nprobe)
        found = hits.positions >= 0
        return Neighbours(
            [[names[p] for p in row[ok]] for row, ok in zip(hits.positions, found, strict=True)],
            [row[ok] for row, ok in zip(hits.distances, found, strict=True)],
        )

    def search_by_video_ids(self, video_ids: Sequence[str], retri_factor: int) -> list[list[str]]:
        """The nearest videos of some videos, each itself first.

        Args:
            video_ids: of videos that were added.
            retri_factor: how many to find, the video itself included.

        Returns:
            For every id a list of at most `retri_factor` different ids; fewer where the cells that
            `nprobe` allows hold fewer.

        Raises:
            DataError: an id that was not added.
        """
        self._make_ready()
        unknown = [i for i in video_ids if i not in self.videoid_to_vectoridx]
        if unknown:
            raise DataError(f"{len(unknown)} ids are not in the index: {first_few(unknown)}")
        names = self.video_ids
        found = []
        for first in range(0, len(video_ids), QUERIES_AT_ONCE):
            asked = video_ids[first : first + QUERIES_AT_ONCE]
            own = np.array([self.videoid_to_vectoridx[i] for i in asked], dtype=np.int64)
            hits = self.db.search(self.db.vectors(own), retri_factor, self.nprobe).positions
            others = (hits >= 0) & (hits != own[:, None])
            for video_id, row, ok in zip(asked, hits, others, strict=True):
                near = [names[p] for p in row[ok].tolist()]
                found.append([video_id, *near[: retri_factor - 1]])
        return found

    def save(self, out_dir: str | os.PathLike) -> None:
        """Writes the index and its ids into a folder.

        Raises:
            DataError: no video was added.
        """
        self._make_ready()
        folder = Path(out_dir)
        folder.mkdir(parents=True, exist_ok=True)
        for other in {*INDEX_FILES} - {self.db.file}:
            (folder / other).unlink(missing_ok=True)  # of an older index, which would be read
        self.db.save(folder)
        save_pickle(folder / IDS_FILE, self.videoid_to_vectoridx)

    def load(self, out_dir: str | os.PathLike) -> None:
        """Reads what `save` wrote.

        Raises:
            DataError: a file is missing or damaged, or made for vectors of another width.
        """
        folder = Path(out_dir)
        self.db = self._load_index(folder)
        if self.db.width != self.hidden_size:
            raise DataError(
                f"{folder / self.db.file}: holds vectors of width {self.db.width}, this model's "
                f"have {self.hidden_size}: it was made with another model; build it again"
            )
        if self.db.inner != (self.db_type == "innerproduct"):
            raise DataError(
                f"{folder / self.db.file}: made for another db_type than {self.db_type}; name that "
                "one, or build it again"
            )
        ids = load_pickle(folder / IDS_FILE)
        if not isinstance(ids, dict) or sorted(ids.values()) != list(range(len(self.db))):
            raise DataError(
                f"{folder / IDS_FILE}: does not name the {len(self.db)} vectors of "
                f"{folder / self.db.file}; the two files were not written together"
            )
        self.videoid_to_vectoridx = ids
        self.video_ids = sorted(ids, key=ids.__getitem__)
        self._waiting = []

    def _load_index(self, folder: Path) -> FaissIndex | ExactIndex:
        there = [folder / name for name in INDEX_FILES if (folder / name).is_file()]
        if not there:
            raise DataError(f"{folder}: no index ({', '.join(INDEX_FILES)})")
        if there[0].name != FAISS_FILE:
            return ExactIndex.load(there[0], self.device)
        if not vectorindex.has_faiss():
            raise DataError(f"{there[0]}: reading it needs the package faiss-cpu")
        return FaissIndex.load(there[0])

    def _cells(self, vectors: int) -> int:
        """As many cells as so many vectors can train."""
        if vectors >= self.train_thres:
            return self.cent
        cells = vectors // self.examples_per_cent_to_train
        if cells < 2 or (self.db_type == "pq" and vectors < PQ_CODES):
            cells = 1
        logger.info(
            "retrieval: %d videos train %s, not the %d cells asked for (%d videos a cell)",
            vectors,
            f"{cells} cells" if cells > 1 else "no cells (exact search)",
            self.cent,
            self.examples_per_cent_to_train,
        )
        return cells

    def _make_ready(self) -> None:
        self.finalize_training()
        if self.db is None:
            raise DataError("the index is empty: no video was added")


class VectorRetrieverDM(VectorRetriever):
    """A retriever whose direct map (position -> vector) is made with the index, not by the first
    search, so that all searches take the same time."""

    def finalize_training(self) -> None:
        super().finalize_training()
        self.db.make_direct_map()

    def load(self, out_dir: str | os.PathLike) -> None:
        super().load(out_dir)
        self.db.make_direct_map()


RETRIEVERS = {"VectorRetriever": VectorRetriever, "VectorRetrieverDM": VectorRetrieverDM}
"""By the name that `retriever_cls` gives them."""
