"""Small tools; the names that users import from `mmpt.utils` load on first use."""

import importlib

_LAZY = {
    "load_config": "mmpt.config",
    "recursive_config": "mmpt.config",
    "ShardedTensor": "mmpt.utils.shardedtensor",
    "open_shard": "mmpt.utils.shardedtensor",
    "verify_shard": "mmpt.utils.shardedtensor",
    "set_seed": "mmpt.utils.seeds",
    "mixed_seed": "mmpt.utils.seeds",
    "seeded": "mmpt.utils.seeds",
    "get_rank": "mmpt.utils.distributed",
    "get_local_rank": "mmpt.utils.distributed",
    "get_world_size": "mmpt.utils.distributed",
    "is_master": "mmpt.utils.distributed",
}

__all__ = list(_LAZY)


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mmpt.utils' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
