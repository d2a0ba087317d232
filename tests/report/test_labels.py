"""Labels: short, and no two alike."""

import json

import pytest

from mmpt.report.labels import distinct_in_group, distinct_labels
from mmpt.report.results import group_results, read_file

from .conftest import write_results


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["/r/one/best.pt"], ["one/best"]),
        (["best.pt", "/r/one/best.pt"], ["best", "one/best"]),
        (
            ["r/full/seed_1/best.pt", "r/clip/seed_1/best.pt", "r/full/seed_2/best.pt"],
            ["full/seed_1/best", "clip/seed_1/best", "seed_2/best"],
        ),
        (["a/b/c.pt", "b/c.pt"], ["a/b/c", "b/c"]),
        (["/a/b.pt", "a/b.pt"], ["/a/b", "a/b"]),
        (["a/b.pt", "a/b"], ["a/b.pt", "a/b"]),
    ],
)
def test_folders_are_added_until_names_differ(paths, labels):
    assert list(distinct_labels(paths + paths).values()) == labels


def test_what_tells_names_apart_is_added_and_nothing_else():
    assert distinct_in_group([("a", "j", "f"), ("b", "j", "f")]) == ["a", "b"]
    assert distinct_in_group([("a", "j", "f"), ("a", "k", "f")]) == ["a, j", "a, k"]
    assert distinct_in_group([("a", "j", "f"), ("a", "j", "g")]) == ["a, f", "a, g"]
    assert distinct_in_group([("a", "j"), ("a", "j"), ("a (2)", "j")]) == [
        "a",
        "a (2)",
        "a (2) (2)",
    ]


def test_checkpoints_have_one_label_on_the_whole_page(tmp_path):
    paths = []
    for folder in ("full/seed_1", "clip/seed_1"):
        for job, metric in (("test_vtt", "RetrievalMetric"), ("test_align", "HTMAlignMetric")):
            paths.append(write_results(tmp_path / folder, job, metric))
    again = write_results(tmp_path / "again", "test_vtt", "RetrievalMetric")
    content = json.loads(paths[0].read_text())
    again.write_text(json.dumps(content | {"job": "jobs/test_vtt_2.yaml"}))
    retrieval, align = group_results(map(read_file, [*paths, again]))
    assert [result.label for result in align.results] == [
        "full/seed_1/checkpoint_best",
        "clip/seed_1/checkpoint_best",
    ]
    assert [result.label for result in retrieval.results] == [
        "full/seed_1/checkpoint_best, test_vtt",
        "clip/seed_1/checkpoint_best",
        "full/seed_1/checkpoint_best, test_vtt_2",
    ]
