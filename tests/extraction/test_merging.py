"""Manifests of parts made into one."""

import json

import numpy as np
import pytest

from mmpt.errors import DataError, LaunchError
from mmpt.extraction import merging
from mmpt.extraction.merging import merge_manifests
from mmpt.utils.split import Split


@pytest.fixture
def parts(run, tmp_path):
    for number in (1, 2, 3):
        run(split=Split(number, 3))
    return tmp_path / "features"


def names(folder):
    return sorted(path.name for path in folder.glob("*.jsonl"))


def test_parts_become_one(run, parts, tmp_path):
    run(features=tmp_path / "whole")
    merged = merge_manifests(parts, verify=True)
    assert (merged.videos, merged.seconds, merged.failed, merged.parts) == (4, 8, 1, 3)
    assert (merged.damaged, merged.unknown) == (1, [])
    assert names(parts) == ["failed.jsonl", "manifest.jsonl"]
    for name in names(parts):
        assert (parts / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert merge_manifests(parts).parts == 1
    assert run(split=Split(1, 2)).done == 0


def test_what_is_done_by_now_is_no_failure(run, parts, videos, make_video):
    make_video(videos / "bad.mp4", frames=10)
    run(split=Split(3, 7))
    run(split=Split(4, 7))
    assert merge_manifests(parts).failed == 0
    assert names(parts) == ["manifest.jsonl"]


def test_other_settings_are_named(run, parts):
    run(listed=("a",), half=False)
    before = names(parts)
    with pytest.raises(DataError) as caught:
        merge_manifests(parts)
    assert "3 videos (-c, b.b, cut) with stored float16; 1 videos (a) with stored float32" in str(
        caught.value
    )
    assert names(parts) == before
    run(half=False)
    assert merge_manifests(parts).videos == 4


@pytest.mark.parametrize("verify", [False, True])
def test_missing_and_changed_features_are_named(verify, parts):
    features = np.load(parts / "a.npy")
    np.save(parts / "a.npy", features + 1 if verify else features[:-1])
    if verify:
        assert merge_manifests(parts).videos == 4
    (parts / "unknown.npy").touch()
    with pytest.raises(DataError, match=r"1 of 4 feature files are missing .* \(a\.npy\)"):
        merge_manifests(parts, verify)
    np.save(parts / "a.npy", features)
    assert merge_manifests(parts, verify).unknown == ["unknown"]


def test_nothing_to_merge(parts, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no such folder"):
        merge_manifests(tmp_path / "nope")
    with pytest.raises(DataError, match=r"no manifest\*\.jsonl in it"):
        merge_manifests(tmp_path / "videos")
    monkeypatch.setattr(merging, "running_parts", lambda folder: ["2-of-3"])
    with pytest.raises(LaunchError, match="part 2-of-3 is being extracted"):
        merge_manifests(parts)


def test_a_line_of_another_form_is_named(parts):
    (parts / "manifest.jsonl").write_text(json.dumps({"id": "a"}) + "\n")
    with pytest.raises(DataError, match=r"manifest\.jsonl: line 1 is damaged or of another form"):
        merge_manifests(parts)
