"""Each text and each video through the model once, however often a test set asks for it."""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor, nn

from mmpt.errors import ConfigError


class EncodedOnce:
    """What was encoded, by key; kept on the CPU in float32."""

    def __init__(self):
        self.vectors: dict[Hashable, Tensor] = {}

    def __call__(self, keys: Sequence[Hashable], encode: Callable[[Tensor], Tensor]) -> Tensor:
        """The vectors of a batch.

        Args:
            keys: what tells one text or video from another, N of them.
            encode: int64 rows [n] of the batch -> [n, ...]; called with the first row of each key
                that is new, and not at all where none is.

        Returns:
            float32 [N, ...].
        """
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self.vectors}
        if new:
            rows = sorted(new.values())
            encoded = encode(torch.tensor(rows)).float().cpu()
            for row, vector in zip(rows, encoded, strict=True):
                self.vectors[keys[row]] = vector
        return torch.stack([self.vectors[key] for key in keys])


def encode_texts(known: EncodedOnce, model: nn.Module, caps: Tensor, cmasks: Tensor) -> Tensor:
    """Pooled texts, float32 [N, hidden]; a text is known by its tokens.

    Args:
        known: of the texts of one evaluation.
        caps: int64 [N, T]; cmasks: bool [N, T].
    """
    masks = cmasks.bool()
    pairs = zip(caps.cpu(), masks.cpu(), strict=True)
    keys = [tuple(ids[mask].tolist()) for ids, mask in pairs]
    return known(keys, lambda rows: model.forward_text(caps[rows], masks[rows])[0])


def require_apart(model: nn.Module, task: str) -> None:
    """Checks that a model encodes video and text apart.

    Raises:
        ConfigError: it does not.
    """
    if not (hasattr(model, "forward_text") and hasattr(model, "forward_video")):
        raise ConfigError(
            f"model.model_cls: {type(model).__name__} does not encode video and text apart, which "
            f"{task} needs; use MMFusionSeparate"
        )
