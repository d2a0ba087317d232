"""Names: which files hold the shards of a split, and what is called after a BERT."""

import os
import re
from pathlib import Path

from mmpt.errors import ConfigError, DataError
from mmpt.io.pickles import load_pickle
from mmpt.processors.how2checks import TEXT_SUFFIXES

SPLITS = ("train", "val")
"""As they are called on the disk."""
CAPTION_SUFFIXES = (".json", ".pkl")


def meta_path(folder: Path, split: str) -> Path:
    """The file {number of the shard: [video ids]} of a split."""
    return folder / f"{split}_meta.pkl"


def read_meta(folder: Path, split: str) -> dict[int, list[str]]:
    """The ids of a split's videos by shard.

    Raises:
        DataError: the file is missing, damaged or of another form.
    """
    path = meta_path(folder, split)
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; it is written together with the feature shards (mmpt shard)"
        )
    meta = load_pickle(path)
    ids_of = meta.values() if isinstance(meta, dict) else [None]
    if not all(isinstance(ids, list) and all(isinstance(i, str) for i in ids) for ids in ids_of):
        raise DataError(f"{path}: expected {{shard number: [video ids]}}")
    if not all(isinstance(shard, int) for shard in meta):
        raise DataError(f"{path}: expected {{shard number: [video ids]}}, got {list(meta)[:3]}")
    return meta


def bert_tag(bert_name: str) -> str:
    """What files are called after a BERT: a folder's last name, or the hub name with -- for /."""
    path = Path(bert_name)
    if path.is_dir() or path.is_absolute():
        return path.resolve().name
    return bert_name.strip("/").replace("/", "--")


def text_prefix(caption_path: Path, bert_name: str) -> str:
    """How the names of token shards begin: `NAME.BERTNAME.`

    Raises:
        ConfigError: the caption file has another suffix than .json or .pkl.
    """
    if caption_path.suffix not in CAPTION_SUFFIXES:
        allowed = " or ".join(CAPTION_SUFFIXES)
        raise ConfigError(f"caption_pkl_path: got {caption_path}; a name in {allowed} is needed")
    return f"{caption_path.stem}.{bert_tag(bert_name)}."


def shard_numbers(folder: Path, beginning: str, end: str = "") -> list[int]:
    """The numbers N of the shards `BEGINNING + N + END` in a folder, sorted."""
    form = re.compile(rf"{re.escape(beginning)}(\d+){re.escape(end)}_(?:data|starts)\.npy")
    found = (form.fullmatch(name) for name in os.listdir(folder))
    return sorted({int(match[1]) for match in found if match})


def text_prefixes(folder: Path) -> list[str]:
    """The beginnings of the names of all token shards in a folder, sorted."""
    form = re.compile(rf"(.+\.)(?:{'|'.join(SPLITS)})_\d+{re.escape(TEXT_SUFFIXES[0])}_starts\.npy")
    found = (form.fullmatch(path.name) for path in folder.glob(f"*{TEXT_SUFFIXES[0]}_starts.npy"))
    return sorted({match[1] for match in found if match})
