"""What a job's data set finds when it reads its files: one split of one `dataset` section.

Annotations are read by the project's own readers, videos without features are counted, shards are
opened, and where nothing is missing the processors are built as a job builds them.
"""

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from mmpt.config.access import lookup, setting
from mmpt.datacheck import NEEDED, Needed, Opening, line_of
from mmpt.errors import DataError, first_few
from mmpt.io.files import no_file
from mmpt.io.pickles import load_pickle
from mmpt.processors import ROLES, MSRVTTTextProcessor
from mmpt.processors.downstream.segments import ROUNDING_SECONDS, feature_seconds
from mmpt.processors.how2checks import TEXT_SUFFIXES
from mmpt.processors.paths import DISK_SPLITS
from mmpt.processors.processor import DEFAULT_WIDTH
from mmpt.utils.bert import load_tokenizer
from mmpt.utils.shardedtensor import ShardedTensor
from mmpt_cli.data_things import BROKEN, MISSING, OK, Fact
from mmpt_cli.entry import user_line
from mmpt_cli.missing import PATH_UNITS

COUNTED_HERE = "mmpt.processors.downstream.features"
"""The logger that says which videos have no features."""
SHARDED = ("ShardedHow2MetaProcessor", "ShardedHow2VideoRetriMetaProcessor")
NEED_BERT = ("text_processor", "aligner")
FEATURES = "vfeat_dir"
KINDS_OF_SHARDS = dict(zip(TEXT_SUFFIXES, ("time shard", "token shard"), strict=True))


class Read(NamedTuple):
    """What reading a split found out, and which files it would open."""

    facts: list[Fact]
    openings: list[tuple[str, Opening]]
    """(key of `dataset` or path, what to open)."""


class Shards(NamedTuple):
    """The shards of one kind: the key that names them, how their names begin and end, the kind of
    `Opening`, and how many words their tokenizer knows (0: they hold no tokens, or not known)."""

    key: str
    prefix: str
    suffix: str
    kind: str
    words: int = 0


def read_split(config: Any, lost: Collection[str], with_bert: bool) -> Read:
    """Reads one split.

    Args:
        config: the `dataset` section with `split` and all four roles.
        lost: paths that are not there, which has been said (a prefix of file names ends in `*`).
        with_bert: whether the tokenizer can be had; else texts are not looked at.
    """
    read = Read([], [])
    name = setting(config, "meta_processor")
    try:
        if name in SHARDED:
            whole = _read_shards(config, read, with_bert)
        else:
            whole = name not in NEEDED or _count(NEEDED[name](config), config, read)
        if whole:
            _build(config, read, with_bert)
    except Exception as error:  # a file that its reader stumbles over is broken too
        line = user_line(error) or " ".join(f"{type(error).__name__}: {error}".split())
        if not any(_begins_with(line, path) for path in lost):
            read.facts.append(_about(config, BROKEN, line))
    return read


def _about(config: Any, state: str, line: str, stops: bool = True) -> Fact:
    """A line of a reader, told of the file that it begins with; else of the job file."""
    text = line.removeprefix("shard ")
    named = {
        key: f"{path}*" if unit == "path prefix" else str(path)
        for key, unit in PATH_UNITS.items()
        if (path := setting(config, key)) is not None
    }
    named["bert_name"] = "dataset.bert_name"
    keys = [key for key, path in named.items() if _begins_with(text, path)]
    return Fact(state, line, max(keys, key=lambda key: len(named[key]), default=""), stops=stops)


def _begins_with(line: str, path: str) -> bool:
    """Whether a line is about a path, or about one below it: `a/b.csv: …` is not about `a/b`."""
    if path.endswith("*"):
        return line.startswith(path[:-1])
    whole = path.rstrip("/") or "/"
    return line.startswith(whole) and line[len(whole) :][:1] in ("", ":", "/")


def _count(needed: Needed, config: Any, read: Read) -> bool:
    """Counts the videos that have features; says whether the processors can be built."""
    if needed.lacking:
        line = f"{len(needed.lacking)} annotations are not there: {first_few(needed.lacking)}"
        read.facts.append(Fact(MISSING, line, "annotation_path", stops=False))
    folder = setting(config, FEATURES)
    if folder is None:
        return True
    stored, odd = _stored(needed, folder)
    gone = sorted(video_id for video_id, name in stored.items() if name is None)
    gone = [video_id for video_id in gone if video_id not in odd]
    count = len(stored) - len(gone) - len(odd)
    part = " (train)" if setting(config, "split") == "train" else ""  # one table may hold both
    told = f"{count:,} of {len(stored):,} videos of {os.path.basename(needed.table)}{part}"
    read.facts.append(Fact(OK, told, FEATURES))
    if gone:
        stops = needed.fixed or count + len(odd) == 0
        fate = "" if stops else "; the job leaves them out"
        files = first_few([f"{needed.names[video_id][0]}.npy" for video_id in gone])
        line = (
            f"{len(gone):,} of the {len(stored):,} videos of {needed.table} have no features: "
            f"{files}{fate}"
        )
        read.facts.append(Fact(MISSING, line, FEATURES, stops=stops))
    if odd:
        line = (
            f"the features of {len(odd):,} of the {len(stored):,} videos of {needed.table} are no "
            f"files with content: {first_few(sorted(odd.values()))}"
        )
        read.facts.append(Fact(BROKEN, line, FEATURES))
    width = setting(config, "vfeat_dim", DEFAULT_WIDTH)
    names = [name for name in stored.values() if name is not None]
    read.openings.extend((FEATURES, Opening("features", folder, n, width)) for n in names)
    readable = _check_lengths(needed, stored, folder, read)
    return readable and count > 0 and not (gone and needed.fixed)


def _stored(needed: Needed, folder: str) -> tuple[dict[str, str | None], dict[str, str]]:
    """Video -> the name of its features, None without; and what stands where no features are.

    Regular files with content count, links to them too.

    Raises:
        OSError: the folder may not be listed.
    """
    try:
        with os.scandir(folder) as entries:
            present = {entry.name: entry for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        present = {}  # which has been said: how many it should hold is known all the same
    stored: dict[str, str | None] = {}
    odd: dict[str, str] = {}
    for video_id, allowed in needed.names.items():
        # the first name counts, as where a job reads them
        name = next((name for name in allowed if f"{name}.npy" in present), None)
        problem = None if name is None else _why_no_features(present[f"{name}.npy"])
        stored[video_id] = name if problem is None else None
        if problem is not None:
            odd[video_id] = f"{name}.npy ({problem})"
    return stored, odd


def _why_no_features(entry: os.DirEntry) -> str | None:
    """Why an entry of a folder cannot be a file of features, told from outside."""
    try:
        if not entry.is_file():
            return no_file(entry.path) or "a link to nothing"
        return None if entry.stat().st_size else "empty"
    except OSError as error:  # a link that leads in a circle, or where nobody may look
        return str(error.strerror)


def _check_lengths(needed: Needed, stored: dict, folder: str, read: Read) -> bool:
    """Finds the videos whose texts begin behind the end of their features; says whether the
    lengths could be asked for."""
    short, odd = [], []
    for video_id, begin in needed.begins.items():
        if stored[video_id] is None:
            continue
        file = f"{stored[video_id]}.npy"
        try:
            seconds = feature_seconds(os.path.join(folder, file))
        except Exception as error:
            odd.append(line_of(error, file))
            continue
        if seconds is not None and begin > seconds + ROUNDING_SECONDS:
            short.append(f"{video_id} ({seconds} s, a sentence at {begin:g} s)")
    if short:
        line = f"{len(short)} videos end before their last sentence begins: {first_few(short)}"
        read.facts.append(Fact(BROKEN, line, FEATURES))
    read.facts.extend(Fact(BROKEN, line, FEATURES) for line in odd[:3])
    return not odd


def _read_shards(config: Any, read: Read, with_bert: bool) -> bool:
    """Opens every shard of a split; says whether all are whole."""
    folder, text = setting(config, FEATURES), setting(config, "tfeat_dir")
    part = DISK_SPLITS[setting(config, "split")]
    path = os.path.join(folder, f"{part}_meta.pkl")
    meta = load_pickle(path)
    if not isinstance(meta, dict) or not all(isinstance(ids, list) for ids in meta.values()):
        raise DataError(f"{path}: expected {{shard number: [video ids]}}")
    videos = sum(map(len, meta.values()))
    read.facts.append(Fact(OK, f"videos: {videos:,}; shards: {len(meta)}", FEATURES, path))
    groups = [Shards(FEATURES, os.path.join(folder, f"{part}_"), "", "feature shard")]
    if text is not None:
        bert = setting(config, "bert_name")
        words = len(load_tokenizer(str(bert))) if with_bert and bert is not None else 0
        groups += [
            Shards("tfeat_dir", f"{text}{part}_", suffix, kind, words)
            for suffix, kind in KINDS_OF_SHARDS.items()
        ]
    whole = [_look_at_shards(group, meta, path, read) for group in groups]
    return all(whole)


def _look_at_shards(group: Shards, meta: dict, meta_path: str, read: Read) -> bool:
    """Opens the shards of one kind; says whether all are whole."""
    what = f"{group.prefix}*{group.suffix}"
    gone, bad = [], []
    for number, ids in meta.items():
        shard = f"{group.prefix}{number}{group.suffix}"
        files = [f"{shard}_{part}.npy" for part in ("data", "starts")]
        absent = [file for file in files if not os.path.exists(file)]
        problem = None if absent else _problem_of_shard(shard, len(ids), meta_path)
        if absent:
            gone.append(absent)
        elif problem:
            bad.append(problem)
        else:
            read.openings.append((what, Opening(group.kind, shard, limit=group.words)))
    told = f"shards: {len(meta) - len(gone) - len(bad)} of {len(meta)}"
    read.facts.append(Fact(OK, told, group.key, what))
    if gone:
        names = [name for absent in gone for name in absent]
        line = f"{len(names)} files of shards are missing: {first_few(names)}"
        read.facts.append(Fact(MISSING, line, group.key, what))
    read.facts.extend(Fact(BROKEN, line, group.key, what) for line in bad)
    return not gone and not bad


def _problem_of_shard(shard: str, videos: int, meta: str) -> str | None:
    try:
        found = len(ShardedTensor.load(shard, mmap_mode="r"))
    except Exception as error:
        return line_of(error, f"shard {shard}")
    return None if found == videos else f"shard {shard}: {found} videos, {meta} lists {videos}"


def _build(config: Any, read: Read, with_bert: bool) -> None:
    """Builds the processors as a job does; what they say in the log is kept."""
    built: dict[str, Any] = {}
    with _kept_log() as said:
        for role, known in ROLES.items():
            if with_bert or role not in NEED_BERT:
                name = setting(config, role)
                built[role] = lookup(known, name, f"dataset.{role}")(config)
    read.facts.extend(_about(config, OK, line) for line in said)
    text, meta = built.get("text_processor"), built["meta_processor"]
    if isinstance(text, MSRVTTTextProcessor) and text.captions is not None:
        silent = sorted({video for video, _ in meta.data} - text.captions.keys())
        if silent:
            line = f"{text.path}: no caption for {len(silent)} videos: {first_few(silent)}"
            read.facts.append(Fact(BROKEN, line, "json_path"))


@contextmanager
def _kept_log() -> Iterator[Sequence[str]]:
    """Within, what the processors say is put into a list, and shown nowhere."""
    said: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name != COUNTED_HERE:
                said.append(" ".join(record.getMessage().split()))

    logger = logging.getLogger("mmpt")
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [Keeper()], False
    try:
        yield said
    finally:
        logger.handlers, logger.propagate = handlers, propagate
