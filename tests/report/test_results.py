"""Results files: found, read, grouped; published numbers only beside released jobs."""

import json

import pytest

from mmpt.errors import DataError
from mmpt.report.published import ITEMS, PUBLISHED
from mmpt.report.results import Result, find_files, group_results, published_of, read_file

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


def test_checkpoints_on_one_test_set_stand_together(tmp_path):
    one = write_results(tmp_path / "one", "test_vtt", "RetrievalMetric")
    other = write_results(tmp_path / "two", "test_vtt", "RetrievalMetric")
    align = write_results(tmp_path / "two", "test_align", "HTMAlignMetric")
    groups = group_results([read_file(path) for path in (align, one, other)])
    assert [(group.metric, len(group.results)) for group in groups] == [
        ("RetrievalMetric", 2),
        ("HTMAlignMetric", 1),
    ]
    assert groups[0].results[1].name == "two/checkpoint_best.pt"


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
    assert published_of(result(tmp_path, released, 100)) is None
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
