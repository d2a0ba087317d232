"""Token similarity: packed and chunked against plain, gradients, invariants, edges."""

import pytest
import torch

from mmpt.ops.token_similarity import IMPLEMENTATIONS, token_similarity
from mmpt.ops.token_similarity.chunked import token_similarity_chunked
from mmpt.ops.token_similarity.packing import pack

FORMS = ["reference", "chunked"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def batch(n_text=5, n_video=7, words=6, frames=4, width=8, dtype=torch.float64, seed=0):
    """Tokens with masks of any pattern; on each side one full row and one single-token row."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(n_text, words, width, generator=generator, dtype=torch.float64)
    video = torch.randn(n_video, frames, width, generator=generator, dtype=torch.float64)
    masks = []
    for n, length in ((n_text, words), (n_video, frames)):
        mask = torch.rand(n, length, generator=generator) < 0.6
        mask[0] = True
        mask[-1] = False
        mask[torch.arange(n), torch.randint(length, (n,), generator=generator)] = True
        masks.append(mask)
    return text.to(dtype), video.to(dtype), *masks


def with_gradients(form, text, video, text_mask, video_mask, alpha, **options):
    """Both matrices and both gradients of an arbitrary function of them."""
    text, video = text.clone().requires_grad_(), video.clone().requires_grad_()
    result = form(text, video, text_mask, video_mask, alpha, **options)
    weights = torch.linspace(-1, 2, result.text_to_video.numel(), dtype=torch.float64)
    weights = weights.view_as(result.text_to_video).to(result.text_to_video.dtype)
    (
        (result.text_to_video * weights).sum() + (result.video_to_text * weights.flip(0)).sum()
    ).backward()
    return *result, text.grad, video.grad


@pytest.mark.parametrize("alpha", [3.0, 1.0, 0.1, 0.05, 0.024, 0.01, 0.002])
@pytest.mark.parametrize("exclude_padding", [False, True])
def test_chunked_equals_reference(alpha, exclude_padding):
    inputs = batch()
    for cells in (1, 40, 100, None):  # one caption a chunk, uneven chunks, all at once
        found = with_gradients(
            token_similarity_chunked,
            *inputs,
            alpha,
            exclude_padding=exclude_padding,
            cells_per_chunk=cells,
        )
        truth = with_gradients(
            token_similarity, *inputs, alpha, exclude_padding=exclude_padding,
            implementation="reference",
        )  # fmt: skip
        for mine, theirs in zip(found, truth, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alpha", [1.0, 0.05, 0.01])
def test_single_precision_at_small_alpha(form, alpha):
    inputs = batch(width=32)
    single = (inputs[0].float(), inputs[1].float(), *inputs[2:])
    found = with_gradients(token_similarity, *single, alpha, implementation=form)
    truth = with_gradients(token_similarity, *inputs, alpha, implementation="reference")
    for mine, theirs in zip(found, truth, strict=True):
        assert mine.dtype == torch.float32
        scale = theirs.abs().max()
        # exp(s / alpha) turns a rounding error of s into one that is 1 / alpha larger
        assert (mine.double() - theirs).abs().max() / scale < 1e-6 * max(1, 0.2 / alpha)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_tokens(form, dtype):
    text, video, *masks = batch(width=32, dtype=dtype)
    found = with_gradients(token_similarity, text, video, *masks, 1.0, implementation=form)
    wide = (text.double(), video.double(), *masks)
    truth = with_gradients(token_similarity, *wide, 1.0, implementation="reference")
    assert found[0].dtype == found[1].dtype == torch.float32
    for mine, theirs in zip(found[:2], truth[:2], strict=True):  # only the tokens were rounded
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-6, atol=1e-6)
    for mine, theirs in zip(found[2:], truth[2:], strict=True):
        assert mine.dtype == dtype
        error = (mine.double() - theirs).abs().max() / theirs.abs().max()
        assert error <= torch.finfo(dtype).eps


@pytest.mark.parametrize("alpha", [1.0, 0.2, 0.02])
def test_gradcheck(alpha):
    text, video, text_mask, video_mask = batch(3, 4, 3, 3, 4)

    def both(text, video):
        return tuple(
            token_similarity_chunked(
                text, video, text_mask, video_mask, alpha, False, cells_per_chunk=20
            )
        )

    assert torch.autograd.gradcheck(both, (text.requires_grad_(), video.requires_grad_()), eps=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_definition_by_loops(form):
    text, video, text_mask, video_mask = batch(2, 3, 4, 3, 5)
    found = token_similarity(text, video, text_mask, video_mask, 0.7, implementation=form)
    for a in range(2):
        for b in range(3):
            to_video, to_text = 0.0, 0.0
            cosine = torch.nn.functional.cosine_similarity(
                text[a][:, None], video[b][None], dim=-1
            ) * (text_mask[a][:, None] * video_mask[b])
            for t in range(4):
                to_video += 0.7 * (cosine[t][video_mask[b]] / 0.7).exp().sum().log()
            for f in range(3):
                to_text += 0.7 * (cosine[:, f][text_mask[a]] / 0.7).exp().sum().log()
            torch.testing.assert_close(found.text_to_video[a, b], to_video / text_mask[a].sum())
            torch.testing.assert_close(found.video_to_text[a, b], to_text / video_mask[b].sum())


@pytest.mark.parametrize("form", FORMS)
def test_padding(form):
    text, video, text_mask, video_mask = batch()
    longer = torch.cat([text, torch.randn(5, 3, 8, dtype=torch.float64)], dim=1)
    longer_mask = torch.cat([text_mask, torch.zeros(5, 3, dtype=torch.bool)], dim=1)

    def scores(tokens, mask, **options):
        return token_similarity(
            tokens, video, mask, video_mask, 0.5, implementation=form, **options
        )

    torch.testing.assert_close(
        scores(longer, longer_mask, exclude_padding=True),
        scores(text, text_mask, exclude_padding=True),
    )
    before, after = scores(text, text_mask), scores(longer, longer_mask)
    torch.testing.assert_close(after.video_to_text, before.video_to_text)
    padding = 3 * 0.5 * video_mask.sum(1).double().log()[None, :] / text_mask.sum(1)[:, None]
    torch.testing.assert_close(after.text_to_video, before.text_to_video + padding)


@pytest.mark.parametrize("form", FORMS)
def test_permutations_of_items_and_of_tokens(form):
    text, video, text_mask, video_mask = batch()
    plain = token_similarity(text, video, text_mask, video_mask, 0.3, implementation=form)
    captions, clips, words = torch.randperm(5), torch.randperm(7), torch.randperm(6)
    mixed = token_similarity(
        text[captions][:, words],
        video[clips],
        text_mask[captions][:, words],
        video_mask[clips],
        0.3,
        implementation=form,
    )
    for found, expected in zip(mixed, plain, strict=True):
        torch.testing.assert_close(found, expected[captions][:, clips])


@pytest.mark.parametrize("form", FORMS)
def test_zero_vectors(form):
    text, video, text_mask, video_mask = batch()
    text[2, 1], video[3, 2] = 0.0, 0.0
    for valid in (False, True):
        text_mask[2] = video_mask[3] = True
        text_mask[2, 1] = video_mask[3, 2] = valid
        found = with_gradients(
            token_similarity, text, video, text_mask, video_mask, 1.0, implementation=form
        )
        assert all(value.isfinite().all() for value in found)
        grad_text, grad_video = found[2:]
        assert (grad_text[~text_mask] == 0).all() and (grad_video[~video_mask] == 0).all()
        assert max(grad_text.abs().max(), grad_video.abs().max()) < 1e3


@pytest.mark.parametrize("form", FORMS)
def test_one_token_each(form):
    text, video = torch.randn(1, 1, 4), torch.randn(1, 1, 4)
    one = torch.ones(1, 1, dtype=torch.bool)
    found = token_similarity(text, video, one, one, 0.01, implementation=form)
    cosine = torch.nn.functional.cosine_similarity(text[0], video[0])
    torch.testing.assert_close(found.text_to_video[0], cosine)
    torch.testing.assert_close(found.video_to_text[0], cosine)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scale_of_features_does_not_matter(scale):
    text, video, *masks = batch(dtype=torch.float32)
    plain = token_similarity(text, video, *masks, 1.0)
    scaled = token_similarity(text * scale, video * scale, *masks, 1.0)
    torch.testing.assert_close(scaled, plain)


def test_only_one_side_needs_a_gradient():
    text, video, *masks = batch()
    text.requires_grad_()
    token_similarity(text, video, *masks, 1.0).text_to_video.sum().backward()
    assert text.grad.abs().sum() > 0 and video.grad is None


def test_packing_covers_every_valid_token_once():
    _, _, mask, _ = batch(n_text=9)
    packing = pack(mask, tokens_per_chunk=7)
    assert len(packing.chunks) > 1
    assert sorted(packing.token.tolist()) == mask.flatten().nonzero().flatten().tolist()
    for chunk in packing.chunks:
        tokens = packing.token[chunk.tokens].tolist()
        assert sum(chunk.widths) == len(tokens)
        assert len(tokens) <= 7 or chunk.items.stop - chunk.items.start == 1
        # position by position, the same items in the same order
        items, start = [], 0
        for width in chunk.widths:
            items.append([token // mask.shape[1] for token in tokens[start : start + width]])
            start += width
        assert all(later == items[0][: len(later)] for later in items)
        assert [int(packing.place[item]) for item in items[0]] == list(
            range(chunk.items.start, chunk.items.stop)
        )


def test_errors_name_the_argument():
    text, video, text_mask, video_mask = batch()
    good = {
        "text_tokens": text,
        "video_tokens": video,
        "text_mask": text_mask,
        "video_mask": video_mask,
        "alpha": 1.0,
    }
    for change, message in (
        ({"implementation": "triton"}, r"implementation: unknown name 'triton'.*chunked"),
        ({"alpha": 0.0}, "alpha: got 0.0"),
        ({"text_mask": text_mask.long()}, "text_mask: got torch.int64"),
        ({"video_mask": video_mask[:2]}, r"video_mask \(2, 4\)"),
        ({"video_tokens": video[..., :3]}, "widths 8 and 3"),
    ):
        with pytest.raises(ValueError, match=message):
            token_similarity(**{**good, **change})
    empty = text_mask.clone()
    empty[3] = False
    with pytest.raises(ValueError, match="item 3 has no valid token"):
        token_similarity(**{**good, "text_mask": empty}, implementation="chunked")
    assert set(IMPLEMENTATIONS) == {"auto", *FORMS}
