"""`mmpt shard`, and the whole way from features and captions to a training's batches."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from mmpt.config.load import REPOSITORY_ROOT
from mmpt.datasets.mmdataset import MMDataset
from mmpt.errors import DataError
from mmpt.utils.shardedtensor import ShardedTensor
from mmpt_cli import pretokenization, shard_feature
from mmpt_cli.entry import run_command
from tests.sharding.corpus import corpus, feature_files  # noqa: F401 fixtures


def run(*arguments):
    return run_command(shard_feature.main, list(map(str, arguments)))


def how2_pretrain(corpus, tinybert):  # noqa: F811
    """The `dataset` section of the release's job file over these shards."""
    path = REPOSITORY_ROOT / "projects/retri/norton/how2_pretrain.yaml"
    dataset = OmegaConf.load(path).dataset
    dataset.update(
        {
            "split": "train",
            "bert_name": str(tinybert),
            "train_path": str(corpus.list_of("train")),
            "vfeat_dir": str(corpus.target),
            "tfeat_dir": f"{corpus.target}/sentencified_htm_1200k.tinybert.",
            "num_video_per_batch": 2,
            "clip_per_video": 4,
        }
    )
    return dataset


def test_from_features_and_captions_to_batches(corpus, tinybert, capsys):  # noqa: F811
    gone, broken = corpus.ids("train")[3], corpus.ids("train")[12]
    corpus.feature(gone).unlink()
    np.save(corpus.feature(broken), np.full((9, 512), np.inf, np.float16))
    assert run(*corpus.arguments()) == 3
    said = capsys.readouterr()
    assert "train: 2 shards of 14 videos, 0.16 h, 2 of 16 skipped" in said.out
    assert "val: 2 shards of 16 videos, 0.18 h, 0 of 16 skipped" in said.out
    assert run(*corpus.arguments(), "--verify") == 0
    assert "no token shards in" in capsys.readouterr().out
    assert run_command(pretokenization.main, [str(corpus.config(tinybert))]) == 0
    assert f"dataset.tfeat_dir: {corpus.target}/sentencified_htm_1200k.tinybert." in (
        capsys.readouterr().out
    )
    assert run(*corpus.arguments(), "--verify") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["train", "val", "status"]
    assert [line.split() for line in lines if line.startswith("missing, reason known")] == [
        ["missing,", "reason", "known", "2", "0", "ok"]
    ]
    data = MMDataset.from_config(how2_pretrain(corpus, tinybert))
    assert len(data.meta_processor.video_id_to_shard) == 14
    batch = data.collater([data[0]])
    assert batch["vfeats"].shape == (1, 2, 4, 16, 512)
    for name in ("caps", "vmasks"):
        assert batch[name].shape[:3] == (1, 2, 4)


def test_a_second_run_keeps_what_is_there(corpus, capsys):  # noqa: F811
    assert run(*corpus.arguments()) == run(*corpus.arguments(), "--splits", "val") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "val: 2 shards of 16 videos, 0.18 h, 0 of 16 skipped, 2 shards were there"
    )


def test_another_list_makes_old_token_shards_a_problem(corpus, tinybert, capsys, caplog):  # noqa: F811
    run(*corpus.arguments())
    run_command(pretokenization.main, [str(corpus.config(tinybert))])
    ids = corpus.ids("train")
    corpus.list_of("train").write_text("\n".join([ids[1], ids[0], *ids[2:]]))
    assert run(*corpus.arguments()) == 0
    assert "mmpt tokenise must run again" in caplog.text
    assert run(*corpus.arguments(), "--verify") == 1
    assert "ids of token shards: shard" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"made for other videos, .* run mmpt tokenise again"):
        MMDataset.from_config(how2_pretrain(corpus, tinybert))
    run_command(pretokenization.main, [str(corpus.config(tinybert))])
    assert run(*corpus.arguments(), "--verify") == 0


def test_two_runs_into_one_folder_do_not_meet(corpus, capsys):  # noqa: F811
    code = "import sys; from pathlib import Path; from mmpt.sharding.locks import lock_file\n"
    code += "lock = lock_file(Path(sys.argv[1]), ''); print('has it', flush=True); input()"
    command = [sys.executable, "-c", code, str(corpus.target / ".sharding/shard.lock")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "has it\n"
        assert run(*corpus.arguments()) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert "shards is in use: another process makes its shards; wait for it" in line
        other.communicate("\n")
    assert run(*corpus.arguments()) == 0


def test_problems_are_told_below_the_table(corpus, capsys):  # noqa: F811
    run(*corpus.arguments())
    ShardedTensor.from_list([np.zeros((2, 512), np.float16)]).save(corpus.target / "val_1")
    capsys.readouterr()
    assert run(*corpus.arguments(), "--verify") == 1
    out = capsys.readouterr().out
    assert "1 videos, val_meta.pkl lists 8" in out
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("feature shards")] == [
        "problem"
    ]


def test_several_sets_of_token_shards_must_be_told_apart(corpus, capsys):  # noqa: F811
    run(*corpus.arguments())
    for name in ("a.x.", "b.y."):
        ShardedTensor.from_list([np.zeros((1, 2))]).save(corpus.target / f"{name}val_0.startends")
    assert run(*corpus.arguments(), "--verify") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"--tfeat_dir {corpus.target}/a.x., --tfeat_dir {corpus.target}/b.y." in line
    assert run(*corpus.arguments(), "--verify", "--tfeat_dir", f"{corpus.target}/b.y.") == 1
    assert f"val_0: file {corpus.target}/b.y.train_0" not in capsys.readouterr().out


def test_the_defaults_are_the_paths_of_the_job_files():
    args = shard_feature.build_parser().parse_args([])
    config = OmegaConf.load(REPOSITORY_ROOT / "projects/retri/norton/how2_pretrain.yaml").dataset
    assert (str(args.train_list), str(args.val_list)) == (config.train_path, config.val_path)
    assert str(args.target_dir) == config.vfeat_dir
    assert (str(args.vfeat_dir), args.shard_size) == ("data/feat/feat_how2_s3d", 4096)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--shard_size", "0"], 2, "'0' is no whole number from 1"),
        (["--vfeat_dim", "wide"], 2, "'wide' is no whole number"),
        (["--dtype", "int8"], 2, "invalid choice: 'int8'"),
        (["--splits", "test"], 2, "invalid choice: 'test'"),
        (["--tfeat_dir", "x"], 2, "--tfeat_dir is for --verify"),
        (["--vfeat_dir", ""], 2, "an empty name"),
        (["--vfeat_dir", "nowhere"], 1, "error: --vfeat_dir nowhere: no such folder"),
        (["--train_list", "none.lst"], 1, "error: none.lst: no such file; a list of video ids"),
        (["--target_dir", "/proc/x"], 1, "error: --target_dir /proc/x: cannot be written"),
        (["--vfeat_dim", "1024"], 1, "none of its 16 videos has usable features"),
    ],
)
def test_wrong_use(arguments, status, message, corpus, capsys):  # noqa: F811
    assert run(*corpus.arguments(), *arguments) == status
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "script",
    ["video_feature_extractor/shard_feature.py", "text_token_extractor/pretokenization.py"],
)
def test_the_scripts_run_from_anywhere(script, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    path = REPOSITORY_ROOT / "scripts" / script
    done = subprocess.run(
        [sys.executable, path, "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {Path(script).name} ")
