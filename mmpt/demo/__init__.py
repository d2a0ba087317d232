"""The demo corpus: a seeded miniature of HowTo100M and of the downstream sets, in true file forms.

Reading order: `settings` (what can be asked for), `world` (steps, tasks, feature directions),
`footage` (what is seen), `narration` (what is said, and its noise), `sets` (one writer a data set),
`tinybert`, `corpus` (all of it into one folder).
"""

from mmpt.demo.corpus import make_corpus
from mmpt.demo.settings import CorpusSettings

__all__ = ["CorpusSettings", "make_corpus"]
