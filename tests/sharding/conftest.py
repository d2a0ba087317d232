"""The corpus that is turned into shards."""

from tests.sharding.corpus import corpus, feature_files

__all__ = ["corpus", "feature_files"]
