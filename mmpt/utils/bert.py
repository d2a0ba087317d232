"""Where `dataset.bert_name` points to: one rule for the tokenizer, the config and the weights."""

import functools
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mmpt.errors import DataError

logger = logging.getLogger(__name__)

T = TypeVar("T")

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
LOCAL_WEIGHTS = Path("pretrained_models")

HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
HUB_SECONDS = 5.0
"""How long a hub may take for its first word."""

LOAD_ERRORS = (OSError, ValueError, RuntimeError)
"""What transformers raises for names and folders that it cannot use."""


def resolve_bert(bert_name: str) -> str:
    """The folder for `bert_name`: itself, or its copy under `pretrained_models/`, else the name.

    A name that is no folder is left to transformers, which looks in its cache and on the hub.
    """
    for folder in (Path(bert_name), LOCAL_WEIGHTS / bert_name):
        if folder.is_dir():
            return str(folder)
    return bert_name


def missing_bert(bert_name: str, what: str, reason: str = "") -> DataError:
    """The error for a BERT that cannot be had.

    Args:
        what: config, weights or tokenizer.
        reason: why the hub does not give it.
    """
    folder = Path(resolve_bert(bert_name))
    if folder.is_dir():
        return DataError(f"dataset.bert_name: no usable {what} in the folder {folder}{reason}")
    return DataError(
        f"dataset.bert_name: no {what} for {bert_name!r}: not a folder in Hugging Face layout, not "
        f"in {LOCAL_WEIGHTS}/{reason}; put a copy at {LOCAL_WEIGHTS / bert_name} (README, 'Where "
        "things go')"
    )


def from_pretrained(load: Callable[..., T], bert_name: str, what: str, **kwargs) -> T:
    """Calls a `from_pretrained` of transformers: local files first, then the hub.

    Args:
        load: for instance `AutoConfig.from_pretrained`.
        what: for the message: config, weights, tokenizer.

    Raises:
        DataError: `bert_name` cannot be found, or is damaged.
    """
    source = resolve_bert(bert_name)
    try:
        return load(source, local_files_only=True, **kwargs)
    except LOAD_ERRORS as error:
        if Path(source).is_dir():
            raise missing_bert(bert_name, what, f" ({_first_line(error)})") from error
    reason = why_no_hub(bert_name)
    if reason is not None:
        raise missing_bert(bert_name, what, reason)
    logger.info("%s: no local %s, asking the hub", bert_name, what)
    try:
        return load(source, **kwargs)
    except LOAD_ERRORS as error:
        raise missing_bert(
            bert_name, what, f", and the hub has none ({_first_line(error)})"
        ) from error


def why_no_hub(bert_name: str) -> str | None:
    """Why the hub need not be asked for a name, for the message; None where it may have it.

    Asked of a hub that is out of reach, transformers tries again and again for most of a minute,
    for every file.  One short request tells.  Any answer will do: proxies, mirrors (`HF_ENDPOINT`)
    and tokens are the business of the client that is asked afterwards.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if not HUB_NAME.fullmatch(bert_name):
        return ", and a hub name has the form NAME or OWNER/NAME"
    if constants.HF_HUB_OFFLINE:
        return ", not in the hub's cache, and HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception as error:  # whichever HTTP client the hub's library has chosen
        return f", and the hub at {constants.ENDPOINT} cannot be reached ({_first_line(error)})"
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


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
