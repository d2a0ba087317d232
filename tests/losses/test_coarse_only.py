"""`loss.sequence_contrast.coarse_only`: the transport of pooled vectors' similarity alone."""

import pytest
import torch
from omegaconf import OmegaConf

from mmpt.errors import ConfigError
from mmpt.losses import MMContraLoss, SequenceContrastLoss, similarity
from mmpt.losses.similarity import Features

SECTION = {"sequence_contrast_weight": 0.1, "threshold": 4, "prompt_ratio": 0.3, "scale": 0.1}


def job(fusion_weight=0.5, **section):
    loss = {"sequence_contrast": SECTION | section, "sinkhorn_iterations": 50, "beta": 0.3}
    return OmegaConf.create({"loss": loss | {"alpha_lse": 1, "fusion_weight": fusion_weight}})


def batch(clips=8, width=6):
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return drawn.requires_grad_()

    return {
        "pooled_video": normal(clips, width),
        "pooled_text": normal(clips, width),
        "video_outputs": normal(clips, 3, width),
        "text_outputs": normal(clips, 5, width),
        "video_mask_outputs": torch.ones(clips, 3, dtype=torch.bool),
        "text_mask_outputs": torch.ones(clips, 5, dtype=torch.bool),
    }


def run(config, sample):
    for tensor in sample.values():
        tensor.grad = None
    output = MMContraLoss(config).compute(**sample)
    output.total.backward()
    return output, [sample[name].grad for name in ("pooled_video", "pooled_text")]


def test_it_is_the_limit_of_a_large_fusion_weight():
    sample = batch()
    found, gradients = run(job(coarse_only=True), sample)
    limit, limits = run(job(fusion_weight=1e9), sample)
    released, _ = run(job(), sample)
    torch.testing.assert_close(found.total, limit.total, rtol=1e-7, atol=0)
    torch.testing.assert_close(found.parts, limit.parts, rtol=1e-7, atol=0)
    torch.testing.assert_close(gradients, limits, rtol=1e-5, atol=1e-8)
    assert (found.total - released.total).abs() > 1e-3


def test_words_and_frames_take_no_part(monkeypatch):
    monkeypatch.setattr(similarity, "token_similarity", lambda *args: pytest.fail("computed"))
    sample = batch()
    run(job(coarse_only=True), sample)
    assert sample["video_outputs"].grad is None and sample["text_outputs"].grad is None


def test_the_similarity_is_the_scaled_cosine():
    sample = batch()
    loss = SequenceContrastLoss(job(coarse_only=True))
    found = loss.contrast(Features(*(sample[name] for name in SequenceContrastLoss.needs)))
    text, video = (
        torch.nn.functional.normalize(sample[name], dim=1)
        for name in ("pooled_text", "pooled_video")
    )
    cosine = text @ video.T
    scaled = (cosine - cosine.min()) / (cosine.max() - cosine.min())
    torch.testing.assert_close(found.similarity.fused, scaled)
    assert found.bucket.value == scaled.diagonal().kthvalue(2).values


def test_another_value_is_refused():
    with pytest.raises(ConfigError, match=r"coarse_only: got 1, true or false is needed"):
        MMContraLoss(job(coarse_only=1))
