"""Norton: video-language pretraining from long, noisy videos by optimal transport.

Importing `mmpt` needs neither fairseq nor faiss nor a GPU: the names below load on first use, and
the fairseq plugin (`--user-dir mmpt`) lives in the `fairseqmm*.py` files alone.
"""

import importlib

__version__ = "0.1.0"

_LAZY = {
    "MMDataset": "mmpt.datasets.mmdataset",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mmpt' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
