"""The results files that `mmpt predict` writes: found, read, and put beside each other."""

import json
import math
import os.path
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmpt.errors import DataError
from mmpt.io.files import no_file
from mmpt.report.labels import distinct_in_group, distinct_labels

PATTERN = "results_*.json"
DATA_KEYS = ("test_path", "val_path", "anno_path", "annotation_path", "split")
"""Keys of `dataset` that tell one test set from another."""

Number = float | Sequence[float]


class Result(NamedTuple):
    """One checkpoint of one results file.

    Attributes:
        file: the results file.
        job: the job file, as it was named.
        config: of the job, resolved.
        checkpoint: its file, as it was named.
        sha256: of the checkpoint.
        metrics: the numbers, by name, NaN where one is missing; none where the job only predicts.
        intervals: ends of the 95 % interval of those that have one.
        scores: the file or folder of the scores; None where none is named.
        items: in the test set.
        is_best: whether it is the best of its file by the first number.
        limit: the first so many items alone were evaluated; None: all.
        label: its name on the page, no other result's of its group.
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
    limit: int | None = None
    label: str = ""

    @property
    def metric(self) -> str:
        """The name of the metric class, empty where the job has none."""
        return str(self.config.get("metric") or "")

    @property
    def data(self) -> Mapping[str, Any]:
        """The config of the data set."""
        return self.config.get("dataset") or {}


class ResultsFile(NamedTuple):
    """One file.

    Attributes:
        path: where it is.
        results: one a checkpoint.
        failed: checkpoints that could not be evaluated, with the reason.
        selected_on_test: whether the best one was chosen on the test set itself.
        versions: of the packages that the numbers depend on.
        reason: how it was chosen on the test set; empty where the file does not say.
    """

    path: Path
    results: list[Result]
    failed: list[Mapping[str, str]]
    selected_on_test: bool
    versions: Mapping[str, str]
    reason: str = ""


def read_files(places: Iterable[Path]) -> tuple[list[ResultsFile], list[str]]:
    """Reads the results files at and below some places.

    Returns:
        The files, and a line on each one that was found in a folder and is none of ours.

    Raises:
        DataError: a file that was named is none, or no file is left.
    """
    places = list(places)
    named = {os.path.realpath(place) for place in places if not place.is_dir()}
    files, problems = [], []
    for path in find_files(places):
        try:
            files.append(read_file(path))
        except DataError as error:
            if os.path.realpath(path) in named:
                raise
            problems.append(str(error))
    if not files:
        more = f" (and {len(problems) - 1} more such files)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")
    return files, problems


def find_files(places: Iterable[Path]) -> list[Path]:
    """The results files at and below some places, each once, in the order of the places.

    Raises:
        DataError: a place is not there, or holds none.
    """
    found: dict[str, Path] = {}
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
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def read_file(path: Path) -> ResultsFile:
    """Reads one results file.

    Raises:
        DataError: it is not one.
    """
    if no_file(path) is not None:
        raise DataError(f"{path}: {no_file(path)}, no results file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path}: not a JSON file ({error})") from error
    try:
        best = content["best"]
        results = [
            _result(path, content, entry, number == best)
            for number, entry in enumerate(content["results"])
        ]
        read = ResultsFile(
            path,
            results,
            [dict(one) for one in content.get("failed") or []],
            bool(content.get("selected_on_test")),
            dict(content.get("versions") or {}),
            str(content.get("selected_on_test_reason") or ""),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a results file of `mmpt predict` ({error!r})") from error
    if not read.results:
        raise DataError(f"{path}: a results file without any result")
    return read


def _result(path: Path, content: Mapping, entry: Mapping, is_best: bool) -> Result:
    named, config = entry.get("scores"), dict(content["config"])
    config["dataset"] = dict(config.get("dataset") or {})
    limits = [one["limit"] for one in (entry, content) if one.get("limit") is not None]
    intervals = entry.get("intervals") or {}  # an earlier version wrote none
    return Result(
        file=path,
        job=str(content["job"]),
        config=config,
        checkpoint=str(entry["checkpoint"]),
        sha256=str(entry["sha256"]),
        metrics={name: _number(value) for name, value in entry["metrics"].items()},
        intervals={name: _ends(ends) for name, ends in intervals.items() if ends is not None},
        scores=path.parent / named if named else None,
        items=int(entry["items"]),
        is_best=is_best,
        limit=int(limits[0]) if limits else None,
    )


def _number(value: Any) -> Number:
    """A metric, or several; NaN for null."""
    if isinstance(value, list):
        return tuple(float(_number(one)) for one in value)
    if value is not None and not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return math.nan if value is None else float(value)


def _ends(ends: Any) -> tuple[float, float]:
    low, high = map(_number, ends)
    return float(low), float(high)


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
    `TITLES`; each with its label."""
    groups: dict[tuple, Group] = {}
    for result in (result for file in files for result in file.results):
        key = (result.metric, result.items, *(str(result.data.get(name)) for name in DATA_KEYS))
        group = groups.setdefault(key, Group(_title(result, result.data), []))
        group.results.append(result)
    known = list(TITLES)
    return sorted(
        _labelled(groups.values()),
        key=lambda group: known.index(group.metric) if group.metric in known else len(known),
    )


def _labelled(groups: Iterable[Group]) -> list[Group]:
    """The groups with labels: checkpoints by their last folders, then by job and file."""
    groups = list(groups)
    checkpoints = [result.checkpoint for group in groups for result in group.results]
    names = distinct_labels(checkpoints)
    labelled = []
    for group in groups:
        labels = distinct_in_group(
            [(names[r.checkpoint], Path(r.job).stem, str(r.file)) for r in group.results]
        )
        pairs = zip(group.results, labels, strict=True)
        labelled.append(group._replace(results=[r._replace(label=label) for r, label in pairs]))
    return labelled


def _title(result: Result, data: Mapping[str, Any]) -> str:
    what = TITLES.get(result.metric, result.metric or "Predictions")
    return f"{what}: {next((data[key] for key in DATA_KEYS if data.get(key)), result.job)}"


def first_number(result: Result) -> float:
    """The number that checkpoints are compared by; minus infinity where there is none."""
    value = next(iter(result.metrics.values()), math.nan)
    if isinstance(value, Sequence):
        value = value[0] if value else math.nan
    return -math.inf if math.isnan(value) else value
