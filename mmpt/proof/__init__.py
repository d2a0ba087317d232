"""The whole evaluation on annotations of true size, with features that give the answer away.

Every text gets a direction of its own, every second of a video the directions of what it shows, and
an encoder that hands both through takes the place of the model.  What then comes out of data set,
predictor and metric is known beforehand: the best that the protocol allows on that annotation,
less with noise, chance where videos are exchanged.
"""

from mmpt.proof.planting import Task
from mmpt.proof.retrieval import RETRIEVAL
from mmpt.proof.seconds import SECONDS

TASKS: dict[str, Task] = {**RETRIEVAL, **SECONDS}
"""By the name that the command takes."""

__all__ = ["TASKS", "Task"]
