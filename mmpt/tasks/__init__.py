"""Tasks by the names that job files use (`task`)."""

from mmpt.tasks.retritask import RetriTask, VideoRetriTask
from mmpt.tasks.task import Task

TASKS = {"Task": Task, "VideoRetriTask": VideoRetriTask}

__all__ = ["TASKS", "RetriTask", "Task", "VideoRetriTask"]
