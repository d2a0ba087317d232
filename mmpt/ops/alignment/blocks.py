"""The blocks of many paragraph-video pairs, laid out for work on all of them at once."""

from typing import NamedTuple

import numpy as np


class Blocks(NamedTuple):
    """P blocks; pair p has `rows[p]` captions and `columns[p]` clips.

    The pairs are the last axis, so that one cell of all of them is one stretch of memory.
    """

    cells: np.ndarray
    """float [N, K, P]; what lies outside a pair's own block is finite, and does not count."""
    rows: np.ndarray
    """int [P], from 1 to N."""
    columns: np.ndarray
    """int [P], from 1 to K."""

    def transposed(self) -> "Blocks":
        """Clips as rows and captions as columns."""
        return Blocks(self.cells.transpose(1, 0, 2), self.columns, self.rows)


def stack_blocks(blocks: list[np.ndarray]) -> Blocks:
    """From one array [n, k] a pair."""
    rows = np.array([len(block) for block in blocks])
    columns = np.array([block.shape[1] for block in blocks])
    cells = np.zeros((rows.max(), columns.max(), len(blocks)), dtype=blocks[0].dtype)
    for pair, block in enumerate(blocks):
        cells[: rows[pair], : columns[pair], pair] = block
    return Blocks(cells, rows, columns)
