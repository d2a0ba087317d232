"""Parts of a long list of work: `2/8` is the second of eight."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Split(NamedTuple):
    """Part `number`, from 1 on, of `of` parts."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def part(self, items: Sequence[Item]) -> list[Item]:
        """The items of this part: every `of`-th, so that parts are alike."""
        return list(items[self.number - 1 :: self.of])
