"""The results files that `mmpt predict` writes: found, read, and put beside each other."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmpt.errors import DataError
from mmpt.io.files import no_file
from mmpt.report.published import ITEMS, PUBLISHED, Published

PATTERN = "results_*.json"
PUBLISHED_FOLDERS = (("projects", "retri", "norton"), ("projects", "retri", "videoclip"))
"""The last folders of a job file that published numbers belong to."""
ENOUGH = 0.9
"""Share of the published test set below which a number is no counterpart of the published one."""
DATA_KEYS = ("test_path", "val_path", "anno_path", "annotation_path", "split")
"""Keys of `dataset` that tell one test set from another."""
DEMO_MARK = "corpus.json"
"""The file that a demo corpus has at its top."""

Number = float | Sequence[float]


class Result(NamedTuple):
    """One checkpoint of one results file.

    Attributes:
        file: the results file.
        job: the job file, as it was named.
        config: of the job, resolved.
        checkpoint: its file, as it was named.
        sha256: of the checkpoint.
        metrics: the numbers, by name; none where the job only predicts.
        intervals: ends of the 95 % interval of those that have one.
        scores: the file or folder of the scores; None where none is named.
        items: in the test set.
        is_best: whether it is the best of its file by the first number.
    """

    file: Path
    job: str
    config: Mapping[str, Any]
    checkpoint: str
    sha256: str
    metrics: Mapping[str, Number]
    intervals: Mapping[str, Sequence[float]]
    scores: Path | None
    items: int
    is_best: bool

    @property
    def metric(self) -> str:
        """The name of the metric class, empty where the job has none."""
        return self.config.get("metric") or ""

    @property
    def name(self) -> str:
        """For a legend: `norton/checkpoint_best.pt`."""
        return "/".join(Path(self.checkpoint).parts[-2:])


class ResultsFile(NamedTuple):
    """One file.

    Attributes:
        path: where it is.
        results: one a checkpoint.
        failed: checkpoints that could not be evaluated, with the reason.
        selected_on_test: whether the best one was chosen on the test set itself.
        versions: of the packages that the numbers depend on.
    """

    path: Path
    results: list[Result]
    failed: list[Mapping[str, str]]
    selected_on_test: bool
    versions: Mapping[str, str]


def find_files(places: Iterable[Path]) -> list[Path]:
    """The results files at and below some places, each once, in the order of the places.

    Raises:
        DataError: a place is not there, or holds none.
    """
    found: dict[Path, Path] = {}
    for place in places:
        files = [place]
        if place.is_dir():
            files = sorted(place.rglob(PATTERN))
        elif no_file(place) is not None:
            raise DataError(f"{place}: {no_file(place)}; name a results file, or a folder of some")
        elif not place.exists():
            raise DataError(f"{place}: no such file or folder")
        if not files:
            raise DataError(f"{place}: no {PATTERN} in it or below; `mmpt predict` writes them")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def read_file(path: Path) -> ResultsFile:
    """Reads one results file.

    Raises:
        DataError: it is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a JSON file ({error})") from error
    try:
        best = content["best"]
        results = [
            _result(path, content, entry, number == best)
            for number, entry in enumerate(content["results"])
        ]
        failed, selected = content.get("failed", []), bool(content.get("selected_on_test"))
        read = ResultsFile(path, results, failed, selected, dict(content.get("versions", {})))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: not a results file of `mmpt predict` ({error!r})") from error
    if not read.results:
        raise DataError(f"{path}: a results file without any result")
    return read


def _result(path: Path, content: Mapping, entry: Mapping, is_best: bool) -> Result:
    named = entry.get("scores")
    return Result(
        file=path,
        job=str(content["job"]),
        config=dict(content["config"]),
        checkpoint=str(entry["checkpoint"]),
        sha256=str(entry["sha256"]),
        metrics=dict(entry["metrics"]),
        intervals={name: (float(a), float(b)) for name, (a, b) in entry["intervals"].items()},
        scores=path.parent / named if named else None,
        items=int(entry["items"]),
        is_best=is_best,
    )


class Group(NamedTuple):
    """Results on one test set by one metric.

    Attributes:
        title: what is measured, and on what.
        results: in the order of the files.
    """

    title: str
    results: list[Result]

    @property
    def metric(self) -> str:
        return self.results[0].metric

    @property
    def best(self) -> Result:
        """The result with the highest first number; of equal ones the later: a run's stages are
        named in their order."""
        values = [first_number(result) for result in self.results]
        return self.results[max(range(len(values)), key=lambda place: (values[place], place))]


TITLES = {
    "RetrievalMetric": "Text-to-video retrieval",
    "FullVideoRetrievalMetric": "Whole videos by paragraphs, background removed",
    "FullVideoBGRetrievalMetric": "Whole videos by paragraphs, with background",
    "QAMetric": "Multiple choice",
    "COINActionSegmentationMetric": "Action segmentation",
    "DiDeMoMetric": "Moments",
    "CrossTaskMetric": "Steps of tasks",
    "HTMAlignMetric": "Alignment of sentences",
    "ActionRecognitionMetric": "Action recognition",
}
"""Metric class -> what it measures."""


def group_results(files: Iterable[ResultsFile]) -> list[Group]:
    """The results of all files, those on one test set by one metric together, in the order of
    `TITLES`."""
    groups: dict[tuple, Group] = {}
    for result in (result for file in files for result in file.results):
        data = result.config.get("dataset") or {}
        key = (result.metric, result.items, *(str(data.get(name)) for name in DATA_KEYS))
        group = groups.setdefault(key, Group(_title(result, data), []))
        group.results.append(result)
    known = list(TITLES)
    return sorted(
        groups.values(),
        key=lambda group: known.index(group.metric) if group.metric in known else len(known),
    )


def _title(result: Result, data: Mapping[str, Any]) -> str:
    what = TITLES.get(result.metric, result.metric or "Predictions")
    return f"{what}: {next((data[key] for key in DATA_KEYS if data.get(key)), result.job)}"


def first_number(result: Result) -> float:
    """The number that checkpoints are compared by; minus infinity where there is none."""
    for value in result.metrics.values():
        return float(value[0] if isinstance(value, Sequence) else value)
    return float("-inf")


def published_of(result: Result) -> dict[str, Published] | None:
    """The published counterparts of a result's numbers, by metric.

    None for a job file that is not a published one, for the demo corpus under a published job's
    name, and where less than nine tenths of the test set were evaluated.
    """
    job = Path(result.job).resolve()
    if tuple(job.parent.parts[-3:]) not in PUBLISHED_FOLDERS or job.stem not in PUBLISHED:
        return None
    if result.items < ENOUGH * ITEMS[job.stem] or _is_demo(result.config.get("dataset") or {}):
        return None
    return PUBLISHED[job.stem]


def _is_demo(data: Mapping[str, Any]) -> bool:
    paths = [Path(str(data[key])) for key in (*DATA_KEYS, "vfeat_dir") if data.get(key)]
    return any((folder / DEMO_MARK).is_file() for path in paths for folder in path.parents[:4])
