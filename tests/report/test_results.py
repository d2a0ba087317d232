"""Results files: found, read, grouped; published numbers only beside released jobs."""

import json

import pytest

from mmpt.errors import DataError
from mmpt.report.counterparts import published_of
from mmpt.report.published import ITEMS, PUBLISHED
from mmpt.report.results import (
    Result,
    find_files,
    first_number,
    group_results,
    read_file,
    read_files,
)

from .conftest import write_results


def result(tmp_path, job, items, **dataset):
    config = {"metric": "RetrievalMetric", "dataset": dataset}
    return Result(tmp_path / "r.json", job, config, "c.pt", "0", {"R1": 0.1}, {}, None, items, True)


def test_files_are_found_once_in_the_order_that_is_asked_for(results, tmp_path):
    later = write_results(tmp_path / "a", "test_vtt", "RetrievalMetric")
    found = find_files([results / "results_test_vtt.json", results, later])
    assert [path.name for path in found[:3]] == [
        "results_test_vtt.json",
        "results_test_align.json",
        "results_test_full.json",
    ]
    assert found[3:] == [later]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{", "not a JSON file"),
        ("[]", "not a results file of `mmpt predict`"),
        ('{"R1": 0.5}', "not a results file of `mmpt predict` .*'best'"),
        ('{"job": "a", "config": {}, "best": 0, "results": []}', "without any result"),
        (
            '{"job": "a", "config": {}, "best": 0, "results": [{"checkpoint": "b"}]}',
            "not a results",
        ),
        ('{"job": "a", "config": null, "best": 0, "results": [1]}', "not a results"),
        pytest.param("[" * 100_000, "not a JSON file", id="deep"),
    ],
)
def test_what_is_no_results_file_is_named(tmp_path, content, line):
    path = tmp_path / "results_x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=f"results_x.json: .*{line}"):
        read_file(path)


def test_places_without_results_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no results_\*.json in it or below"):
        find_files([tmp_path])
    with pytest.raises(DataError, match="gone: no such file or folder"):
        find_files([tmp_path / "gone"])


def rewritten(path, **changes):
    """The results file with other keys in its entry; None: without the key."""
    content = json.loads(path.read_text())
    content["results"][0] |= changes
    if None in changes.values():
        content["results"][0] = {k: v for k, v in content["results"][0].items() if v is not None}
    path.write_text(json.dumps(content))
    return path


def test_an_earlier_version_wrote_no_intervals(tmp_path):
    path = rewritten(write_results(tmp_path, "test_vtt", "RetrievalMetric"), intervals=None)
    (read,) = read_file(path).results
    assert read.intervals == {} and read.metrics["R1"] == 0.5


def test_numbers_that_are_missing_are_nan(tmp_path):
    path = write_results(tmp_path, "test_vtt", "RetrievalMetric")
    changes = {"metrics": {"R1": None, "R5": float("nan"), "all": [0.5, None], "R10": 1}}
    (read,) = read_file(rewritten(path, **changes, intervals={"R1": None, "R10": [0, 1]})).results
    assert str(read.metrics) == "{'R1': nan, 'R5': nan, 'all': (0.5, nan), 'R10': 1.0}"
    assert read.intervals == {"R10": (0.0, 1.0)}
    assert first_number(read) == first_number(read._replace(metrics={})) == float("-inf")


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"R1": "0.5"}},
        {"metrics": {"R1": {}}},
        {"metrics": [1]},
        {"intervals": {"R1": [0]}},
        {"items": float("inf")},
        {"scores": 3},
    ],
)
def test_entries_of_another_form_are_refused(tmp_path, changes):
    path = rewritten(write_results(tmp_path, "test_vtt", "RetrievalMetric"), **changes)
    with pytest.raises(DataError, match=r"results_test_vtt.json: not a results file"):
        read_file(path)


@pytest.mark.parametrize("changes", [{"failed": ["x"]}, {"config": {"dataset": "x"}}])
def test_files_of_another_form_are_refused(tmp_path, changes):
    path = write_results(tmp_path, "test_vtt", "RetrievalMetric", **changes)
    with pytest.raises(DataError, match=r"results_test_vtt.json: not a results file"):
        read_file(path)


def test_a_limit_is_read_of_the_file_or_of_the_entry(tmp_path):
    path = write_results(tmp_path, "test_vtt", "RetrievalMetric", limit=None)
    assert read_file(path).results[0].limit is None
    assert read_file(rewritten(path, limit=4)).results[0].limit == 4
    path = write_results(tmp_path, "test_vtt", "RetrievalMetric", limit=3)
    assert read_file(path).results[0].limit == 3


def test_foreign_files_are_left_out_where_they_were_found_and_refused_where_named(tmp_path):
    ours = write_results(tmp_path, "test_vtt", "RetrievalMetric")
    foreign = tmp_path / "a/results_other.json"
    foreign.parent.mkdir()
    foreign.write_text('{"accuracy": 1}')
    (tmp_path / "results_folder.json").mkdir()
    files, problems = read_files([tmp_path])
    assert [file.path for file in files] == [ours]
    assert [line.split(": ")[0] for line in problems] == [
        str(foreign),
        f"{tmp_path}/results_folder.json",
    ]
    for places in ([foreign], [ours, foreign], [tmp_path, foreign], [foreign.parent]):
        with pytest.raises(DataError, match=r"results_other.json: not a results file"):
            read_files(places)


def test_checkpoints_on_one_test_set_stand_together(tmp_path):
    one = write_results(tmp_path / "one", "test_vtt", "RetrievalMetric")
    other = write_results(tmp_path / "two", "test_vtt", "RetrievalMetric")
    align = write_results(tmp_path / "two", "test_align", "HTMAlignMetric")
    groups = group_results([read_file(path) for path in (align, one, other)])
    assert [(group.metric, len(group.results)) for group in groups] == [
        ("RetrievalMetric", 2),
        ("HTMAlignMetric", 1),
    ]
    assert groups[0].results[1].label == "two/checkpoint_best"


def test_other_data_and_parts_of_a_test_set_are_groups_of_their_own(tmp_path):
    whole = read_file(write_results(tmp_path / "one", "test_vtt", "RetrievalMetric"))
    content = json.loads(whole.path.read_text())
    content["results"][0]["items"] = 2
    (tmp_path / "results_part.json").write_text(json.dumps(content))
    assert len(group_results([whole, read_file(tmp_path / "results_part.json")])) == 2


def test_published_numbers_stand_beside_released_jobs_on_the_whole_set_only(tmp_path):
    released = "projects/retri/norton/test_vtt_zs.yaml"
    found = published_of(result(tmp_path, released, 1000, test_path="data/msrvtt/t.csv"))
    assert found is PUBLISHED["test_vtt_zs"] and found["R1"].norton == 0.107
    for items in (100, 979, 1001):  # a part; too many videos gone; another test set
        assert published_of(result(tmp_path, released, items)) is None
    assert published_of(result(tmp_path, released, 980)) is PUBLISHED["test_vtt_zs"]
    assert published_of(result(tmp_path, released, 1000)._replace(limit=1000)) is None
    for job in ("projects/retri/demo/test_vtt_zs.yaml", "projects/retri/norton/test_mine.yaml"):
        assert published_of(result(tmp_path, job, 1000)) is None


def test_the_demo_corpus_under_a_released_job_is_not_compared(tmp_path):
    corpus = tmp_path / "data"
    (corpus / "msrvtt").mkdir(parents=True)
    (corpus / "corpus.json").write_text("{}")
    released = "projects/retri/norton/test_vtt_zs.yaml"
    path = str(corpus / "msrvtt/t.csv")
    assert published_of(result(tmp_path, released, 1000, test_path=path)) is None


def test_every_published_job_has_the_size_of_its_test_set():
    assert ITEMS.keys() == PUBLISHED.keys()
