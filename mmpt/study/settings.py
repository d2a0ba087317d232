"""What a study is made of: rows, noise rates, seeds, and the job files behind them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmpt.config import load_config
from mmpt.config.access import lookup, nearest
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.demo import CorpusSettings
from mmpt.errors import ConfigError

PROJECTS = REPOSITORY_ROOT / "projects/retri"
FIRST_STAGE = PROJECTS / "demo/videoclip.yaml"
SECOND_STAGE = PROJECTS / "demo/norton.yaml"
"""The trainings: lengths, sizes, learning rates, retrieval."""
TESTS: dict[str, dict[str, str]] = {
    "test_vtt_norton.yaml": {"R1": "clips R@1"},
    "test_htm_align_norton.yaml": {"Recall": "alignment recall", "AUC": "alignment AUC"},
    "test_youcook_fullvideo_norton.yaml": {
        "R1": "videos R@1, caption average",
        "DTW-exact-R1": "videos R@1, DTW",
    },
}
"""Evaluation job of the demo -> its metrics, and what the study calls them."""
METRICS = tuple(name for taken in TESTS.values() for name in taken.values())
STAGE_1 = "stage1"
"""What all rows of a noise rate and a seed start from: VideoCLIP's loss, all weights."""
NOISES = ("shift_noise", "irrelevant", "silent")
"""The settings of a corpus that a noise rate sets, all to the same share."""
FIXED = (*NOISES, "bert_name", "per_video_features")
"""The settings of a corpus that nobody but the study decides."""
DATA = "data/demo/"
"""How the paths of the demo's job files begin."""
FORM = 1
"""To be raised whenever the same settings give other numbers."""
CORPUS: dict[str, Any] = {"test_videos": 500, "align_videos": 100, "youcook_videos": 100}
"""What a study's corpora have unlike the demo's: more to test on."""


def row_files() -> dict[str, Path]:
    """Row -> its job file, first those that add one part after the other."""
    found = {path.stem: path for path in (PROJECTS / "norton/ablations").glob("*.yaml")}
    parts = ("clip_caption", "faulty_negatives", "ot_mean_pooling", "full")
    return {name: found[name] for name in (*parts, *sorted(found.keys() - set(parts)))}


def _tuple(*default: Any) -> Any:
    return field(default=default)


@dataclass(frozen=True)
class StudySettings:
    """A study; every cell of it is one row, noise rate and seed.

    Attributes:
        rows: names of `row_files`.
        noise: rates, each a training corpus: what is `NOISES` of it.
        seeds: of weights, batches and dropout.
        updates: of every row.
        first_updates: of stage 1.
        corpus: fields of `CorpusSettings` for all corpora, noise excepted.

    Raises:
        ConfigError: a row, a rate, a seed or a setting that is not possible.
    """

    rows: tuple[str, ...] = _tuple(
        "clip_caption", "faulty_negatives", "ot_mean_pooling", "full", "bucket_50"
    )
    noise: tuple[float, ...] = _tuple(0.0, 0.2, 0.4)
    seeds: tuple[int, ...] = _tuple(1, 2)
    updates: int = 200
    first_updates: int = 200
    corpus: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            lookup(row_files(), row, "--rows")
        for name in ("rows", "noise", "seeds"):
            # rates as they are written into the names of folders
            values = [f"{v:g}" if name == "noise" else str(v) for v in getattr(self, name)]
            if not values or len(set(values)) < len(values):
                got = " ".join(values) or "none"
                raise ConfigError(f"--{name}: got {got}; one or more, each once, are needed")
        for rate in self.noise:
            if not 0 <= rate <= 0.9:
                raise ConfigError(f"--noise: got {rate:g}, a share from 0 to 0.9 is needed")
        for seed in self.seeds:
            if not 0 <= seed < 2**32:
                raise ConfigError(f"--seeds: got {seed}, a number from 0 to 2^32 - 1 is needed")
        for option, count in (("updates", self.updates), ("first-updates", self.first_updates)):
            if count < 1:
                raise ConfigError(f"--{option}: got {count}, at least 1 is needed")
        known = [setting.name for setting in fields(CorpusSettings) if setting.name not in FIXED]
        for name in self.corpus:
            if name not in known:
                raise ConfigError(
                    f"--corpus: unknown name {name!r}{nearest(name, known)}; known names: "
                    f"{', '.join(known)}"
                )
        corpus_settings(self, None)

    def shared(self) -> dict[str, Any]:
        """What all cells of a study have in common, as it stands in its folder."""
        return {
            "form": FORM,
            "updates": self.updates,
            "first_updates": self.first_updates,
            "corpus": asdict(corpus_settings(self, None)),
            "jobs": _digest_of_jobs(),
        }


def corpus_settings(study: StudySettings, noise: float | None) -> CorpusSettings:
    """The training corpus of a noise rate; None: the corpus whose test sets are used throughout,
    with the demo's own noise."""
    rates = {} if noise is None else dict.fromkeys(NOISES, float(noise))
    return CorpusSettings(**{**CORPUS, **study.corpus, **rates})


def corpus_folder(out: Path, noise: float | None) -> Path:
    """Where a study keeps a corpus."""
    return out / "corpora" / ("test" if noise is None else f"noise_{noise:g}")


def training_job(row: str, out: Path, noise: float) -> DictConfig:
    """The job of stage 1, or that of the demo's stage 2 with the loss of a row."""
    config = load_config(config_file=FIRST_STAGE if row == STAGE_1 else SECOND_STAGE)
    if row != STAGE_1:
        config.loss = loss_section(row)
    return _placed(config, corpus_folder(out, noise), corpus_folder(out, noise))


def loss_section(row: str) -> DictConfig:
    """`loss` of a row's job file, or of stage 1."""
    return load_config(config_file=FIRST_STAGE if row == STAGE_1 else row_files()[row]).loss


def test_job(name: str, out: Path, noise: float) -> DictConfig:
    """An evaluation of the demo: the test corpus, in the words of a training corpus."""
    config = load_config(config_file=PROJECTS / "demo" / name)
    return _placed(config, corpus_folder(out, None), corpus_folder(out, noise))


def _placed(config: DictConfig, corpus: Path, words: Path) -> DictConfig:
    """A job with its data in a corpus, and its BERT in that or another one."""
    for key, value in config.dataset.items():
        if isinstance(value, str) and value.startswith(DATA):
            folder = words if key == "bert_name" else corpus
            config.dataset[key] = f"{folder}/{value.removeprefix(DATA)}"
    return config


def _digest_of_jobs() -> str:
    """Changes with anything in the job files that all cells share."""
    files = [FIRST_STAGE, SECOND_STAGE, *(PROJECTS / "demo" / name for name in TESTS)]
    contents = [OmegaConf.to_container(load_config(config_file=file)) for file in files]
    text = json.dumps(contents, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
