"""Transport as problems: rectified clip-caption targets, the prompt bucket, batched plans."""

from .bucket import PromptBucket, prompt_bucket_value
from .targets import clip_caption_targets
from .transport import Marginals, Transport, bucket_transport, pair_marginals

__all__ = [
    "Marginals",
    "PromptBucket",
    "Transport",
    "bucket_transport",
    "clip_caption_targets",
    "pair_marginals",
    "prompt_bucket_value",
]
