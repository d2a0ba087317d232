"""Pretraining on batches of whole videos, regrouped every epoch: at random, or by retrieval.

From `retri_epoch` on, an epoch begins like this (VideoCLIP, Xu et al., EMNLP 2021, section 3.3):

1. every training video is encoded (`encoding.py`), its clips drawn under the seed epoch * epoch,
   each process taking its share;
2. the vectors, one a video, are collected (`mmpt/modules/vectorpool.py`) and indexed (`retri.py`);
3. anchors are drawn, and a batch from the neighbours of each (`hardbatches.py`);
4. all processes exchange their batches and write them down (`mmpt/io/candidates.py`), for a run
   that goes on inside the epoch;
5. the data set gets them, before the epoch's loader is made.
"""

import copy
import logging
import random
from typing import Any, NamedTuple

import numpy as np
from omegaconf import OmegaConf
from torch import Tensor

from mmpt.config.access import lookup, setting
from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import ConfigError, DataError
from mmpt.evaluators.base import device_of
from mmpt.io.candidates import (
    Candidates,
    candidates_path,
    differences,
    digest,
    read_candidates,
    weights_digest,
    write_candidates,
)
from mmpt.io.fingerprint import DATA_KEYS, data_fingerprint
from mmpt.models.bert import bert_config
from mmpt.modules import vectorindex
from mmpt.modules.hardbatches import draw_batches, mates_similarity
from mmpt.modules.vectorindex import check_db_type
from mmpt.modules.vectorpool import VECTOR_POOLS, VectorPool
from mmpt.processors.how2retriprocessor import VideoRetriAligner, whole_rounds
from mmpt.processors.paths import SPLIT_KEYS
from mmpt.tasks.encoding import chunks, encode_share
from mmpt.tasks.task import Task, TrainingRun, flatten_leading
from mmpt.utils.distributed import exchange_objects, get_rank, get_world_size

logger = logging.getLogger(__name__)

RETRIEVAL_KEYS = (
    *("vectorpool_cls", "retriever_cls", "centroids", "examples_per_cent_to_train"),
    *("db_type", "num_cands", "nprobe", "keep_anchor"),
)
"""The keys of a job file that decide, beside its data and its model, what is retrieved."""
HOW_IT_RUNS = ("checkpoint_activations", "compile")
"""The keys of `model` that change no number of it (`compile`: beyond rounding)."""


class _Drawn(NamedTuple):
    """What one process has drawn: from how many videos, its batches, and how alike their videos
    are, before and after."""

    videos: int
    batches: list[list[str]]
    retrieved_similarity: float
    random_similarity: float


class _Look(NamedTuple):
    """What one process finds on the disk.

    Attributes:
        path: of its file.
        written: what the file holds, or None.
        problem: what is wrong with a file that is there.
        other: what the batches were made from and is other now.
        trained_on: the digest of the batches that the checkpoint was trained on in this epoch; None
            where the epoch begins.
    """

    path: str
    written: Candidates | None
    problem: str | None
    other: list[str]
    trained_on: str | None


class RetriTask(Task):
    """Base of the tasks whose training batches are retrieved; a subclass says what is encoded.

    Attributes:
        state: of the batches of the running epoch, `epoch` and `digest`; goes into checkpoints.
    """

    def retrieval_data(self, groups: list[list[str]]) -> MMDataset:
        """The data set that is encoded; item i holds the videos of group i."""
        raise NotImplementedError

    def check_training(self, last_epoch: float) -> None:
        """Looks at what retrieval needs, hours before it is needed.

        Raises:
            ConfigError: a run up to `last_epoch` retrieves, and something is not set for it.
        """
        if not hasattr(self.train_data.meta_processor, "set_candidates"):
            raise ConfigError(
                f"dataset.meta_processor: {type(self.train_data.meta_processor).__name__} has no "
                f"groups of videos, which {type(self).__name__} regroups every epoch; use "
                "ShardedHow2VideoRetriMetaProcessor, or task: Task"
            )
        first = setting(self.config, "retri_epoch")
        if first is None or first > last_epoch:
            return
        if setting(self.config, "num_cands") is None:
            raise ConfigError(
                f"num_cands is not set, and retri_epoch: {first} asks for batches drawn from that "
                "many neighbours; set it, or retri_epoch: null for random groups of videos"
            )
        width = bert_config(self.config.dataset.bert_name).hidden_size
        check_db_type(setting(self.config, "db_type", "flatl2"), width)
        if not vectorindex.has_faiss():
            logger.warning(
                "faiss is not installed: neighbours are searched exactly, in torch, which takes "
                "longer for many videos (pip install faiss-cpu)"
            )

    def begin_epoch(self, epoch: int, run: TrainingRun) -> None:
        """Regroups the training videos; all processes get the same groups."""
        first = setting(self.config, "retri_epoch")
        if first is not None and epoch >= first:
            self.retrieve_candidates(epoch, run)
            return
        meta = self.train_data.meta_processor
        meta.random_candidates(run.seed, epoch)
        logger.info("epoch %d: %d random groups of videos", epoch, len(meta))

    def retrieve_candidates(self, epoch: int, run: TrainingRun) -> list[list[str]]:
        """The batches of an epoch: those that are on the disk, where they are this epoch's, else
        new ones; the data set gets them.

        Raises:
            DataError: too few videos, or the model gives NaN for some.
        """
        made_from = self._made_from()
        found, facts = self._written(epoch, run, made_from)
        if found is None:
            drawn = self._draw(epoch, run)
            shares = exchange_objects(drawn)
            found = whole_rounds([b for share in shares for b in share.batches], get_world_size())
            if not found:
                raise DataError(self._too_few())
            without = sum(share.videos for share in shares if not share.batches)
            if without:
                logger.warning(
                    "epoch %d: %d videos are in no batch, since their process's share fills none "
                    "(vectorpool_cls: DistributedVideoVectorPool puts the shares together)",
                    epoch,
                    without,
                )
            facts = _mean_facts(shares)
            mine = Candidates(drawn.batches, made_from, facts)
            write_candidates(candidates_path(run.save_dir, epoch, get_rank()), mine)
        self.train_data.meta_processor.set_candidates(found)
        self.state = {"epoch": epoch, "digest": digest(found)}
        logger.info(
            "epoch %d: %d retrieved batches of videos; mean similarity of batch mates %.3f, in "
            "random groups %.3f",
            epoch,
            len(found),
            facts["retrieved_similarity"],
            facts["random_similarity"],
        )
        return found

    def _draw(self, epoch: int, run: TrainingRun) -> _Drawn:
        """Encodes this process's share of the videos, and draws its batches."""
        videos = self.train_data.meta_processor.data
        size = self.config.dataset.num_video_per_batch
        seed = epoch * epoch
        pool = lookup(
            VECTOR_POOLS,
            setting(self.config, "vectorpool_cls", "VideoVectorPool"),
            "vectorpool_cls",
        )(self.config)
        clips = setting(self.config, "dataset.clip_per_video", 1)
        encode_share(
            self.model,
            self.retrieval_data(chunks(videos, size)),
            seed,
            run.num_workers,
            self.reshape_subsample,
            lambda encoded: pool(encoded, clips),
            run.interrupted,
        )
        pool.merge({video_id: place for place, video_id in enumerate(videos)})
        if len(pool) < size:
            return _Drawn(len(pool), [], 0.0, 0.0)
        rng = random.Random(seed)
        batches = draw_batches(
            pool.video_ids,
            size,
            self.config.num_cands,
            pool.build_retriever(device_of(self.model)).search_by_video_ids,
            rng,
            setting(self.config, "keep_anchor", True),
        )
        return _Drawn(len(pool), batches, *_hardness(pool, batches, rng))

    def _made_from(self) -> dict[str, str]:
        """What retrieved batches depend on."""
        dataset = OmegaConf.to_container(self.config.dataset, resolve=True)
        model = OmegaConf.to_container(self.config.model, resolve=True)
        of_others = [key for split, key in SPLIT_KEYS.items() if split != "train"]
        read = {name: value for name, value in dataset.items() if name not in of_others}
        settings = {
            # what a key names is looked at, not where it lies
            "dataset": {name: v for name, v in dataset.items() if name not in DATA_KEYS},
            "model": {name: v for name, v in model.items() if name not in HOW_IT_RUNS},
            **{key: setting(self.config, key) for key in RETRIEVAL_KEYS},
        }
        return {
            "configuration": digest(settings),
            "data": data_fingerprint(read)["hash"],
            "number of processes": str(get_world_size()),
            "weights": weights_digest(self.model),
        }

    def _written(
        self, epoch: int, run: TrainingRun, made_from: dict[str, str]
    ) -> tuple[list[list[str]] | None, dict[str, float]]:
        """The epoch's batches, if all processes find them on the disk, and they are this run's.

        They are where they were made from what there is now; or, inside the epoch, whose updates
        have changed the weights, where the checkpoint says that these are the batches it trained
        on. Each process looks at its own file, and all decide from what all have found.
        """
        found = exchange_objects(_look(epoch, run, made_from))
        begun = any(look.trained_on is not None for look in found)
        missing = [look.path for look in found if look.written is None and look.problem is None]
        problem = next((look.problem for look in found if look.problem), None)
        if all(look.written is not None for look in found):
            drawn = [batch for look in found for batch in look.written.batches]
            batches = whole_rounds(drawn, get_world_size())
            other = sorted({name for look in found for name in look.other})
            trained_on = {look.trained_on for look in found} == {digest(batches)}
            if not other or (other == ["weights"] and trained_on):
                logger.info("epoch %d: batches as they stand in %s", epoch, found[0].path)
                return batches, found[0].written.facts
            of_others = next(look.path for look in found if look.other)
            problem = f"{of_others}: made by another run (other {' and '.join(other)})"
        if problem is not None or begun:
            logger.warning(
                "epoch %d: %s; batches are retrieved anew%s",
                epoch,
                problem or f"{missing[0]} is gone",
                ", and the epoch goes on with others than it began with" if begun else "",
            )
        return None, {}

    def _too_few(self) -> str:
        videos = len(self.train_data.meta_processor.data)
        return (
            f"{videos} videos, shared by {get_world_size()} processes, do not fill one batch of "
            f"{self.config.dataset.num_video_per_batch} in any of them; set vectorpool_cls: "
            "DistributedVideoVectorPool, which puts them together, or lower "
            "dataset.num_video_per_batch"
        )


class VideoRetriTask(RetriTask):
    """One item of the data is a batch: `num_video_per_batch` videos x `clip_per_video` clips."""

    def retrieval_data(self, groups: list[list[str]]) -> MMDataset:
        """Videos by group; each clip is the span of its text (`VideoRetriAligner`)."""
        train = self.train_data
        meta = copy.copy(train.meta_processor)
        meta.set_candidates(groups)
        aligner = VideoRetriAligner(self.config.dataset)
        return MMDataset(meta, train.video_processor, train.text_processor, aligner)

    def reshape_subsample(self, sample: dict[str, Any]) -> dict[str, Any]:
        """[1, videos, clips, ...] -> [videos * clips, ...], clips of one video adjacent."""
        flat = {}
        for key, value in sample.items():
            if isinstance(value, Tensor) and value.dim() > 1:
                value = value.squeeze(0) if value.size(0) == 1 else flatten_leading(value)
                if setting(self.config, "dataset.clip_per_video", 1) > 1:
                    value = flatten_leading(value)
            flat[key] = value
        return flat


def _look(epoch: int, run: TrainingRun, made_from: dict[str, str]) -> _Look:
    """This process's part of the epoch's batches, as it is on the disk."""
    path = candidates_path(run.save_dir, epoch, get_rank())
    written, problem = None, None
    try:
        written = read_candidates(path)
    except DataError as error:
        problem = str(error) if path.exists() else None
    other = differences(written.made_from, made_from) if written else []
    continued = run.continued or {}
    trained_on = continued.get("digest") if continued.get("epoch") == epoch else None
    return _Look(str(path), written, problem, other, trained_on)


def _hardness(
    pool: VectorPool, batches: list[list[str]], rng: random.Random
) -> tuple[float, float]:
    """Mean similarity of the videos of one batch: of these batches, and of as large random ones."""
    rows = {video_id: row for row, video_id in enumerate(pool.video_ids)}
    retrieved = [[rows[video_id] for video_id in batch] for batch in batches]
    shuffled = rng.sample(range(len(rows)), len(rows))
    size = len(batches[0])
    at_random = [shuffled[i * size : (i + 1) * size] for i in range(len(batches))]
    vectors = pool.vectors()
    return mates_similarity(vectors, retrieved), mates_similarity(vectors, at_random)


def _mean_facts(shares: list[_Drawn]) -> dict[str, float]:
    """The processes' similarities, each weighted with its number of batches."""
    weights = [len(share.batches) for share in shares]

    def mean(numbers: list[float]) -> float:
        return float(np.average(numbers, weights=weights))

    return {
        "retrieved_similarity": mean([share.retrieved_similarity for share in shares]),
        "random_similarity": mean([share.random_similarity for share in shares]),
    }
