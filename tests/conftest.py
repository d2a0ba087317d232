"""Fixtures shared by all tests: the golden vectors and the tiny BERT folder made from them."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch

# tiny tensors: more threads only wait for each other, and the cores are shared with loader workers
torch.set_num_threads(1)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

GOLDEN = Path(__file__).parent / "golden"


def load_golden(relative: str) -> dict[str, np.ndarray]:
    """All arrays of one stored `.npz`, `settings` decoded from JSON where it is there."""
    with np.load(GOLDEN / relative, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if "settings" in arrays:
        arrays["settings"] = json.loads(str(arrays["settings"]))
    return arrays


@pytest.fixture(scope="session")
def golden():
    """`golden("losses_metrics/norton_b_ragged.npz")` -> {name: array}."""
    return load_golden


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def tinybert(tmp_path_factory) -> Path:
    """The golden BERT folder in Hugging Face layout, its weight file rebuilt from the numbers."""
    source = GOLDEN / "models_data" / "tinybert"
    folder = tmp_path_factory.mktemp("bert") / "tinybert"
    folder.mkdir()
    for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    with np.load(source / "weights.npz", allow_pickle=False) as stored:
        weights = {name: torch.from_numpy(stored[name]) for name in stored.files}
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


@pytest.fixture(scope="session")
def published_annotations():
    """`published_annotations("coin")`: the path of a published file or folder below
    `$MMPT_TEST_DATA`; the test is skipped where it is not."""
    root = Path(
        os.environ.get("MMPT_TEST_DATA", Path(__file__).resolve().parents[2] / "shared/data")
    )

    def find(name: str = ".") -> Path:
        if not (root / name).exists():
            pytest.skip(f"{root / name} is not there ($MMPT_TEST_DATA)")
        return root / name

    return find


@pytest.fixture(autouse=True)
def _quiet_logs(caplog):
    caplog.set_level(logging.INFO, logger="mmpt")
