"""The weights of a run's network: a file and its SHA-256, or random ones kept beside the features.

Random weights take their statistics from the videos.  They are drawn once and kept as
`FDIR/NETWORK_random_SEED.pth`, so that a run that goes on, and runs of other parts, use the same.
"""

import logging
import os
import secrets
from collections.abc import Iterable
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mmpt.errors import CheckpointError, DataError, LaunchError
from mmpt.extraction.networks import NETWORKS, Network
from mmpt.extraction.reading import UnreadableVideo, VideoReader
from mmpt.io.files import sha256_of

logger = logging.getLogger(__name__)

STATISTICS_CLIPS = 8
"""Clips that random weights take their statistics from, of as many videos where there are."""


class Weights(NamedTuple):
    """Where weights are, and what they are called in the manifest; None for a network without."""

    path: Path | None
    label: str | None


def find_weights(name: str, given: Path | None, seed: int | None) -> Weights | None:
    """The weights of a network; None where random ones are asked for.

    Args:
        name: of the network.
        given: a file; None: where the public ones are expected.
        seed: of random weights, used instead of a file; None: no random ones.

    Raises:
        LaunchError: weights are asked for and the network has none.
        CheckpointError: there is no such file.
    """
    network = NETWORKS[name]
    if network.weights is None or network.randomise is None:
        if given is not None or seed is not None:
            raise LaunchError(
                f"--type {name} has no weights: leave --weights and --random-weights out"
            )
        return Weights(None, None)
    if seed is not None:
        return None
    path = given or network.weights
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file: the weights of {name}; DATASET.md says how to get them, "
            "--weights names another place, --random-weights SEED is for trying things out"
        )
    return Weights(path, sha256_of(path))


def random_weights(name: str, seed: int, folder: Path, videos: Iterable[Path]) -> Weights:
    """Random weights of a network that has weights, made where they are not there yet.

    Args:
        name: of the network.
        seed: of the weights.
        folder: of the features, where they are kept.
        videos: all of the run's, before it is split; the first readable ones give the statistics.

    Raises:
        DataError: none of the videos can be read.
    """
    path = folder / f"{name}_random_{seed}.pth"
    if not path.exists():
        logger.info("%s: making random weights of seed %d", path, seed)
        _make_random(NETWORKS[name], seed, path, videos)
    return Weights(path, f"random {seed} {sha256_of(path)}")


def _make_random(network: Network, seed: int, path: Path, videos: Iterable[Path]) -> None:
    """Writes the file where no other process was faster: all go on with the same one."""
    clips = statistics_clips(network, videos)
    own = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        network.randomise(seed, clips, own)
        try:
            os.link(own, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links: there one process should begin alone
            os.replace(own, path)
    finally:
        own.unlink(missing_ok=True)


def statistics_clips(network: Network, videos: Iterable[Path]) -> torch.Tensor:
    """The first second of each of the first videos that can be read, then their second ones, and so
    on, until there are eight: uint8 [8, rate, size, size, 3], or fewer.

    Raises:
        DataError: no video can be read.
    """
    beginnings: list[list[np.ndarray]] = []
    why = "there is none"
    for video in videos:
        reader = VideoReader(video, network.rate, network.size)
        try:
            beginnings.append(list(islice(reader, STATISTICS_CLIPS)))
        except UnreadableVideo as error:
            why = str(error)
        if len(beginnings) == STATISTICS_CLIPS:
            break
    if not beginnings:
        raise DataError(f"random weights need a video that can be read: {why}")
    turns = (clip for turn in zip_longest(*beginnings) for clip in turn if clip is not None)
    return torch.from_numpy(np.stack(list(islice(turns, STATISTICS_CLIPS))))
