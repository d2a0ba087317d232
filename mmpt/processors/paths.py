"""Files that a job file names: found, read, or reported with the key that asked for them."""

import json
import os
from typing import Any

from mmpt.config.access import setting
from mmpt.errors import ConfigError, DataError
from mmpt.io.files import no_file

SPLIT_KEYS = {"train": "train_path", "valid": "val_path", "test": "test_path"}
"""The key of `dataset` that holds the list of a split."""

DISK_SPLITS = {"train": "train", "valid": "val", "test": "val"}
"""How a split is called in the names of HowTo100M's shards; there is no test part on disk."""


def config_split(config: Any) -> str:
    """`dataset.split`; unset means `train`.

    Raises:
        ConfigError: another value than train, valid, test.
    """
    split = setting(config, "split", "train")
    if split not in SPLIT_KEYS:
        raise ConfigError(f"dataset.split: got {split!r}; allowed: {', '.join(SPLIT_KEYS)}")
    return split


def required(config: Any, key: str) -> Any:
    """The value of a key of `dataset`.

    Raises:
        ConfigError: it is not set.
    """
    value = setting(config, key)
    if value is None:
        raise ConfigError(f"dataset.{key} is not set, and the processors of this job need it")
    return value


def required_file(config: Any, key: str, section: str) -> str:
    """The path in `dataset.KEY`, which must be a file.

    Args:
        config: the `dataset` section.
        key: for instance `train_path`.
        section: the section of DATASET.md that says how to get the file.

    Raises:
        ConfigError: the key is not set.
        DataError: there is no such file, or it is no regular one.
    """
    path = str(required(config, key))
    other = no_file(path)
    if other is not None:
        raise DataError(f"{path}: {other}, where a file is needed; {asked_by(key, section)}")
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; {asked_by(key, section)}")
    return path


def required_folder(config: Any, key: str, section: str) -> str:
    """The path in `dataset.KEY`, which must be a folder; as `required_file`."""
    path = str(required(config, key))
    if os.path.isfile(path):
        raise DataError(f"{path}: a file, where a folder is needed; {asked_by(key, section)}")
    if not os.path.isdir(path):
        raise DataError(f"{path}: no such folder; {asked_by(key, section)}")
    return path


def asked_by(key: str, section: str) -> str:
    """The end of a message about a missing file."""
    return f"dataset.{key} asks for it, DATASET.md, section {section!r}, says how to get it"


def read_lines(path: str) -> list[str]:
    """The lines of a UTF-8 text file, stripped, without empty ones and without a byte order mark.

    Raises:
        DataError: the file is no text, or has no line.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a UTF-8 text file ({error.reason})") from None
    lines = [line for line in lines if line]
    if not lines:
        raise DataError(f"{path}: the list is empty; one video id a line is expected")
    return lines


def read_json(path: str) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it is damaged.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not a JSON file ({error})") from None
