"""Norton: contrastive learning from long, noisy videos by optimal transport.

From fine to coarse: token similarities make clip-caption similarities, these make transport plans
between a paragraph's captions and a video's clips, and the transported similarity is what
paragraphs and videos are contrasted by. Beside it stands the contrast of single clips and captions
with rectified targets (Lin et al., "Multi-granularity Correspondence Learning from Long-term Noisy
Videos", ICLR 2024). Symbols: docs/notation.md.

The similarities are in `similarity.py`, the small losses in `loss.py`, fairseq's view of a loss in
`fairseqmmloss.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from mmpt.errors import ConfigError
from mmpt.ot import (
    PromptBucket,
    Transport,
    bucket_transport,
    clip_caption_targets,
    prompt_bucket_value,
)

from . import options
from .checks import check_pairs, check_precision
from .gathering import Gather, gather_of_all, own_rows
from .loss import Loss, LossOutput, diagonal_cross_entropy, full_precision
from .similarity import (
    CoarseSimilarity,
    Features,
    PairSimilarity,
    check_features,
    coarse_similarity,
    pair_similarity,
)

INITIAL_LOGIT_SCALE = math.log(1 / 0.07)
LOGIT_SCALE_RANGE = (0.0, 4.6052)
"""The upper end is log(100)."""

_SINKHORN_FORM = {"auto": "auto", "reference": "reference", "chunked": "fast"}


# --------------------------------------------------------------- clip-caption contrast


class ClipContrast(NamedTuple):
    loss_v2t: Tensor
    """[], clips choose captions."""
    loss_t2v: Tensor
    """[], captions choose clips."""
    targets: Tensor | None
    """[N, N], the transport Q that softens the targets (rows clips); None: one-hot targets."""


def clip_caption_contrast(
    pooled_video: Tensor,
    pooled_text: Tensor,
    beta: float,
    iterations: int | None,
    implementation: str = "auto",
    gather: Gather = own_rows,
) -> ClipContrast:
    """Contrast of clips and captions whose targets admit other good matches in the batch.

    The targets are `(1 - beta) * identity + beta * Q` for clips and its transpose for captions.

    Args:
        pooled_video, pooled_text: [N, d]; their raw dot products are the logits.
        beta: weight of Q, 0 to 1.
        iterations: of the Sinkhorn behind Q; None: one-hot targets (VideoCLIP's loss).
        implementation: `auto`, `reference` or `chunked`.
        gather: whose pairs are contrasted.
    """
    similarity = gather(full_precision(pooled_video)) @ gather(full_precision(pooled_text)).T
    if iterations is None:
        return ClipContrast(
            diagonal_cross_entropy(similarity), diagonal_cross_entropy(similarity.T), None
        )
    targets = clip_caption_targets(similarity, iterations, _SINKHORN_FORM[implementation])
    return ClipContrast(
        _soft_cross_entropy(similarity, targets, beta),
        _soft_cross_entropy(similarity.T, targets.T, beta),
        targets,
    )


def _soft_cross_entropy(logits: Tensor, targets: Tensor, beta: float) -> Tensor:
    log_p = logits.log_softmax(dim=1)
    own, soft = log_p.diagonal(), (targets * log_p).sum(dim=1)
    return -((1 - beta) * own + beta * soft).mean()


# ------------------------------------------------------------- video-paragraph contrast


@dataclass(frozen=True)
class SequenceSettings:
    """The numbers of the video-paragraph contrast."""

    length: int = 8
    """L, clips of a sequence; rows k * L to (k + 1) * L - 1 of a batch are one sequence."""
    alpha: float = 1.0
    """Temperature of the soft maximum over tokens."""
    fusion_weight: float = 0.5
    """Weight of the coarse similarity, the fine one having 1."""
    prompt_ratio: float | None = None
    """Share of matched pairs at or below the bucket's value; None: no bucket."""
    epsilon: float = 0.1
    """Entropic regulariser of the transport."""
    iterations: int = 50
    """Of the Sinkhorn."""
    exclude_padding: bool = False
    """Padded words and frames add nothing to the fine similarity."""
    coarse_only: bool = False
    """The coarse similarity alone is transported (the paper's ablation with mean pooling)."""
    implementation: str = "auto"
    """`auto`, `reference` or `chunked`."""


class ParagraphContrast(NamedTuple):
    """The video-paragraph loss and everything on the way to it. S = N / L sequences."""

    loss: Tensor
    """[], loss_rows + loss_columns."""
    loss_rows: Tensor
    """[], paragraphs choose videos."""
    loss_columns: Tensor
    """[], videos choose paragraphs."""
    logits: Tensor
    """[S, S] float64, rows paragraphs, columns videos."""
    similarity: PairSimilarity | CoarseSimilarity
    bucket: PromptBucket | None
    transport: Transport
    """Plans [S, S, L, L] float64: paragraph, video, caption, clip."""


def sequence_blocks(similarity: Tensor, length: int) -> Tensor:
    """[N, N] cut into [S, S, L, L]: paragraph, video, caption, clip."""
    sequences = similarity.shape[0] // length
    return similarity.reshape(sequences, length, sequences, length).transpose(1, 2)


def video_paragraph_contrast(
    features: Features,
    settings: SequenceSettings,
    logit_scale: Tensor,
    gather: Gather = own_rows,
) -> ParagraphContrast:
    """Contrast of paragraphs and videos by what optimal transport can align of them.

    The plans and the bucket's value are constants of the gradient, which reaches the features
    through the transported similarities.

    Args:
        features: N clips and captions, N a multiple of `settings.length`.
        settings: see SequenceSettings.
        logit_scale: [], logarithm of the inverse temperature.
        gather: whose sequences are contrasted; S then counts all of them.
    """
    if settings.coarse_only:
        similarity = coarse_similarity(features, gather)
    else:
        similarity = pair_similarity(
            features,
            settings.alpha,
            settings.fusion_weight,
            settings.exclude_padding,
            settings.implementation,
            gather,
        )
    bucket = None
    if settings.prompt_ratio is not None:
        bucket = prompt_bucket_value(similarity.fused.diagonal(), settings.prompt_ratio)
    # Logits are around L / 0.07, so single precision in the plans or the transported sums would
    # cost 1e-5 of the loss; these matrices are small beside the tokens: double precision is cheap.
    blocks = sequence_blocks(similarity.fused, settings.length).double()
    transport = bucket_transport(
        blocks,
        None if bucket is None else bucket.value,
        settings.epsilon,
        settings.iterations,
        _SINKHORN_FORM[settings.implementation],
    )
    logits = logit_scale.double().exp() * (transport.rescaled * blocks).sum(dim=(2, 3))
    dtype = similarity.fused.dtype
    rows, columns = (diagonal_cross_entropy(m).to(dtype) for m in (logits, logits.T))
    return ParagraphContrast(rows + columns, rows, columns, logits, similarity, bucket, transport)


class _InRange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float, high: float) -> Tensor:
        # masks, not the value: an optimizer or a clamp may change that before the backward pass
        ctx.save_for_backward(value <= low, value >= high)
        return value.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        at_low, at_high = ctx.saved_tensors
        outward = (at_low & (gradient > 0)) | (at_high & (gradient < 0))
        return gradient.masked_fill(outward, 0.0), None, None


def in_range(value: Tensor, low: float, high: float) -> Tensor:
    """`clamp` for a parameter that is trained: what it is while inside, and no gradient that a step
    would follow out of the range."""
    return _InRange.apply(value, low, high)


# --------------------------------------------------------------------------- the classes


def batch_gather(loss: "MMContraLoss | SequenceContrastLoss", rows: Tensor) -> Gather:
    """Whose pairs a batch is contrasted with: those of all processes where
    `loss.gather_negatives` is set, but not in validation, whose losses thus do not depend on the
    number of processes."""
    return gather_of_all(rows) if loss.gathers and loss.training else own_rows


class SequenceContrastLoss(Loss):
    """The video-paragraph contrast, from the `loss` section of a job file.

    `logit_scale` is a constant by default: a plain tensor that is neither trained nor saved. With
    `learn_temperature` it is a parameter, kept within `LOGIT_SCALE_RANGE`. Neither is cut to half
    precision with the module.

    Raises:
        ConfigError: a setting out of range, or `dataset.clip_per_video` not divisible by
            `loss.sequence_contrast.threshold`.
    """

    needs = (
        "pooled_video",
        "pooled_text",
        "video_outputs",
        "text_outputs",
        "video_mask_outputs",
        "text_mask_outputs",
    )

    def __init__(self, config: Any):
        super().__init__(config)
        self.gathers = options.flag(config, "loss.gather_negatives")
        self.observer: Callable[[ParagraphContrast], None] | None = None
        """Is shown the matrices of every batch while it is set; looking at them changes nothing."""
        section = "loss.sequence_contrast"
        self.settings = SequenceSettings(
            length=options.count(config, f"{section}.threshold", 8),
            alpha=options.number(config, "loss.alpha_lse", 1.0, low=0, open_low=True),
            fusion_weight=options.number(config, "loss.fusion_weight", 0.5, low=0),
            prompt_ratio=options.number(config, f"{section}.prompt_ratio", None, low=0, high=1),
            epsilon=options.number(config, f"{section}.scale", 0.1, low=0, open_low=True),
            iterations=options.count(config, "loss.sinkhorn_iterations", 50),
            exclude_padding=options.flag(config, f"{section}.exclude_padding"),
            coarse_only=options.flag(config, f"{section}.coarse_only"),
            implementation=options.implementation(config),
        )
        clips = options.count(config, "dataset.clip_per_video", None)
        if clips is not None and clips % self.settings.length:
            raise ConfigError(
                f"dataset.clip_per_video: got {clips}, a multiple of {section}.threshold "
                f"({self.settings.length}) is needed"
            )
        if options.flag(config, f"{section}.learn_temperature"):
            # one axis: fairseq's reduction of gradients cannot take a parameter without any
            self.logit_scale = torch.nn.Parameter(torch.tensor([INITIAL_LOGIT_SCALE]))
        else:
            self.logit_scale = torch.tensor(INITIAL_LOGIT_SCALE, dtype=torch.float64)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Every move and cast of a module comes through here. The temperature is moved, not cast:
        in bfloat16 it would begin at 14.24 instead of 14.29, and in steps of a hundredth."""

        def moved(tensor: Tensor) -> Tensor:
            found = fn(tensor)
            return found if found.dtype == tensor.dtype else tensor.to(found.device)

        return super()._apply(moved, recurse)

    def contrast(self, features: Features, gather: Gather | None = None) -> ParagraphContrast:
        """The loss with everything on the way to it; the batch is checked first.

        Args:
            features: of this process.
            gather: whose sequences are contrasted; None: as the job file says.

        Raises:
            DataError: shapes that do not fit, N not divisible by the sequence length, a mask row
                without a valid position.
        """
        check_features(features, self.settings.length)
        check_precision(
            "video_outputs", features.video_tokens, "text_outputs", features.text_tokens
        )
        # an optimizer of half precision may write a copy of its own back over this clamp; no
        # gradient leads that copy out of the range, so only momentum can: Adam's, by eleven steps
        with torch.no_grad():
            self.logit_scale.clamp_(*LOGIT_SCALE_RANGE)
        logit_scale = in_range(self.logit_scale, *LOGIT_SCALE_RANGE)
        gather = gather or batch_gather(self, features.pooled_video)
        return video_paragraph_contrast(features, self.settings, logit_scale.squeeze(), gather)

    def evaluate(
        self,
        pooled_video: Tensor,
        pooled_text: Tensor,
        video_outputs: Tensor,
        text_outputs: Tensor,
        video_mask_outputs: Tensor,
        text_mask_outputs: Tensor,
        gather: Gather | None = None,
    ) -> LossOutput:
        features = Features(
            pooled_video,
            pooled_text,
            video_outputs,
            text_outputs,
            video_mask_outputs.bool(),
            text_mask_outputs.bool(),
        )
        result = self.contrast(features, gather)
        if self.observer is not None:
            self.observer(result)
        parts = {
            "loss_seq": result.loss.detach(),
            "temperature": self.logit_scale.detach().exp().squeeze(),
            **_transport_parts(result),
        }
        return LossOutput(result.loss, parts)


class MMContraLoss(Loss):
    """Norton's loss: clip-caption contrast plus weighted video-paragraph contrast.

    `loss.sequence_contrast.sequence_contrast_weight` absent or null leaves the second part out;
    `loss.sinkhorn_iterations` absent or null makes the first part's targets one-hot. Both absent is
    VideoCLIP's loss.

    Raises:
        ConfigError: a setting out of range or not available yet.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        self.gathers = options.flag(config, "loss.gather_negatives")
        self.iterations = options.count(config, "loss.sinkhorn_iterations", None)
        self.beta = 0.0
        if self.iterations is not None:
            self.beta = options.number(config, "loss.beta", 0.3, low=0, high=1)
        self.implementation = options.implementation(config)
        self.weight = options.number(
            config, "loss.sequence_contrast.sequence_contrast_weight", None, low=0
        )
        self.sequence_contrast = None if self.weight is None else SequenceContrastLoss(config)
        inputs = SequenceContrastLoss.needs
        self.needs = inputs if self.sequence_contrast else ("pooled_video", "pooled_text")

    def evaluate(self, pooled_video: Tensor, pooled_text: Tensor, **tokens: Tensor) -> LossOutput:
        check_pairs("pooled_video", pooled_video, "pooled_text", pooled_text)
        gather = batch_gather(self, pooled_video)
        clips = clip_caption_contrast(
            pooled_video, pooled_text, self.beta, self.iterations, self.implementation, gather
        )
        total = clips.loss_v2t + clips.loss_t2v
        parts = {"loss_v2t": clips.loss_v2t.detach(), "loss_t2v": clips.loss_t2v.detach()}
        if self.sequence_contrast is not None:
            sequences = self.sequence_contrast.evaluate(
                pooled_video, pooled_text, **tokens, gather=gather
            )
            total = total + self.weight * sequences.total
            parts.update(sequences.parts)
        return LossOutput(total, parts)


def _transport_parts(result: ParagraphContrast) -> dict[str, Tensor]:
    """What is worth logging of the transport; `_own` is over paragraphs with their own video."""
    plans = result.transport.rescaled.diagonal(dim1=0, dim2=1)  # [L, L, S]
    matched = plans.diagonal(dim1=0, dim2=1).sum() / plans.sum()
    parts = {"plan_diagonal": matched}
    if result.bucket is not None:
        share = result.transport.bucket_share
        parts["p"] = result.bucket.value
        parts["bucket_mass"] = share.mean()
        parts["bucket_mass_own"] = share.diagonal().mean()
    return parts
