"""What a run of feature extraction is asked for, and which videos are left to do.

A video counts as done while its file is the one noted in the manifest (size, time of change), the
settings are the same, and its features are there with their size.
"""

import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from mmpt.errors import LaunchError, first_few
from mmpt.extraction import manifest
from mmpt.extraction.manifest import Entry, Failure, Settings, feature_file
from mmpt.extraction.networks import NETWORKS
from mmpt.extraction.sources import Sources, find_videos
from mmpt.extraction.weights import Weights, find_weights, random_weights
from mmpt.io import atomic
from mmpt.io.runlock import Owner, hold_run_folder, lock_owner
from mmpt.utils.split import Split

logger = logging.getLogger(__name__)

LOCKS = ".extract"
"""Folder in that of the features: one lock for each part that runs."""
LONGEST_ID = 200
"""Bytes of an id: a file name may have 255, and one that is being written has more than its own."""


class Options(NamedTuple):
    """What a run is asked for.

    Attributes:
        folders: where the videos are.
        features: folder to write to.
        network: name in the registry.
        weights: file of its weights; None: where the public ones are expected.
        random_seed: random weights instead.
        batch_size: clips of a batch.
        decoders: videos decoded at a time.
        half: features are stored as float16, else float32.
        l2_normalize: vectors are brought to length 1.
        device: `cpu`, `cuda` or `cuda:N`.
        dtype: in which the network computes.
        split: the part to do; None: all.
        listed: only these ids; None: all.
        force: do also what is done.
    """

    folders: tuple[Path, ...]
    features: Path
    network: str = "s3d"
    weights: Path | None = None
    random_seed: int | None = None
    batch_size: int = 8
    decoders: int = 2
    half: bool = True
    l2_normalize: bool = True
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    split: Split | None = None
    listed: tuple[str, ...] | None = None
    force: bool = False

    @property
    def named_folders(self) -> str:
        return ", ".join(map(str, self.folders))


class Plan(NamedTuple):
    """What a run will do.

    Attributes:
        settings, weights: of all of its features.
        done: ids that need not be done again.
        todo: id -> file.
        lost: ids that cannot be done at all.
    """

    settings: Settings
    weights: Weights
    done: list[str]
    todo: dict[str, Path]
    lost: list[Failure]


def make_plan(options: Options) -> Plan:
    """Looks at videos, weights and manifests; says what there is to do.

    The folder of the features is made, locked, and freed of what killed runs left half written.

    Raises:
        LaunchError: another process does the same part, or the network has no weights and is given
            some.
        CheckpointError: the weights are missing.
        DataError: folders, ids or a manifest cannot be used.
    """
    sources = find_videos(options.folders, options.listed)
    ids = options.split.part(sources.ids) if options.split else sources.ids
    weights = find_weights(options.network, options.weights, options.random_seed)
    options.features.mkdir(parents=True, exist_ok=True)
    hold_part(options.features, options.split)
    if weights is None:
        weights = random_weights(
            options.network, options.random_seed, options.features, sources.videos.values()
        )
    settings = settings_of(options, weights)
    clear_left_overs(options, ids)
    videos = {name: sources.videos[name] for name in ids if name in sources.videos}
    done = set() if options.force else find_done(options.features, videos, settings)
    lost = lost_ids(ids, sources, options.named_folders)
    left = videos.keys() - done - {failure.id for failure in lost}
    plan = Plan(settings, weights, sorted(done), {n: videos[n] for n in sorted(left)}, lost)
    _say(options, sources, ids, plan)
    return plan


def hold_part(folder: Path, split: Split | None) -> None:
    """Keeps other processes from the same part of the same folder until this one ends.

    Raises:
        LaunchError: one is at it.
    """
    lock = folder / LOCKS / ("all" if split is None else f"{split.number}-of-{split.of}")
    owner = _other_owner(lock)
    if owner is not None:
        raise LaunchError(
            f"{folder}: {owner} extracts the same part to it; wait for it, or name another --split "
            "or --fdir"
        )
    hold_run_folder(lock)


def running_parts(folder: Path) -> list[str]:
    """The parts that other processes extract to a folder now: `all`, `2-of-8`."""
    locks = folder / LOCKS
    names = sorted(os.listdir(locks)) if locks.is_dir() else []
    return [name for name in names if _other_owner(locks / name) is not None]


def _other_owner(lock: Path) -> Owner | None:
    owner = lock_owner(lock)
    own = owner is not None and (owner.host, owner.pid) == (socket.gethostname(), os.getpid())
    return None if own else owner


def settings_of(options: Options, weights: Weights) -> Settings:
    """What the features of a run depend on besides the videos."""
    network = NETWORKS[options.network]
    return Settings(
        network=options.network,
        weights=weights.label,
        rate=network.rate,
        picture=network.size,
        width=network.width,
        l2_normalize=options.l2_normalize,
        dtype=str(options.dtype).removeprefix("torch."),
        stored="float16" if options.half else "float32",
    )


def clear_left_overs(options: Options, ids: Sequence[str]) -> None:
    """Removes what killed runs of this part were writing."""
    own = {f"{name}.npy" for name in ids}
    own |= {manifest.part_file(kind, options.split) for kind in manifest.FORMS}
    if options.split is None and options.random_seed is not None:
        own.add(f"{options.network}_random_{options.random_seed}.pth")
    atomic.clear_left_overs(options.features, own.__contains__)


def find_done(folder: Path, videos: dict[str, Path], settings: Settings) -> set[str]:
    """The ids of the videos whose features are there, made from these files in this way.

    Raises:
        DataError: a manifest is damaged.
    """
    entries = manifest.true_entries(folder, videos)
    bar = tqdm(entries.items(), desc="looking at features", unit="file", delay=2)
    return {
        name
        for name, entry in bar
        if entry.settings == settings
        and _unchanged(entry, videos[name])
        and manifest.size_of(feature_file(folder, name)) == entry.bytes
    }


def _unchanged(entry: Entry, video: Path) -> bool:
    try:
        status = video.stat()
    except OSError:
        return False
    return (entry.size, entry.mtime) == (status.st_size, int(status.st_mtime))


def lost_ids(ids: Sequence[str], sources: Sources, folders: str) -> list[Failure]:
    """The ids without a video, and those that no file can be named after."""
    lost = []
    for name in ids:
        if name not in sources.videos:
            lost.append(Failure(name, None, f"no video of this id in {folders}"))
        elif len(os.fsencode(name)) > LONGEST_ID:
            reason = f"an id of over {LONGEST_ID} bytes: too long for the name of a feature file"
            lost.append(Failure(name, str(sources.videos[name]), reason))
    return lost


def _say(options: Options, sources: Sources, ids: Sequence[str], plan: Plan) -> None:
    logger.info(
        "%d videos in %s (%d files of other kinds)%s; %d done before, %d to do",
        len(sources.videos),
        options.named_folders,
        sources.ignored,
        f"; part {options.split}: {len(ids)}" if options.split else "",
        len(plan.done),
        len(plan.todo),
    )
    if sources.missing:
        names = first_few(sources.missing)
        logger.warning("%d ids of the list have no video (%s)", len(sources.missing), names)
    if sources.closed:
        names = first_few(sources.closed)
        logger.warning("%d folders cannot be read (%s)", len(sources.closed), names)
