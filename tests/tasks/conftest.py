"""A workspace with the golden corpus, in which real (tiny) trainings run."""

import shutil
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from .forkserver import ForkServer

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGIN = ["--user-dir", str(REPOSITORY / "mmpt"), "--task", "mmtask", "--arch", "mmarch"]


def close_writers() -> None:
    """TensorBoard's event files are written by threads, and writers are kept by name, whatever the
    folder."""
    from fairseq.logging import progress_bar

    for writer in progress_bar._tensorboard_writers.values():
        writer.close()
    progress_bar._tensorboard_writers.clear()


def forget_runs() -> None:
    """What fairseq and we keep of a run for the process's life, which here has many runs."""
    from fairseq import checkpoint_utils
    from fairseq.logging import metrics

    from mmpt.io import run_record
    from mmpt.tasks import fairseqmm_telemetry

    run_record._current = fairseqmm_telemetry._current = None
    if hasattr(checkpoint_utils.save_checkpoint, "best"):
        del checkpoint_utils.save_checkpoint.best
    metrics.reset()
    close_writers()


@pytest.fixture(autouse=True)
def _nothing_left_of_other_runs():
    forget_runs()
    yield
    forget_runs()


class Workspace:
    """A folder with `data/`, `tinybert/` and job files; commands run in it."""

    def __init__(self, folder: Path, base):
        self.repository = REPOSITORY
        self.folder = folder
        self.base = base

    def job(self, name: str = "train.yaml", **changes) -> str:
        """Writes a job file: the golden one (random groups up to epoch 100), changes merged in."""
        config = OmegaConf.merge(self.base, changes)
        OmegaConf.save(config, self.folder / name)
        return name

    def arguments(self, job: str, save_dir: str = "runs/tiny", **changes) -> list[str]:
        """fairseq-train's arguments for a job; `None` leaves one out."""
        settings = {
            "num-workers": 2,
            "batch-size": 1,
            "lr": 1e-3,
            "clip-norm": 2.0,
            "optimizer": "adam",
            "adam-betas": "(0.9, 0.98)",
            "lr-scheduler": "polynomial_decay",
            "total-num-update": 1000000,
            "warmup-updates": 1,
            "ddp-backend": "no_c10d",
            "max-epoch": 3,
            "max-update": 12,
            "save-dir": save_dir,
            "log-interval": 1,
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        named = [f"--{name}={value}" for name, value in settings.items() if value is not None]
        return [job, *PLUGIN, "--criterion", "mmloss", "--cpu", "--no-progress-bar", *named]


@pytest.fixture
def workspace(tmp_path, golden_dir, tinybert, monkeypatch):
    source = golden_dir / "models_data"
    shutil.copytree(source / "corpus", tmp_path / "data")
    shutil.copytree(tinybert, tmp_path / "tinybert")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    return Workspace(tmp_path, OmegaConf.load(source / "fairseq_ckpt/train_tiny.yaml"))


@pytest.fixture(scope="session")
def forkserver():
    """Real training processes that can be killed."""
    server = ForkServer()
    yield server
    server.close()
