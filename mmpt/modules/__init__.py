"""Parts that models are made of."""

from mmpt.modules.mm import MMBertEmbeddings, VideoTokenMLP

__all__ = ["MMBertEmbeddings", "VideoTokenMLP"]
