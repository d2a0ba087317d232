"""Data sets: `MMDataset`, which needs no fairseq, and fairseq's view of it."""

import importlib

_LAZY = {
    "MMDataset": "mmpt.datasets.mmdataset",
    "FairseqMMDataset": "mmpt.datasets.fairseqmmdataset",
}

__all__ = ["FairseqMMDataset", "MMDataset"]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mmpt.datasets' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
