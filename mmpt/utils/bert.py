"""Where `dataset.bert_name` points to: one rule for the tokenizer, the config and the weights."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mmpt.errors import DataError

logger = logging.getLogger(__name__)

T = TypeVar("T")

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
LOCAL_WEIGHTS = Path("pretrained_models")


def resolve_bert(bert_name: str) -> str:
    """The folder for `bert_name`: itself, or its copy under `pretrained_models/`, else the name.

    A name that is no folder is left to transformers, which looks in its cache and on the hub.
    """
    for folder in (Path(bert_name), LOCAL_WEIGHTS / bert_name):
        if folder.is_dir():
            return str(folder)
    return bert_name


def missing_bert(bert_name: str, what: str) -> DataError:
    """The error for a BERT that cannot be had."""
    return DataError(
        f"dataset.bert_name: no {what} for {bert_name!r}: not a folder in Hugging Face layout, not "
        f"in {LOCAL_WEIGHTS}/, and not to be had from the hub; put a copy at "
        f"{LOCAL_WEIGHTS / bert_name} (README, 'Where things go')"
    )


def from_pretrained(load: Callable[..., T], bert_name: str, what: str, **kwargs) -> T:
    """Calls a `from_pretrained` of transformers: local files first, then the hub.

    Without a hub, transformers tries for most of a minute before it gives up, hence the line.

    Args:
        load: for instance `AutoConfig.from_pretrained`.
        what: for the message: config, weights, tokenizer.

    Raises:
        DataError: `bert_name` cannot be found, or is damaged.
    """
    source = resolve_bert(bert_name)
    try:
        return load(source, local_files_only=True, **kwargs)
    except (OSError, ValueError, RuntimeError) as error:
        if Path(source).is_dir():
            raise missing_bert(bert_name, what) from error
    logger.info("%s: no local %s, asking the hub", bert_name, what)
    try:
        return load(source, **kwargs)
    except (OSError, ValueError, RuntimeError) as error:
        raise missing_bert(bert_name, what) from error


@functools.lru_cache(maxsize=8)
def load_tokenizer(bert_name: str, use_fast: bool = True):
    """The tokenizer of a folder or hub name, loaded once per process.

    Raises:
        DataError: `bert_name` cannot be found, or its folder has no vocabulary.
    """
    from transformers import AutoTokenizer  # seconds to import, not needed to read a config

    folder = Path(resolve_bert(bert_name))
    # transformers makes up an empty vocabulary where a folder has none
    if folder.is_dir() and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise DataError(
            f"dataset.bert_name: {folder} holds no {' or '.join(TOKENIZER_FILES)}: the model's "
            "vocabulary is missing"
        )

    return from_pretrained(AutoTokenizer.from_pretrained, bert_name, "tokenizer", use_fast=use_fast)


def special_token_ids(bert_name: str) -> tuple[int, int]:
    """The ids of [CLS] and [SEP]."""
    tokenizer = load_tokenizer(bert_name)
    return tokenizer.cls_token_id, tokenizer.sep_token_id
