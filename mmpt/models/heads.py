"""Prediction heads: masked frames and words (VLM, Xu et al. 2021), and aligned or not."""

import torch
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertPredictionHeadTransform


class AlignHead(nn.Module):
    """Two scores for a pooled pair; column 0 is what the loss `NCE` contrasts."""

    def __init__(self, config):
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled: Tensor) -> Tensor:
        """[2B, hidden], B matched pairs before B others -> `align_scores` [2B, 2]."""
        return self.seq_relationship(pooled)


class FrameWordPredictions(nn.Module):
    """Scores masked frames against frames; `decoder` scores words by the input table.

    Args:
        config: a BERT config.
        bias: one value a word, added to its score; `bias` and `decoder.bias` are one parameter.
    """

    def __init__(self, config, bias: bool):
        super().__init__()
        if bias:
            self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.transform = BertPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if bias:
            self.decoder.bias = self.bias

    def tie(self, word_embeddings: nn.Embedding) -> None:
        """Makes the output table the input table."""
        self.decoder.weight = word_embeddings.weight

    def frame_scores(self, frames: Tensor, true: Tensor, others: Tensor) -> Tensor:
        """[R, 1 + others]: each row's true frame in column 0, then the frames not masked.

        Args:
            frames: [R, hidden], transformed states at the masked frames.
            true: [R, hidden], the token of what stood there.
            others: [others, hidden], the tokens of the batch's frames that are not masked.
        """
        own = (frames * true).sum(dim=1, keepdim=True)
        return torch.cat([own, frames @ others.T], dim=1)


class MFMMLMHead(nn.Module):
    """Masked frames among frames, masked words among words."""

    def __init__(self, config):
        super().__init__()
        self.predictions = FrameWordPredictions(config, bias=True)

    def forward(
        self, masked_frames: Tensor, true_frames: Tensor, other_frames: Tensor, masked_words: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Video logits [R, 1 + others] and text logits [M, vocabulary].

        Args:
            masked_frames: [R, hidden], states at the masked frames; true_frames: [R, hidden], their
                tokens without the mask.
            other_frames: [others, hidden], tokens of the frames that are not masked.
            masked_words: [M, hidden], states at the masked words.
        """
        head = self.predictions
        video = head.frame_scores(head.transform(masked_frames), true_frames, other_frames)
        return video, self.word_scores(masked_words)

    def word_scores(self, states: Tensor) -> Tensor:
        """[..., hidden] -> [..., vocabulary]."""
        return self.predictions.decoder(self.predictions.transform(states))


class MTMHead(nn.Module):
    """Masked frames and words among frames and words."""

    def __init__(self, config):
        super().__init__()
        self.predictions = FrameWordPredictions(config, bias=False)

    def forward(
        self, masked_frames: Tensor, true_frames: Tensor, other_frames: Tensor, masked_words: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Args as `MFMMLMHead.forward`.

        Video logits [R, 1 + others + vocabulary]: the true frame, the frames not masked, the words.
        Text logits [M, vocabulary + others]: the words, the frames not masked.
        """
        head = self.predictions
        frames, words = head.transform(masked_frames), head.transform(masked_words)
        video = head.frame_scores(frames, true_frames, other_frames)
        video = torch.cat([video, head.decoder(frames)], dim=1)
        return video, torch.cat([head.decoder(words), words @ other_frames.T], dim=1)
