"""Caption file -> token shards: `PREFIX.SPLIT_N.startends` and `.caps_ids` for every feature shard.

The file is read once, video by video; processes turn videos into token ids; these wait on the disk
until the file is at its end, and then become shards in the order of the meta files.
"""

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmpt.errors import DataError, first_few
from mmpt.io.atomic import clear_left_overs
from mmpt.io.pickles import DictWriter, write_dict
from mmpt.processors.how2checks import TEXT_SUFFIXES
from mmpt.sharding.jsonstream import stream_captions
from mmpt.sharding.layout import read_meta, text_prefix
from mmpt.sharding.locks import lock_file
from mmpt.sharding.parallel import tokenise_all
from mmpt.sharding.records import Record, digest, file_stamp, remove_stale, shard_files
from mmpt.sharding.settings import TokenSettings
from mmpt.sharding.spool import Spool
from mmpt.sharding.tokens import READ_TOKENS, TokenRequest
from mmpt.sharding.writer import write_shard
from mmpt.utils.bert import load_tokenizer, resolve_bert
from mmpt.utils.split import Split

logger = logging.getLogger(__name__)


class TokenReport(NamedTuple):
    """What came of the captions."""

    prefix: Path
    """What `dataset.tfeat_dir` is to be."""
    shards: int
    """Token shards written."""
    kept: int
    """Those that were there already."""
    captions: int
    """In all of them."""
    without: list[str]
    """Videos of the shards that the caption file does not have."""
    damaged: list[str]
    """Entries that could not be used, one line each."""
    twice: list[str]
    """Videos of the shards that the caption file has more than once: their last entry counts."""


class _Collected(NamedTuple):
    """What was noticed in the caption file."""

    damaged: dict[str, str]
    """What is wrong with the entries that cannot be used, by video id."""
    twice: set[str]
    """Ids that came more than once."""


class _Shard(NamedTuple):
    """A shard to be written: its name, the ids of its videos, and its record."""

    name: str
    ids: list[str]
    record: Record


def write_token_shards(settings: TokenSettings, split: Split | None = None) -> TokenReport:
    """Writes the token shards of a caption file, and beside that `NAME.BERTNAME.pkl` with all ids.

    A shard that is there and was made from the same captions, ids and tokenizer is kept.  The
    pickle is written by runs that make all shards.  Videos that the captions lack, and those whose
    entry is damaged, have no captions in the shards; readers leave them out.  Of an id that comes
    twice, the last entry counts.  A run over all shards removes those of an earlier one that the
    meta files no longer name.

    Args:
        settings: as `read_settings` gives them.
        split: the part of the shards; None: all.

    Raises:
        ConfigError: the name of the caption file has another suffix.
        DataError: captions, meta files or BERT are missing or damaged, or no video has a caption.
        LaunchError: a process was killed, or another one makes the same shards.
    """
    captions = Path(settings.caption_pkl_path)
    name = text_prefix(captions, settings.bert_name)
    target = Path(settings.target_dir)
    _check_tokenizer(settings)
    shards = _shards(settings, name, split)
    pickle_record = _pickle_record(settings, name, captions, split)
    due = [shard for shard in shards if shard.record.read() is None]
    if pickle_record is not None and pickle_record.read() is not None:
        pickle_record = None
    if due or pickle_record is not None:
        asked = TokenRequest(
            settings.bert_name, settings.use_fast, str(captions), pickle_record is not None
        )
        own = "" if split is None else f".{split.number}-of-{split.of}"
        sizes = [len(shard.ids) for shard in due]
        with Spool(target / f".{name}spool{own}", sizes) as spool, _pickle_lock(pickle_record):
            _clear_left_overs([*(shard.record for shard in shards), pickle_record])
            collected = _collect(spool, due, asked, settings.processes, pickle_record)
            for index, shard in enumerate(due):
                _write_shard(spool, index, shard, target, collected)
    if split is None:
        _remove_stale(settings, name)
    return _report(target / name, shards, len(due))


def _report(prefix: Path, shards: list[_Shard], written: int) -> TokenReport:
    """What the records of all shards tell."""
    told = [shard.record.read() for shard in shards]
    return TokenReport(
        prefix=prefix,
        shards=written,
        kept=len(shards) - written,
        captions=sum(one["captions"] for one in told),
        without=[video_id for one in told for video_id in one["without"]],
        damaged=[problem for one in told for problem in one["damaged"]],
        twice=[video_id for one in told for video_id in one["twice"]],
    )


def _check_tokenizer(settings: TokenSettings) -> None:
    try:
        load_tokenizer(settings.bert_name, settings.use_fast)
    except DataError as error:  # the key has another name in job files
        raise DataError(str(error).replace("dataset.bert_name", "bert_name")) from None


def _pickle_lock(record: Record | None) -> AbstractContextManager:
    """No other run writes the pickle, into whichever folder its shards go."""
    if record is None:
        return nullcontext()
    path = record.folder / record.outputs[0]
    in_use = f"{path} is in use: another process writes it (token_pickle: false does without it)"
    return lock_file(record.path.with_suffix(".lock"), in_use)


def _clear_left_overs(records: Iterable[Record | None]) -> None:
    """Removes what killed runs were writing of the things that these records are about."""
    own: dict[Path, set[str]] = {}
    for record in records:
        if record is not None:
            own.setdefault(record.folder, set()).update(record.outputs)
            own.setdefault(record.path.parent, set()).add(record.path.name)
    for folder, names in own.items():
        clear_left_overs(folder, names.__contains__)


def _remove_stale(settings: TokenSettings, name: str) -> None:
    target = Path(settings.target_dir)
    for disk_split in settings.splits:
        numbers = read_meta(settings.meta_dir, disk_split)
        removed = remove_stale(target, f"{name}{disk_split}_", numbers, TEXT_SUFFIXES)
        if removed:
            logger.info("%d token shards of an earlier run removed: %s", len(removed),
                        first_few(removed))  # fmt: skip


def _shards(settings: TokenSettings, name: str, split: Split | None) -> list[_Shard]:
    """The shards of one part, or all."""
    source = _source(settings)
    found = []
    for disk_split in settings.splits:
        for number, ids in sorted(read_meta(settings.meta_dir, disk_split).items()):
            prefix = f"{name}{disk_split}_{number}"
            outputs = [file for end in TEXT_SUFFIXES for file in shard_files(f"{prefix}{end}")]
            record = Record(Path(settings.target_dir), prefix, digest(source, ids), outputs)
            found.append(_Shard(prefix, ids, record))
    return found if split is None else split.part(found)


def _pickle_record(
    settings: TokenSettings, name: str, captions: Path, split: Split | None
) -> Record | None:
    if not settings.token_pickle:
        return None
    if split is not None:
        logger.info("%spkl is not written by a part of the shards", captions.with_name(name))
        return None
    return Record(captions.parent, f"{name}pkl", digest(_source(settings)), [f"{name}pkl"])


def _source(settings: TokenSettings) -> list[Any]:
    """What token ids depend on: the captions and the tokenizer's files."""
    folder = Path(resolve_bert(settings.bert_name))
    files = sorted(folder.glob("*.json")) + sorted(folder.glob("vocab.txt"))
    tokenizer = [settings.bert_name, settings.use_fast, [[f.name, file_stamp(f)] for f in files]]
    captions = Path(settings.caption_pkl_path)
    return [str(captions.resolve()), file_stamp(captions), tokenizer]


def _collect(
    spool: Spool,
    shards: list[_Shard],
    asked: TokenRequest,
    processes: int,
    pickle_record: Record | None,
) -> _Collected:
    """Takes the captions of all videos into the spool, and into the pickle where one is due."""
    if pickle_record is None:
        return _fill(spool, shards, asked, processes, None)
    pickle_record.forget()
    with write_dict(pickle_record.folder / pickle_record.outputs[0]) as writer:
        collected = _fill(spool, shards, asked, processes, writer)
    pickle_record.write({})
    return collected


def _fill(
    spool: Spool,
    shards: list[_Shard],
    asked: TokenRequest,
    processes: int,
    writer: DictWriter | None,
) -> _Collected:
    places: dict[str, list[tuple[int, int]]] = {}
    for index, shard in enumerate(shards):
        for position, video_id in enumerate(shard.ids):
            places.setdefault(video_id, []).append((index, position))
    entries = stream_captions(asked.source)
    if writer is None:
        entries = (entry for entry in entries if entry[0] in places)
    damaged, twice, seen, found = {}, set(), set(), False
    for tokens in tokenise_all(entries, asked, processes):
        again = tokens.video_id in seen
        seen.add(tokens.video_id)
        if again:  # the last one counts, as in json.load
            twice.add(tokens.video_id)
            damaged.pop(tokens.video_id, None)
        if tokens.problem is not None:
            damaged[tokens.video_id] = tokens.problem
        if writer is not None and tokens.pickled is not None:
            writer.add_encoded(tokens.video_id, tokens.pickled)
        elif writer is not None and again:  # what is written cannot be taken back
            writer.add(tokens.video_id, {"start": [], "end": [], "cap": []})
        for index, position in places.get(tokens.video_id, ()):
            found = True
            spool.add(index, position, tokens)
    if shards and not found:
        raise DataError(
            f"{asked.source}: none of its videos is among the {len(places)} of the shards"
        )
    return _Collected(damaged, twice)


def _write_shard(
    spool: Spool, index: int, shard: _Shard, target: Path, collected: _Collected
) -> None:
    """Writes the two shards of a name, and what is to be told of them."""
    shard.record.forget()
    rows = spool.rows(index)
    times_end, ids_end = (str(target / f"{shard.name}{end}") for end in TEXT_SUFFIXES)
    with (
        write_shard(times_end, np.dtype(np.float32), 2, rows) as times_writer,
        write_shard(ids_end, np.dtype(np.int32), READ_TOKENS, rows) as ids_writer,
    ):
        times_writer.ids = ids_writer.ids = shard.ids
        for times, ids in spool.read(index):
            times_writer.append(times)
            ids_writer.append(ids)
    told = {
        "captions": rows,
        "without": [shard.ids[position] for position in spool.missing(index)],
        "damaged": [collected.damaged[i] for i in shard.ids if i in collected.damaged],
        "twice": [video_id for video_id in shard.ids if video_id in collected.twice],
    }
    spool.remove(index)
    shard.record.write(told)
