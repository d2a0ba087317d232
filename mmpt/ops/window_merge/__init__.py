"""Overlapping windows of one video brought together: every second's mean over its windows."""

from .reference import merge_windows_loop
from .scatter import frame_seconds, merge_frames, merge_windows

__all__ = ["frame_seconds", "merge_frames", "merge_windows", "merge_windows_loop"]
