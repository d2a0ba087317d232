"""Where `dataset.bert_name` points to: one rule for the tokenizer, the config and the weights."""

import functools
from pathlib import Path

from mmpt.errors import DataError

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


@functools.lru_cache(maxsize=8)
def load_tokenizer(bert_name: str, use_fast: bool = True):
    """The tokenizer of a folder or hub name, loaded once per process.

    Raises:
        DataError: `bert_name` cannot be found.
    """
    from transformers import AutoTokenizer  # seconds to import, not needed to read a config

    try:
        return AutoTokenizer.from_pretrained(resolve_bert(bert_name), use_fast=use_fast)
    except (OSError, ValueError) as error:
        raise missing_bert(bert_name, "tokenizer") from error


def special_token_ids(bert_name: str) -> tuple[int, int]:
    """The ids of [CLS] and [SEP]."""
    tokenizer = load_tokenizer(bert_name)
    return tokenizer.cls_token_id, tokenizer.sep_token_id
