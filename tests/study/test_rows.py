"""The job files of the ablations change the loss, the seed and the folders, and nothing else."""

import pytest
from omegaconf import OmegaConf

from mmpt.config import load_config
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.study.settings import row_files
from mmpt_cli import localjob

BASE = REPOSITORY_ROOT / "projects/retri/norton/how2_pretrain.yaml"
SECTION = "loss.sequence_contrast"
WITHOUT_PARAGRAPHS = {
    f"{SECTION}.{name}": None
    for name in ("sequence_contrast_weight", "threshold", "prompt_ratio", "scale")
}
EXPECTED = {
    "clip_caption": WITHOUT_PARAGRAPHS | {"loss.sinkhorn_iterations": None},
    "faulty_negatives": WITHOUT_PARAGRAPHS,
    "ot_mean_pooling": {f"{SECTION}.coarse_only": True},
    "full": {},
    "alpha_0.1": {"loss.alpha_lse": 0.1},
    "alpha_0.2": {"loss.alpha_lse": 0.2},
    "bucket_10": {f"{SECTION}.prompt_ratio": 0.1},
    "bucket_50": {f"{SECTION}.prompt_ratio": 0.5},
}


def flat(node, prefix=""):
    leaves = {}
    for name, value in node.items():
        found = (
            flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
        leaves |= found
    return leaves


def leaves_of(path):
    return flat(OmegaConf.to_container(load_config(config_file=path)))


def test_every_row_has_its_file():
    assert list(row_files()) == list(EXPECTED)


@pytest.mark.parametrize("row", EXPECTED)
def test_a_row_changes_its_loss_alone(row, monkeypatch):
    monkeypatch.delenv("SEED", raising=False)
    base, found = leaves_of(BASE), leaves_of(row_files()[row])
    folder = f"runs/retri/norton/ablations/{row}/seed_1"
    own = {
        "fairseq.common.seed": 1,
        "fairseq.checkpoint.save_dir": folder,
        "eval.save_path": folder,
    }
    differing = {k: found.get(k) for k in base.keys() | found.keys() if base.get(k) != found.get(k)}
    assert differing == EXPECTED[row] | own


@pytest.mark.parametrize("row", EXPECTED)
def test_a_row_prints_its_command_with_the_seed_of_the_shell(row, monkeypatch, capsys):
    monkeypatch.setenv("SEED", "3")
    assert localjob.main([str(row_files()[row]), "--jobtype", "local_small", "--dryrun"]) == 0
    command = capsys.readouterr().out
    assert "--seed 3 " in command
    assert f"--save-dir runs/retri/norton/ablations/{row}/seed_3 " in command


def test_a_seed_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("SEED", "three")
    with pytest.raises(ValueError, match=r"full\.yaml: fairseq\.common\.seed must be an integer"):
        load_config(config_file=row_files()["full"])
