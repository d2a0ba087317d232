"""Encoders that hand features and directions through, with the forward contract of the models."""

import numpy as np
import torch
from torch import Tensor, nn

from mmpt.models import MODELS
from mmpt.models.fusion import Encoded
from mmpt.proof.codes import Codes

CLS, SEP = 2, 3
"""Ids of the tokenizer's special tokens, see `codes.SPECIAL_TOKENS`."""


def identity_model(model_cls: str, codes: Codes) -> nn.Module:
    """A model of class `model_cls` whose encoders are the identity.

    What the class does with its encoders' outputs is its own.
    """
    kind = type(f"Identity{model_cls}", (_Identity, MODELS[model_cls]), {})
    return kind(codes)


class _Identity(nn.Module):
    """`forward_video` and `forward_text` of a dual encoder; a mixin before the model's class."""

    def __init__(self, codes: Codes):
        nn.Module.__init__(self)
        self.codes = codes

    def forward_video(
        self,
        vfeats: Tensor,
        vmasks: Tensor,
        caps: Tensor,
        cmasks: Tensor,
        output_hidden_states: bool = False,
        **ignored,
    ) -> Encoded | Tensor:
        """States are the features; pooled is their mean over valid frames, 0 where there is none.

        As in the models, states begin with [CLS] and end with [SEP], both 0 here.
        """
        ends = vfeats.new_zeros(len(vfeats), 1, vfeats.shape[-1])
        states = torch.cat([ends, vfeats, ends], dim=1)
        if output_hidden_states:
            return states
        mask = nn.functional.pad(vmasks.bool(), (1, 1))
        pooled = (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return Encoded(pooled, states, mask)

    def forward_text(self, caps: Tensor, cmasks: Tensor, **ignored) -> Encoded:
        """Pooled is the text's direction; states repeat it."""
        lengths = cmasks.bool().sum(dim=1).tolist()
        rows = zip(caps.tolist(), lengths, strict=True)
        directions = np.stack([self.codes.of_tokens(ids[2 : n - 1]) for ids, n in rows])
        pooled = torch.from_numpy(directions).to(caps.device)
        states = pooled[:, None].expand(-1, caps.shape[1] - 1, -1)
        return Encoded(pooled, states, cmasks.bool()[:, 1:])

    def closing_tokens(self, rows: int, device: torch.device) -> Tensor:
        return torch.tensor([[CLS, SEP]], device=device).expand(rows, -1)
