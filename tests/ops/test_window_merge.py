"""Merged windows: the published means, the plain loop, low precision, what does not fit."""

import pytest
import torch

from mmpt.ops.window_merge import frame_seconds, merge_frames, merge_windows, merge_windows_loop


def windows(length, step=8, size=32):
    """Mask and starts of the windows of a video."""
    starts = list(range(0, max(1, length - size + step), step))
    valid = torch.zeros(len(starts), size, dtype=torch.bool)
    for row, start in enumerate(starts):
        valid[row, : min(size, length - start)] = True
    return valid, torch.tensor(starts)


@pytest.mark.parametrize(("case", "length"), [("merge0", 20), ("merge1", 75)])
def test_published_merges(case, length, golden):
    stored = golden("models_data/predictors.npz")
    scores = torch.from_numpy(stored[f"{case}.logits"])
    valid, starts = windows(length)
    assert torch.equal(valid, torch.from_numpy(stored[f"{case}.targets"] != -100))
    wanted = torch.from_numpy(stored[f"{case}.merged"])
    torch.testing.assert_close(merge_windows(scores, valid, starts, length), wanted)


@pytest.mark.parametrize(("length", "step", "size"), [(1, 8, 32), (32, 8, 32), (33, 8, 32)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_scatter_equals_loop(length, step, size, dtype):
    valid, starts = windows(length, step, size)
    scores = torch.randn(*valid.shape, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    merged = merge_windows(scores, valid, starts, length)
    assert merged.dtype == torch.promote_types(dtype, torch.float32)
    wanted = merge_windows_loop(scores.to(merged.dtype), valid, starts, length)
    torch.testing.assert_close(merged, wanted)


def test_padding_and_the_order_of_windows_change_nothing():
    valid, starts = windows(75)
    scores = torch.randn(*valid.shape, 4, dtype=torch.float64)
    merged = merge_windows(scores, valid, starts, 75)
    scores[~valid] = torch.nan
    order = torch.randperm(len(starts))
    shuffled = merge_windows(scores[order], valid[order], starts[order], 75)
    torch.testing.assert_close(shuffled, merged, rtol=1e-13, atol=1e-13)


def test_frames_alone_give_the_same():
    valid, starts = windows(40)
    scores = torch.randn(*valid.shape, 2)
    merged = merge_frames(scores[valid], frame_seconds(valid, starts), 40)
    assert torch.equal(merged, merge_windows(scores, valid, starts, 40))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_any_device():
    valid, starts = windows(75)
    scores = torch.randn(*valid.shape, 4)
    merged = merge_windows(scores.cuda(), valid.cuda(), starts, 75)
    torch.testing.assert_close(merged.cpu(), merge_windows(scores, valid, starts, 75))


@pytest.mark.parametrize(
    ("length", "message"),
    [(39, "windows reach second 39 of a video of 39 seconds"), (42, "leave out 2 of the 42 sec")],
)
def test_windows_of_another_length(length, message):
    valid, starts = windows(40)
    with pytest.raises(ValueError, match=message):
        merge_windows(torch.zeros(*valid.shape, 1), valid, starts, length)
