"""One writer a data set, all over the same `World`.

A set is planned first (what is shown and said, from its own stream of draws), so that the tokenizer
can learn its words, and written after that.  It learns from the pretraining captions and from the
sets that came with it; the later ones use words of these alone and leave it as it was.
"""

from collections.abc import Callable

from mmpt.demo.sets.base import DemoSet
from mmpt.demo.sets.coin import plan_coin
from mmpt.demo.sets.crosstask import plan_crosstask
from mmpt.demo.sets.didemo import plan_didemo
from mmpt.demo.sets.how2 import plan_how2
from mmpt.demo.sets.htm_align import plan_htm_align
from mmpt.demo.sets.msrvtt import plan_msrvtt
from mmpt.demo.sets.msrvtt_qa import plan_msrvtt_qa
from mmpt.demo.sets.youcook import plan_youcook
from mmpt.demo.settings import CorpusSettings
from mmpt.demo.world import World

SETS: dict[str, Callable[[World, CorpusSettings], DemoSet]] = {
    "how2": plan_how2,
    "msrvtt": plan_msrvtt,
    "htm_align": plan_htm_align,
    "msrvtt_qa": plan_msrvtt_qa,
    "youcook": plan_youcook,
    "coin": plan_coin,
    "didemo": plan_didemo,
    "crosstask": plan_crosstask,
}
"""Name of a set (its key in truth.json) -> what plans it."""

__all__ = ["SETS", "DemoSet"]
