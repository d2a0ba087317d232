"""Fixtures shared by all tests: the golden vectors and the tiny BERT folder made from them."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

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


@pytest.fixture(scope="session")
def trained_run(tinybert, tmp_path_factory):
    """A folder with a run in `run/`, its job file `job.yaml`, and random S3D weights `r.pth`."""
    from mmpt.models import build_model
    from mmpt.models.s3d_weights import random_s3d, save_random

    folder = tmp_path_factory.mktemp("trained")
    config = OmegaConf.create(
        {
            "dataset": {"bert_name": str(tinybert), "max_video_len": 8, "max_len": 24},
            "model": {
                "model_cls": "MMFusionSeparate",
                "video_encoder_cls": "MMBertForEncoder",
                "text_encoder_cls": "BertModel",
                "num_hidden_video_layers": 2,
            },
            "eval": {"save_path": str(folder / "run")},
        }
    )
    (folder / "run").mkdir()
    for name in ("job.yaml", "run/config.yaml"):
        OmegaConf.save(config, folder / name)
    torch.manual_seed(0)
    torch.save({"model": build_model(config).state_dict()}, folder / "run/checkpoint_best.pt")
    save_random(random_s3d(0, torch.randint(0, 256, (4, 4, 32, 32, 3)).byte()), 0, folder / "r.pth")
    return folder


@pytest.fixture(scope="session")
def small_video(tmp_path_factory):
    """Half a second of video, 64 x 48 pixels."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("video") / "small.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(5):
            picture = np.full((48, 64, 3), 20 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def small_pictures(monkeypatch):
    """Videos are read as 4 pictures of 64 x 64 a second: what S3D computes is 90 times less."""
    pytest.importorskip("av")
    from mmpt.extraction import networks, reading

    monkeypatch.setattr(reading.VideoReader.__init__, "__defaults__", (4, 64))
    s3d = networks.NETWORKS["s3d"]._replace(rate=4, size=64)
    monkeypatch.setitem(networks.NETWORKS, "s3d", s3d)


@pytest.fixture(autouse=True)
def _quiet_logs(caplog):
    caplog.set_level(logging.INFO, logger="mmpt")
