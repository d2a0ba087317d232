"""Work in parts through a job array of this machine: the same bytes as in one piece."""

import shutil

import pytest

from mmpt.utils.split import Split
from mmpt_cli.main import main
from mmpt_cli.splitting import split, without_option
from tests.sharding.corpus import corpus, feature_files  # noqa: F401 fixtures

PROFILE = "executor: local\narray: 2\nminutes: 10\n"


def test_a_part_is_read_from_the_command_line():
    assert split("2/8") == Split(2, 8)


def test_the_option_of_the_array_is_left_out_of_its_tasks():
    assert without_option(["a", "--slurm=x", "b"], "--slurm") == ["a", "b"]
    assert without_option(["a", "--slurm", "x", "b"], "--slurm") == ["a", "b"]


@pytest.fixture
def profile(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profile.yaml").write_text(PROFILE)
    return ["--slurm", "profile.yaml"]


def contents(folder, pattern):
    return {path.name: path.read_bytes() for path in folder.glob(pattern) if path.is_file()}


@pytest.mark.slow
def test_an_extraction_as_a_job_array_and_its_manifest(profile, tmp_path, small_video):
    (tmp_path / "videos").mkdir()
    for name in ("a", "b", "c"):
        shutil.copy(small_video, tmp_path / f"videos/{name}.mp4")
    command = ["extract", "--vdir", "videos", "--type", "colour_grid", "--device", "cpu"]
    assert main([*command, "--fdir", "whole"]) == 0
    assert main([*command, "--fdir", "parts", *profile]) == 0
    assert sorted(contents(tmp_path / "parts", "manifest*")) == [
        "manifest.1-of-2.jsonl",
        "manifest.2-of-2.jsonl",
    ]
    assert main(["merge-manifests", "parts"]) == 0
    whole = contents(tmp_path / "whole", "*.*")
    assert len(whole) == 4
    assert contents(tmp_path / "parts", "*.*") == whole


@pytest.mark.slow
def test_a_tokenisation_as_a_job_array(profile, corpus, tinybert, capsys):  # noqa: F811
    assert main(["shard", *corpus.arguments()]) == 0
    config = corpus.config(tinybert)
    assert main(["tokenise", str(config), *profile]) == 0
    stored = contents(corpus.golden, "*tinybert*.npy")
    assert len(stored) == 16
    assert contents(corpus.target, "*tinybert*.npy") == stored
    assert main(["shard", *corpus.arguments(), "--verify"]) == 0
