"""Where `dataset.bert_name` points to: one rule for the tokenizer, the config and the weights."""

import functools
import json
import logging
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmpt.errors import DataError
from mmpt.io.files import no_file

logger = logging.getLogger(__name__)

T = TypeVar("T")

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
"""Either will do; where both are there, transformers takes the first."""
JSON_FILES = (
    *("config.json", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json"),
)
"""Of a folder in Hugging Face layout; config.json alone must be there."""
SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")}
"""Tokens that sequences are made with: the tokenizer's name for one -> BERT's."""
PADDED_TO = 128
"""Rows of an embedding are padded to a multiple of that at most."""
LONGEST_REASON = 160
"""Characters of a reason that another library gives."""
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
    in_folder = Path(source).is_dir()
    if in_folder:
        read_json_files(Path(source), JSON_FILES if what == "tokenizer" else JSON_FILES[:1])
    try:
        return load(source, local_files_only=True, **kwargs)
    except Exception as error:
        # what reads a damaged file fails in its own terms: KeyError, TypeError, Rust's Exception
        if in_folder and not Path(source, "config.json").is_file():
            raise DataError(f"dataset.bert_name: {source} holds no config.json") from error
        if in_folder:
            raise missing_bert(bert_name, what, f" ({_first_line(error)})") from error
        if not isinstance(error, LOAD_ERRORS):
            raise missing_bert(
                bert_name, what, f", and its copy in the hub's cache is damaged ({error!r})"
            ) from error
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
    if not lines or isinstance(error, LookupError):  # a KeyError says a key, and no more
        return repr(error)
    if lines[0].endswith(":"):
        lines[0] = " ".join(line.strip() for line in lines[:2])
    line = lines[0].rstrip(". ")
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"


def read_json_files(folder: Path, names: Sequence[str] = JSON_FILES) -> dict[str, dict[str, Any]]:
    """The JSON files of a BERT folder, those that are there, by name.

    Raises:
        DataError: one is damaged; the message names it.
    """
    contents = {}
    for name in names:
        path = folder / name
        other = no_file(path)
        if other is not None:
            raise DataError(f"dataset.bert_name: {path} is {other}, no JSON file")
        if not path.exists():
            continue
        try:
            contents[name] = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"dataset.bert_name: {path} is no JSON file ({error})") from error
        if not isinstance(contents[name], dict):
            found = type(contents[name]).__name__
            raise DataError(f"dataset.bert_name: {path} holds a {found}, not a JSON object")
    return contents


@functools.lru_cache(maxsize=8)
def load_tokenizer(bert_name: str, use_fast: bool = True):
    """The tokenizer of a folder or hub name, loaded once per process.

    Raises:
        DataError: `bert_name` cannot be found, or its folder has no vocabulary, a damaged one, or
            one that is not the model's.
    """
    from transformers import AutoTokenizer  # seconds to import, not needed to read a config

    folder = Path(resolve_bert(bert_name))
    if folder.is_dir():
        _check_tokenizer_files(folder)
    tokenizer = from_pretrained(
        AutoTokenizer.from_pretrained, bert_name, "tokenizer", use_fast=use_fast
    )
    if folder.is_dir():
        _check_vocabulary(tokenizer, folder)
    return tokenizer


def _check_tokenizer_files(folder: Path) -> None:
    # transformers makes up an empty vocabulary where a folder has none
    for name in TOKENIZER_FILES:
        other = no_file(folder / name)
        if other is not None:
            raise DataError(f"dataset.bert_name: {folder / name} is {other}, no vocabulary")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise DataError(
            f"dataset.bert_name: {folder} holds no {' or '.join(TOKENIZER_FILES)}: the model's "
            "vocabulary is missing"
        )


def _check_vocabulary(tokenizer: Any, folder: Path) -> None:
    """Refuses a vocabulary that is not the model's.

    A special token that the files lack is made up by transformers, with an id behind the last
    word's: all goes on, with another word's embedding or none.

    Raises:
        DataError: special tokens are missing, or there are more words than embeddings.
    """
    contents = read_json_files(folder)
    config = contents.get("config.json", {})
    if config.get("model_type", "bert") != "bert":
        return  # whoever builds the model says so
    source, ids = _listed_words(folder, contents)
    missing = [
        getattr(tokenizer, role) or usual
        for role, usual in SPECIAL.items()
        if ids.get(getattr(tokenizer, role)) != getattr(tokenizer, f"{role}_id")
    ]
    if missing:
        raise DataError(
            f"dataset.bert_name: {source} lacks {', '.join(missing)}, which sequences are made "
            "with; copy the vocabulary that the model was trained with"
        )
    last, rows = max(tokenizer.get_vocab().values()), config.get("vocab_size")
    if not isinstance(rows, int):
        return
    if last >= rows:
        raise DataError(
            f"dataset.bert_name: {source} has ids up to {last}, the model has embeddings for "
            f"{rows} words ({folder / 'config.json'}: vocab_size); copy all files of one model"
        )
    if rows > math.ceil((last + 1) / PADDED_TO) * PADDED_TO:
        logger.warning(
            "%s has %d words, the model embeddings for %d: is it cut short?", source, last + 1, rows
        )


def _listed_words(folder: Path, contents: dict[str, dict[str, Any]]) -> tuple[Path, dict[str, int]]:
    """The file that the vocabulary comes from, and the ids of its words."""
    if "tokenizer.json" not in contents:
        path = folder / "vocab.txt"
        lines = path.read_text(encoding="utf-8").split("\n")
        return path, {line.rstrip(): number for number, line in enumerate(lines)}
    content = contents["tokenizer.json"]
    added = {entry["content"]: entry["id"] for entry in content.get("added_tokens", [])}
    return folder / "tokenizer.json", {**added, **content["model"]["vocab"]}


def special_token_ids(bert_name: str) -> tuple[int, int]:
    """The ids of [CLS] and [SEP]."""
    tokenizer = load_tokenizer(bert_name)
    return tokenizer.cls_token_id, tokenizer.sep_token_id
