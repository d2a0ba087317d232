"""MMContraLoss and SequenceContrastLoss: options, combinations, numerics, errors."""

import copy
import logging
import math

import pytest
import torch
from omegaconf import OmegaConf

from mmpt.errors import ConfigError, DataError
from mmpt.losses import MMContraLoss, SequenceContrastLoss
from mmpt.losses.similarity import Features, min_max

FEATURES = ("pooled_video", "pooled_text", "video_outputs", "text_outputs")
PAPER = {
    "sequence_contrast": {
        "sequence_contrast_weight": 0.1,
        "threshold": 8,
        "prompt_ratio": 0.3,
        "scale": 0.1,
    },
    "sinkhorn_iterations": 50,
    "beta": 0.3,
    "alpha_lse": 1,
    "fusion_weight": 0.5,
}


def job(changes: dict | None = None, **dataset):
    """The paper's job file with dotted `loss.` keys changed, as OmegaConf gives it."""
    config = OmegaConf.create({"loss": copy.deepcopy(PAPER), "dataset": dataset})
    for key, value in (changes or {}).items():
        OmegaConf.update(config, f"loss.{key}", value, merge=False)
    return config


def batch(clips=16, words=6, frames=5, width=12, dtype=torch.float32, scale=1.0, seed=0) -> dict:
    """Clips and captions that resemble each other, the leading position masked, ragged lengths."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    topic = normal(clips, width)
    sample = {
        "pooled_video": topic + 0.5 * normal(clips, width),
        "pooled_text": topic + 0.5 * normal(clips, width),
        "video_outputs": topic[:, None] + normal(clips, frames, width),
        "text_outputs": topic[:, None] + normal(clips, words, width),
    }
    sample = {name: (scale * value).to(dtype).requires_grad_() for name, value in sample.items()}
    for name, length in (("video", frames), ("text", words)):
        used = torch.randint(1, length, (clips, 1), generator=generator)
        positions = torch.arange(length)
        sample[f"{name}_mask_outputs"] = (positions >= 1) & (positions <= used)
    return sample


def run(loss, sample: dict, loss_scale: float = 1.0):
    """Total, parts and the gradients of all four features."""
    for name in FEATURES:
        sample[name].grad = None
    output = loss.compute(**sample)
    (loss_scale * output.total).backward()
    return output.total, output.parts, [sample[name].grad for name in FEATURES]


def assert_finite(total, parts, gradients):
    assert total.isfinite() and all(part.isfinite() for part in parts.values())
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)


@pytest.mark.parametrize("weight", ["absent section", "null section", "absent", None, 0.0, 0.1])
@pytest.mark.parametrize("prompt_ratio", [None, 0.3])
@pytest.mark.parametrize("iterations", [None, 50])
def test_every_combination(weight, prompt_ratio, iterations):
    config = job(
        {"sequence_contrast.prompt_ratio": prompt_ratio, "sinkhorn_iterations": iterations}
    )
    if weight == "absent section":
        del config.loss.sequence_contrast
    elif weight == "null section":
        config.loss.sequence_contrast = None
    elif weight == "absent":
        del config.loss.sequence_contrast.sequence_contrast_weight
    else:
        config.loss.sequence_contrast.sequence_contrast_weight = weight
    sample = batch()
    total, parts, gradients = run(MMContraLoss(config), sample)
    assert_finite(total, parts, gradients)
    assert total.dtype == torch.float32

    clip_part = parts["loss_v2t"] + parts["loss_t2v"]
    if weight in (0.0, 0.1):
        torch.testing.assert_close(total.detach(), clip_part + weight * parts["loss_seq"])
        assert ("p" in parts) == ("bucket_mass" in parts) == (prompt_ratio is not None)
        # an absent number of iterations means 50 in this part
        alone = SequenceContrastLoss(config)
        assert alone.settings.iterations == 50
        torch.testing.assert_close(alone(**sample).detach(), parts["loss_seq"])
    else:
        torch.testing.assert_close(total.detach(), clip_part)
        assert set(parts) == {"loss_v2t", "loss_t2v"}
        assert gradients[2] is None and gradients[3] is None
    if iterations is None:
        logits = (sample["pooled_video"] @ sample["pooled_text"].T).detach()
        one_hot = torch.nn.functional.cross_entropy(logits, torch.arange(16))
        torch.testing.assert_close(parts["loss_v2t"], one_hot)


def test_clip_contrast_alone_needs_no_tokens():
    sample = batch()
    config = {"loss": {"loss_cls": "MMContraLoss"}}
    pooled = {name: sample[name] for name in FEATURES[:2]}
    torch.testing.assert_close(MMContraLoss(config)(**pooled), MMContraLoss(config)(**sample))
    with pytest.raises(DataError, match=r"MMContraLoss needs video_outputs, text_outputs"):
        MMContraLoss(job())(**pooled)


def test_parts():
    _, parts, _ = run(MMContraLoss(job()), batch())
    assert parts["temperature"].item() == pytest.approx(1 / 0.07)
    assert 0 < parts["p"] < 1
    for name in ("bucket_mass", "bucket_mass_own", "plan_diagonal"):
        assert 0 <= parts[name] <= 1
    # a paragraph aligns with its own video better than with another
    assert parts["bucket_mass_own"] < parts["bucket_mass"]
    assert parts["plan_diagonal"] > 1 / 8
    assert not any(part.requires_grad for part in parts.values())
    assert all(part.shape == () for part in parts.values())


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float32])
def test_kinds_of_masks(kind):
    sample = batch()
    truth = MMContraLoss(job())(**sample)
    for side in ("video", "text"):
        sample[f"{side}_mask_outputs"] = sample[f"{side}_mask_outputs"].to(kind)
    assert MMContraLoss(job())(**sample) == truth


def test_padding_counts_unless_excluded():
    sample = batch()
    longer = dict(sample)
    longer["text_outputs"] = torch.nn.functional.pad(sample["text_outputs"], (0, 0, 0, 4))
    longer["text_mask_outputs"] = torch.nn.functional.pad(sample["text_mask_outputs"], (0, 4))
    published = MMContraLoss(job())
    losses = [published.compute(**s).parts["loss_seq"] for s in (longer, sample)]
    assert (losses[0] - losses[1]).abs() > 1e-4
    mended = MMContraLoss(job({"sequence_contrast.exclude_padding": True}))
    torch.testing.assert_close(mended(**longer), mended(**sample))


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
@pytest.mark.parametrize("excluded", [False, True])
def test_what_padding_adds_by_loops(excluded, implementation):
    """Every word, one by one: a padded one adds alpha * log(valid frames), or nothing at all."""
    alpha, sample = 0.4, batch(clips=3, words=5, frames=4, width=6, dtype=torch.float64)
    words, frames = sample["text_outputs"].detach(), sample["video_outputs"].detach()
    word_mask, frame_mask = sample["text_mask_outputs"], sample["video_mask_outputs"]
    assert not word_mask.all() and not frame_mask.all()
    cosine = torch.nn.functional.cosine_similarity
    to_video, to_text = torch.zeros(3, 3).double(), torch.zeros(3, 3).double()
    for a in range(3):
        for b in range(3):
            for t in range(5):
                if word_mask[a, t] or not excluded:
                    close = [
                        math.exp(cosine(words[a, t], frames[b, f], dim=0) / alpha)
                        if word_mask[a, t]
                        else 1.0
                        for f in range(4)
                        if frame_mask[b, f]
                    ]
                    to_video[a, b] += alpha * math.log(sum(close)) / word_mask[a].sum()
            for f in range(4):
                if frame_mask[b, f] or not excluded:
                    close = [
                        math.exp(cosine(words[a, t], frames[b, f], dim=0) / alpha)
                        if frame_mask[b, f]
                        else 1.0
                        for t in range(5)
                        if word_mask[a, t]
                    ]
                    to_text[a, b] += alpha * math.log(sum(close)) / frame_mask[b].sum()
    pooled = torch.nn.functional.normalize(sample["pooled_text"].detach(), dim=1)
    coarse = pooled @ torch.nn.functional.normalize(sample["pooled_video"].detach(), dim=1).T
    scaled = [(m - m.min()) / (m.max() - m.min()) for m in (coarse, to_video, to_text)]
    wanted = (0.5 * scaled[0] + (scaled[1] + scaled[2]) / 2) / 1.5

    changes = {
        "sequence_contrast.exclude_padding": excluded,
        "sequence_contrast.threshold": 1,
        "alpha_lse": alpha,
        "implementation": implementation,
    }
    loss = SequenceContrastLoss(job(changes))
    found = loss.contrast(Features(*(sample[name] for name in SequenceContrastLoss.needs)))
    torch.testing.assert_close(found.similarity.fine_raw.text_to_video, to_video)
    torch.testing.assert_close(found.similarity.fine_raw.video_to_text, to_text)
    torch.testing.assert_close(found.similarity.fused, wanted)


def test_order_of_sequences_does_not_matter():
    sample = {name: value.detach().double() for name, value in batch(clips=32).items()}
    for side in ("video", "text"):
        sample[f"{side}_mask_outputs"] = sample[f"{side}_mask_outputs"].bool()
    order = torch.arange(32).view(4, 8)[[2, 0, 3, 1]].flatten()
    shuffled = {name: value[order] for name, value in sample.items()}
    loss = MMContraLoss(job())
    torch.testing.assert_close(loss(**shuffled), loss(**sample), rtol=1e-12, atol=0)


# ------------------------------------------------------------------------------ numerics


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(
    "changes",
    [
        {"sequence_contrast.scale": 0.01},
        {"alpha_lse": 0.01},
        {"alpha_lse": 0.05, "sequence_contrast.prompt_ratio": 0.01},
        {"sequence_contrast.prompt_ratio": None, "sequence_contrast.scale": 0.01},
    ],
)
def test_extreme_settings_stay_finite(changes, scale, implementation):
    config = job({**changes, "implementation": implementation})
    assert_finite(*run(MMContraLoss(config), batch(scale=scale)))


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
@pytest.mark.parametrize("ratio", [None, 0.3])
def test_constant_features_have_no_nan(implementation, ratio):
    sample = batch()
    for name in FEATURES:
        sample[name] = torch.ones_like(sample[name]).requires_grad_()
    config = job({"sequence_contrast.prompt_ratio": ratio, "implementation": implementation})
    total, parts, gradients = run(MMContraLoss(config), sample)
    assert_finite(total, parts, gradients)
    # masks differ, so the fine scores still do; with equal masks nothing does
    sample["video_mask_outputs"] = torch.ones(16, 5, dtype=torch.bool)
    sample["text_mask_outputs"] = torch.ones(16, 6, dtype=torch.bool)
    total, parts, gradients = run(MMContraLoss(config), sample)
    assert_finite(total, parts, gradients)
    assert parts["loss_seq"] == pytest.approx(2 * math.log(2))
    assert all((gradient == 0).all() for gradient in gradients[2:])


def test_min_max_of_a_constant_matrix_is_zero_with_zero_gradient():
    matrix = torch.full((5, 5), 0.3, requires_grad=True)
    scaled = min_max(matrix)
    (scaled * torch.rand(5, 5)).sum().backward()
    assert (scaled == 0).all() and (matrix.grad == 0).all()
    scaled = min_max(torch.tensor([[1.0, 3.0], [2.0, 5.0]]))
    torch.testing.assert_close(scaled, torch.tensor([[0.0, 0.5], [0.25, 1.0]]))


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
def test_single_valid_tokens(implementation):
    sample = batch()
    for side in ("video", "text"):
        mask = torch.zeros_like(sample[f"{side}_mask_outputs"])
        mask[:, 2] = True
        sample[f"{side}_mask_outputs"] = mask
    config = job({"alpha_lse": 0.01, "implementation": implementation})
    assert_finite(*run(MMContraLoss(config), sample))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("implementation", ["reference", "chunked"])
def test_half_precision_costs_only_the_rounding_of_the_features(dtype, implementation):
    config = job({"implementation": implementation})
    sample = batch(dtype=dtype)
    wide = {
        name: value.detach().double().requires_grad_() if name in FEATURES else value
        for name, value in sample.items()
    }
    loss = MMContraLoss(config).to(dtype)  # as fairseq does with --fp16 or --bf16
    # scaled, as fp16 training does: gradients below 6e-5 would lose digits
    total, parts, gradients = run(loss, sample, loss_scale=1024)
    truth, _, true_gradients = run(MMContraLoss(config), wide, loss_scale=1024)
    assert total.dtype == torch.float32
    assert parts["temperature"].item() == pytest.approx(1 / 0.07)
    torch.testing.assert_close(total.double(), truth, rtol=1e-5, atol=0)
    for mine, theirs in zip(gradients, true_gradients, strict=True):
        assert mine.dtype == dtype
        error = (mine.double() - theirs).abs().max() / theirs.abs().max()
        assert error <= torch.finfo(dtype).eps


def test_implementations_agree_and_auto_is_one_of_them():
    sample = batch()
    found = {
        name: run(MMContraLoss(job({"implementation": name})), sample)
        for name in ("auto", "reference", "chunked")
    }
    assert found["auto"][0] == found["chunked"][0]
    torch.testing.assert_close(found["chunked"][0], found["reference"][0], rtol=1e-5, atol=0)
    for mine, theirs in zip(found["chunked"][2], found["reference"][2], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-6)


# ------------------------------------------------------------------------------ settings


def test_defaults_are_said_once(caplog):
    caplog.set_level(logging.INFO, logger="mmpt")
    loss = MMContraLoss(
        {"loss": {"sequence_contrast": {"sequence_contrast_weight": 1}, "sinkhorn_iterations": 9}}
    )
    settings = loss.sequence_contrast.settings
    assert (loss.beta, settings.alpha, settings.fusion_weight) == (0.3, 1.0, 0.5)
    assert (settings.epsilon, settings.length, settings.prompt_ratio) == (0.1, 8, None)
    said = [record.getMessage() for record in caplog.records]
    assert sorted(said) == [
        "loss.alpha_lse is not set: using 1.0",
        "loss.beta is not set: using 0.3",
        "loss.fusion_weight is not set: using 0.5",
        "loss.sequence_contrast.scale is not set: using 0.1",
        "loss.sequence_contrast.threshold is not set: using 8",
    ]
    caplog.clear()
    MMContraLoss(job())
    assert not caplog.records


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("beta", [-0.1, 1.5, "x", True, math.nan], "loss.beta: got .*from 0 up to 1 is needed"),
        ("alpha_lse", [0, -1, "a", math.inf], "loss.alpha_lse: got .*a number above 0"),
        ("fusion_weight", [-1, [1]], "loss.fusion_weight: got .*of at least 0"),
        ("sinkhorn_iterations", [0, -5, 2.5], "loss.sinkhorn_iterations: got .*of at least 1"),
        ("sequence_contrast.scale", [0, -0.1], r"loss.sequence_contrast.scale: got .*above 0"),
        ("sequence_contrast.threshold", [0, 1.5], r"threshold: got .*at least 1"),
        ("sequence_contrast.prompt_ratio", [-0.1, 1.1], r"prompt_ratio: got .*from 0 up to 1"),
        ("sequence_contrast.sequence_contrast_weight", [-1], r"weight: got .*of at least 0"),
        ("sequence_contrast.exclude_padding", ["yes", 1], r"exclude_padding: .*true or false"),
        ("sequence_contrast.learn_temperature", ["no"], r"learn_temperature: .*true or false"),
        ("implementation", ["triton"], "'triton' is not available yet; use one of auto"),
        ("implementation", ["chunkd"], r"unknown name 'chunkd' \(did you mean chunked\?\)"),
        ("gather_negatives", ["yes", 1], r"loss.gather_negatives: .*true or false"),
    ],
)
def test_bad_settings(key, values, message):
    for value in values:
        with pytest.raises(ConfigError, match=message) as error:
            MMContraLoss(job({key: value}))
        assert "\n" not in str(error.value)


def test_clips_per_video_must_fill_sequences():
    MMContraLoss(job(clip_per_video=16))
    with pytest.raises(ConfigError, match=r"dataset.clip_per_video: got 12, a multiple of .*\(8\)"):
        MMContraLoss(job(clip_per_video=12))
    off = {"sequence_contrast.sequence_contrast_weight": None}
    MMContraLoss(job(off, clip_per_video=12))


# --------------------------------------------------------------------------------- border


def test_masks_without_a_valid_position():
    for side in ("video", "text"):
        sample = batch()
        sample[f"{side}_mask_outputs"][3] = False
        with pytest.raises(DataError, match=f"{side}_mask_outputs: no valid position in row 3 "):
            MMContraLoss(job())(**sample)


def test_batch_not_divisible_by_the_sequence_length():
    with pytest.raises(DataError, match=r"12 clips, which loss.sequence_contrast.threshold \(8\)"):
        MMContraLoss(job())(**batch(clips=12))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", FEATURES)
def test_non_finite_features_are_named(name, value):
    sample = batch()
    sample[name].detach().view(-1)[7] = value
    with pytest.raises(DataError, match=f"^{name}: NaN or infinite values"):
        MMContraLoss(job())(**sample)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("pooled_text", (16, 3), r"pooled_video \(16, 12\) and pooled_text \(16, 3\)"),
        ("pooled_video", (0, 12), r"pooled_video \(0, 12\)"),
        ("video_outputs", (8, 5, 12), r"video_outputs \(8, 5, 12\).*16 clips"),
        ("text_mask_outputs", (16, 9), r"text_mask_outputs \(16, 9\)"),
        ("text_outputs", (16, 6, 7), "widths 12 and 7"),
    ],
)
def test_shapes_that_do_not_fit(name, shape, message):
    sample = batch()
    sample[name] = torch.ones(shape, dtype=sample[name].dtype)
    with pytest.raises(DataError, match=message):
        MMContraLoss(job())(**sample)


def test_half_precision_training_may_let_an_overflow_through():
    """fairseq skips an update whose gradient is not finite; an error would end the run."""
    loss, sample = MMContraLoss(job()), batch()
    sample["pooled_video"] = sample["pooled_video"].detach().clone()
    sample["pooled_video"][3, 2] = torch.inf
    with pytest.raises(DataError, match="pooled_video"):
        loss(**sample)
    loss.allow_non_finite = True
    assert not torch.isfinite(loss(**sample))


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
@pytest.mark.parametrize("name", ["video_outputs", "text_outputs"])
def test_one_side_in_double_precision(name, implementation):
    sample = batch()
    sample[name] = sample[name].detach().double()
    with pytest.raises(DataError, match=r"video_outputs is torch.* and text_outputs torch"):
        MMContraLoss(job({"implementation": implementation}))(**sample)
    # halves are computed in float32 and go together with it
    sample[name] = sample[name].to(torch.bfloat16)
    assert torch.isfinite(MMContraLoss(job({"implementation": implementation}))(**sample))
