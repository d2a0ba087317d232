"""One writer a data set, all over the same `World`.

A set is planned first (what is shown and said, from its own stream of draws), so that the tokenizer
can learn every set's words, and written after that.
"""

from collections.abc import Callable

from mmpt.demo.sets.base import DemoSet
from mmpt.demo.sets.how2 import plan_how2
from mmpt.demo.sets.htm_align import plan_htm_align
from mmpt.demo.sets.msrvtt import plan_msrvtt
from mmpt.demo.settings import CorpusSettings
from mmpt.demo.world import World

SETS: dict[str, Callable[[World, CorpusSettings], DemoSet]] = {
    "how2": plan_how2,
    "msrvtt": plan_msrvtt,
    "htm_align": plan_htm_align,
}
"""Name of a set (its key in truth.json) -> what plans it."""

__all__ = ["SETS", "DemoSet"]
