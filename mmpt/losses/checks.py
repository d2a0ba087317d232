"""What a batch must satisfy before a loss touches it."""

import torch
from torch import Tensor

from mmpt.errors import DataError


def check_pairs(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Both [N, d], N at least 1, one row of the one for each row of the other.

    Raises:
        DataError: otherwise; the message has both shapes. Or one is float64 and the other is not.
    """
    if a.ndim != 2 or a.shape != b.shape or a.shape[0] == 0:
        raise DataError(
            f"{name_a} {tuple(a.shape)} and {name_b} {tuple(b.shape)} do not fit: both must be "
            "[clips, width] with at least one clip"
        )
    check_precision(name_a, a, name_b, b)


def check_precision(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Two tensors that are computed in one precision: both float64, or neither.

    Raises:
        DataError: otherwise; the message has both types.
    """
    if (a.dtype == torch.float64) != (b.dtype == torch.float64):
        raise DataError(
            f"{name_a} is {a.dtype} and {name_b} {b.dtype}: float64 is needed on both sides, or on "
            "neither"
        )


def check_rows(name: str, scores: Tensor) -> None:
    """Class scores [rows, C] with at least one row and one class.

    Raises:
        DataError: otherwise; the message has the shape.
    """
    if scores.ndim != 2 or scores.numel() == 0:
        raise DataError(f"{name} {tuple(scores.shape)}: [rows, classes] is needed, none of them 0")


def check_scores(name: str, scores: Tensor) -> None:
    """Class scores [..., classes] with at least one class and one row of them.

    Raises:
        DataError: otherwise; the message has the shape.
    """
    if scores.ndim == 0 or scores.numel() == 0:
        raise DataError(f"{name} {tuple(scores.shape)}: [..., classes] is needed, none of them 0")


def check_same_shape(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Two tensors of one shape, not empty.

    Raises:
        DataError: otherwise; the message has both shapes.
    """
    if a.shape != b.shape or a.numel() == 0:
        raise DataError(
            f"{name_a} {tuple(a.shape)} and {name_b} {tuple(b.shape)} do not fit: one shape, not "
            "empty, is needed"
        )


def check_tokens(name: str, tokens: Tensor, mask_name: str, mask: Tensor, clips: int) -> None:
    """Tokens [N, length, d] with a mask [N, length], for N clips.

    Raises:
        DataError: otherwise; the message has the shapes.
    """
    if tokens.ndim != 3 or tokens.shape[0] != clips or mask.shape != tokens.shape[:2]:
        raise DataError(
            f"{name} {tuple(tokens.shape)} and {mask_name} {tuple(mask.shape)} do not fit "
            f"{clips} clips: [{clips}, length, width] and [{clips}, length] are needed"
        )


def check_some_valid(mask_name: str, mask: Tensor) -> None:
    """Every row of a bool mask [N, length] has a valid position.

    Raises:
        DataError: a row without one; the message has its number.
    """
    empty = ~mask.any(dim=1)
    if bool(empty.any()):
        rows = empty.nonzero().flatten().tolist()
        listed = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise DataError(f"{mask_name}: no valid position in row {listed} (of {len(mask)})")


def check_finite(**tensors: Tensor) -> None:
    """No NaN and no infinity in any of the named tensors.

    Raises:
        DataError: the message names each tensor that has some.
    """
    # extrema carry NaN along, so one reduction a tensor and one wait for the device are enough
    tensors = {name: tensor for name, tensor in tensors.items() if tensor.numel()}
    if not tensors:
        return
    extrema = [torch.stack(tensor.detach().aminmax()).float() for tensor in tensors.values()]
    finite = torch.stack(extrema).isfinite().all(dim=1).tolist()
    bad = [name for name, fine in zip(tensors, finite, strict=True) if not fine]
    if bad:
        raise DataError(f"{', '.join(bad)}: NaN or infinite values")
