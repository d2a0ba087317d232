"""Nearest neighbours among many vectors: faiss where it is installed, exact search in torch else.

Both indexes are filled once and searched by position; `retri.py` puts video ids over them.
Distances are those of faiss: squared Euclidean ones, or inner products, the nearest first.
"""

import importlib
import importlib.util
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmpt.config.access import nearest
from mmpt.errors import ConfigError, DataError
from mmpt.io.atomic import atomic_path, atomic_write

logger = logging.getLogger(__name__)

DB_TYPES = ("flatl2", "innerproduct", "pq")
"""`flatl2`: cells of whole vectors, Euclidean distance; `innerproduct`: the same, by inner product;
`pq`: cells of vectors that are compressed to 32 bytes, for corpora beyond the memory."""

PQ_PARTS, PQ_CODES = 32, 256
"""A compressed vector has so many parts, each one of so many codes (one byte)."""

FAISS_FILE = "faiss_idx"
EXACT_FILES = {False: "exact_l2.npy", True: "exact_innerproduct.npy"}
"""Whether the nearest are those of the largest inner product -> name of the file."""
DISTANCES_AT_ONCE = 1 << 26
"""Of the exact search: 256 MiB of float32."""


def check_db_type(db_type: str, width: int) -> None:
    """Whether an index of a kind can hold vectors of a width, on this machine.

    Raises:
        ConfigError: an unknown kind; `pq` without faiss, or with a width that it cannot cut.
    """
    if db_type not in DB_TYPES:
        hint = nearest(db_type, DB_TYPES)
        raise ConfigError(
            f"db_type: unknown name {db_type!r}{hint}; known names: {', '.join(DB_TYPES)}"
        )
    if db_type == "pq" and not has_faiss():
        raise ConfigError("db_type: pq needs the package faiss-cpu; install it, or use flatl2")
    if db_type == "pq" and width % PQ_PARTS:
        raise ConfigError(
            f"db_type: pq cuts vectors into {PQ_PARTS} parts, the model's have width {width}; use "
            "flatl2 or innerproduct"
        )


class Hits(NamedTuple):
    distances: np.ndarray
    """[Q, k] float32."""
    positions: np.ndarray
    """[Q, k] int64, -1 where fewer than k were found."""


def has_faiss() -> bool:
    """Whether faiss can be imported; asked without importing it."""
    return importlib.util.find_spec("faiss") is not None


def _faiss():
    """The package, imported when it is first needed, without its report on how it was built."""
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    return importlib.import_module("faiss")


class FaissIndex:
    """Vectors in the cells of a coarse quantizer, of which a search visits the nearest few.

    Args:
        width: of a vector.
        db_type: one that `check_db_type` lets pass.
        cells: number of cells; below 2 there are none, and the search is exact.
    """

    file = FAISS_FILE

    def __init__(self, width: int, db_type: str, cells: int):
        faiss = _faiss()
        inner = db_type == "innerproduct"
        metric = faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2
        if cells < 2:
            self.index = faiss.IndexFlat(width, metric)
        elif db_type == "pq":
            # "np": without the order of codes that polysemous search would use; it takes a minute
            kind = f"IVF{cells}_HNSW32,PQ{PQ_PARTS}np"
            self.index = faiss.index_factory(width, kind, metric)
            self.index.pq.cp.min_points_per_centroid = 1
        else:
            quantizer = faiss.IndexFlat(width, metric)
            self.index = faiss.IndexIVFFlat(quantizer, width, cells, metric)
        self._mapped = False

    def __len__(self) -> int:
        return self.index.ntotal

    @property
    def width(self) -> int:
        return self.index.d

    @property
    def cells(self) -> int:
        """Number of cells, 1 where there are none."""
        return getattr(self.index, "nlist", 1)

    def fill(self, vectors: np.ndarray, examples: int) -> None:
        """Finds the cells from the first so many vectors, and adds all.

        Args:
            vectors: [N, width] float32; N at least the number of cells.
            examples: vectors that train the cells.
        """
        if self.cells > 1:
            # faiss warns below 39 vectors a cell; how many there are is the job file's to say
            self.index.cp.min_points_per_centroid = 1
            self.index.train(vectors[:examples])
        self.add(vectors)

    def add(self, vectors: np.ndarray) -> None:
        """Adds vectors [n, width] to those that are there."""
        self.index.add(vectors)

    def make_direct_map(self) -> None:
        """Lets a vector be found by its position; made once, 8 bytes a vector."""
        if not self._mapped and self.cells > 1:
            self.index.make_direct_map()
        self._mapped = True

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """[Q, width]: the vectors at some positions, from their codes where they are compressed."""
        self.make_direct_map()
        return self.index.reconstruct_batch(np.ascontiguousarray(positions, dtype=np.int64))

    def search(self, queries: np.ndarray, k: int, nprobe: int | None = None) -> Hits:
        """The k nearest of every query.

        Args:
            queries: [Q, width] float32.
            k: how many to find.
            nprobe: cells that a query visits, fewer than k may lie in them; None: as many as it
                takes to find k.
        """
        if self.cells < 2:
            return Hits(*self.index.search(queries, k))
        if nprobe is not None:
            return self._visit(queries, k, nprobe)
        found = min(k, len(self))
        # cells that hold twice what is wanted, were all of the same size; then twice as many for
        # those that are still short of it
        nprobe = max(1, -(-2 * k * self.cells // len(self)))
        hits = self._visit(queries, k, nprobe)
        while nprobe < self.cells and (short := hits.positions[:, found - 1] < 0).any():
            nprobe *= 2
            again = self._visit(queries[short], k, nprobe)
            hits.distances[short], hits.positions[short] = again
        return hits

    def _visit(self, queries: np.ndarray, k: int, nprobe: int) -> Hits:
        faiss = _faiss()
        visited = min(nprobe, self.cells)
        return Hits(
            *self.index.search(queries, k, params=faiss.SearchParametersIVF(nprobe=visited))
        )

    @property
    def inner(self) -> bool:
        """Whether the nearest are those of the largest inner product."""
        return self.index.metric_type == _faiss().METRIC_INNER_PRODUCT

    def save(self, folder: Path) -> None:
        faiss = _faiss()
        with atomic_path(folder / FAISS_FILE) as path:
            faiss.write_index(self.index, str(path))

    @classmethod
    def load(cls, path: Path) -> "FaissIndex":
        """Reads what `save` wrote.

        Raises:
            DataError: the file is damaged.
        """
        faiss = _faiss()
        loaded = cls.__new__(cls)
        loaded._mapped = False
        try:
            loaded.index = faiss.read_index(str(path))
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{path}: truncated or no faiss index ({reason}); build it again"
            ) from None
        return loaded


class ExactIndex:
    """All vectors side by side, compared with every query.

    Args:
        width: of a vector.
        db_type: `flatl2` or `innerproduct`.
        device: where the vectors are kept and compared.
    """

    def __init__(self, width: int, db_type: str, device: torch.device | str = "cpu"):
        self.inner = db_type == "innerproduct"
        self.file = EXACT_FILES[self.inner]
        self.stored = torch.empty(0, width, device=device)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def width(self) -> int:
        return self.stored.shape[1]

    @property
    def cells(self) -> int:
        return 1

    def fill(self, vectors: np.ndarray, examples: int = 0) -> None:
        """Adds vectors [N, width]; there are no cells to be found."""
        self.add(vectors)

    def add(self, vectors: np.ndarray) -> None:
        """Adds vectors [n, width] to those that are there."""
        self.stored = torch.cat([self.stored, torch.from_numpy(vectors).to(self.stored)])

    def make_direct_map(self) -> None:
        """Nothing to do: a vector stands at its position."""

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """[Q, width]: the vectors at some positions."""
        return self.stored[torch.from_numpy(np.asarray(positions))].cpu().numpy()

    def search(self, queries: np.ndarray, k: int, nprobe: int | None = None) -> Hits:
        """The k nearest of every query; there are no cells to choose by `nprobe`."""
        found = min(k, len(self))
        hits = Hits(
            np.full((len(queries), k), -np.inf if self.inner else np.inf, dtype=np.float32),
            np.full((len(queries), k), -1, dtype=np.int64),
        )
        at_once = max(1, DISTANCES_AT_ONCE // max(1, len(self)))
        squares = self.stored.square().sum(dim=1)
        for first in range(0, len(queries), at_once):
            rows = slice(first, first + at_once)
            distances, positions = self._nearest(
                torch.from_numpy(queries[rows]).to(self.stored.device), squares, found
            )
            hits.distances[rows, :found] = distances.cpu().numpy()
            hits.positions[rows, :found] = positions.cpu().numpy()
        return hits

    def _nearest(self, queries: Tensor, squares: Tensor, k: int) -> tuple[Tensor, Tensor]:
        products = queries @ self.stored.T
        if self.inner:
            return products.topk(k, dim=1)
        distances = squares - 2 * products + queries.square().sum(dim=1, keepdim=True)
        return distances.clamp_(min=0).topk(k, dim=1, largest=False)

    def save(self, folder: Path) -> None:
        with atomic_write(folder / self.file) as file:
            np.save(file, self.stored.cpu().numpy())

    @classmethod
    def load(cls, path: Path, device: torch.device | str) -> "ExactIndex":
        """Reads one of `EXACT_FILES`.

        Raises:
            DataError: the file is damaged.
        """
        try:
            vectors = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(f"{path}: truncated or no array ({error}); build it again") from None
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise DataError(
                f"{path}: {vectors.dtype} {list(vectors.shape)}; float32 [videos, width] is needed"
            )
        db_type = "innerproduct" if path.name == EXACT_FILES[True] else "flatl2"
        loaded = cls(vectors.shape[1], db_type, device)
        loaded.fill(vectors)
        return loaded
