"""Which job files `mmpt verify-release` evaluates, on which checkpoint, against which numbers."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from mmpt.config.access import nearest, setting
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.demo.corpus import MARK
from mmpt.errors import LaunchError
from mmpt.report.published import ITEMS, PUBLISHED
from mmpt_cli.missing import PATH_UNITS
from mmpt_cli.predict import read_job

JOBS, DEMO_JOBS = Path("projects/retri/norton"), Path("projects/retri/demo")
ZERO_SHOT, FINE_TUNED, DEMO_STAGE = "test_*_zs.yaml", "test_*_ft.yaml", "test_*_norton.yaml"
NORTON = Path("runs/retri/norton/checkpoint_best.pt")
VIDEOCLIP = Path("runs/retri/videoclip/checkpoint_best.pt")
DATA = "data/"
"""How the paths of released job files begin."""


class Evaluation(NamedTuple):
    """A job file on a checkpoint.

    Attributes:
        config: of the job, with the data, the checkpoint and the folder of results as asked for.
        given: metric -> the number to be reproduced.
        items: of the whole test set, where numbers are published; else None.
    """

    model: str
    file: Path
    config: DictConfig
    checkpoint: Path
    given: Mapping[str, float]
    items: int | None = None


def released(
    data: Path | None, checkpoint: Path | None, videoclip: Path | None, out: Path
) -> tuple[list[Evaluation], list[str]]:
    """The released job files on the released checkpoints, and a line on each that is left out.

    Raises:
        ConfigError: a job file cannot be used.
        LaunchError: `data` is no folder, or belongs to a demo corpus.
    """
    if data is not None and not data.is_dir():
        raise LaunchError(f"--data {data}: no such folder")
    folder = _jobs_folder(JOBS)
    evaluations, left_out = [], []
    if videoclip is None and VIDEOCLIP.is_file():
        videoclip = VIDEOCLIP
    for file in sorted(folder.glob(ZERO_SHOT)):
        numbers = PUBLISHED.get(file.stem, {})
        config = moved(read_job(file), data)
        refuse_demo(file, config)
        given = {metric: number.norton for metric, number in numbers.items()}
        evaluations.append(_prepared("Norton", file, config, checkpoint or NORTON, out, given))
        if videoclip is not None and numbers:
            given = {metric: number.videoclip for metric, number in numbers.items()}
            place = out / "videoclip"
            evaluations.append(_prepared("VideoCLIP", file, config, videoclip, place, given))
    if videoclip is None:
        left_out.append(f"VideoCLIP: no checkpoint {VIDEOCLIP}")
    for file in sorted(folder.glob(FINE_TUNED)):
        config = moved(read_job(file), data)
        refuse_demo(file, config)
        tuned = Path(setting(config, "fairseq.common_eval.path"))
        if tuned.is_file():
            given = {name: number.norton for name, number in PUBLISHED.get(file.stem, {}).items()}
            evaluations.append(_prepared("Norton", file, config, tuned, out, given))
        else:
            left_out.append(f"{file.stem}: no checkpoint {tuned}")
    return evaluations, left_out


def rehearsed(
    out: Path, stored: Mapping[str, Mapping[str, float]]
) -> tuple[list[Evaluation], list[str]]:
    """The demo's job files on its checkpoints, with the numbers of an earlier rehearsal, and a line
    on each that is left out."""
    folder = _jobs_folder(DEMO_JOBS)
    evaluations, left_out = [], []
    for file in [*sorted(folder.glob(DEMO_STAGE)), *sorted(folder.glob(FINE_TUNED))]:
        config = read_job(file)
        checkpoint = Path(setting(config, "fairseq.common_eval.path"))
        if file.match(DEMO_STAGE) or checkpoint.is_file():
            given = stored.get(file.stem, {})
            evaluations.append(_prepared("demo", file, config, checkpoint, out, given))
        else:
            left_out.append(f"{file.stem}: no checkpoint {checkpoint}")
    return evaluations, left_out


def _jobs_folder(folder: Path) -> Path:
    return folder if folder.is_dir() else REPOSITORY_ROOT / folder


def _prepared(
    model: str,
    file: Path,
    config: DictConfig,
    checkpoint: Path,
    out: Path,
    given: Mapping[str, float],
) -> Evaluation:
    # results apart from the runs: a run's folder holds further checkpoints
    own = {
        "fairseq": {"common_eval": {"path": str(checkpoint)}},
        "eval": {"save_path": str(out)},
    }
    config = OmegaConf.merge(config, own)
    # a rehearsal's job files may be called like released ones
    items = None if model == "demo" else ITEMS.get(file.stem)
    return Evaluation(model, file, config, checkpoint, given, items)


def moved(config: DictConfig, data: Path | None) -> DictConfig:
    """A job with its paths below another folder than `data/`; None: as they are."""
    if data is None:
        return config
    paths = {
        key: os.path.join(data, str(path).removeprefix(DATA))
        for key in PATH_UNITS
        if (path := setting(config, f"dataset.{key}")) is not None and str(path).startswith(DATA)
    }
    return OmegaConf.merge(config, {"dataset": paths})


def refuse_demo(file: Path, config: DictConfig) -> None:
    """Keeps the published numbers from being compared with those of a demo corpus.

    Raises:
        LaunchError: a path of the job lies in one.
    """
    for key in PATH_UNITS:
        path = setting(config, f"dataset.{key}")
        if path is None:
            continue
        for folder in Path(os.path.realpath(path)).parents:
            if (folder / MARK).is_file():
                raise LaunchError(
                    f"{file}: dataset.{key} {path} lies in a demo corpus ({folder}), which the "
                    "published numbers are not compared with; --rehearse is for it"
                )


def chosen(evaluations: Sequence[Evaluation], names: Sequence[str] | None) -> list[Evaluation]:
    """Those of some job files.

    Raises:
        LaunchError: a name is none of them.
    """
    known = list(dict.fromkeys(one.file.stem for one in evaluations))
    wanted = known if names is None else [Path(name).stem for name in names]
    for name in wanted:
        if name not in known:
            hint = nearest(name, known)
            raise LaunchError(
                f"--only {name}: no job to evaluate{hint}; there are {', '.join(known)}"
            )
    return [one for one in evaluations if one.file.stem in wanted]
