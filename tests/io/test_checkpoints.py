"""Checkpoints old and new: read safely, and every name that does not fit is said."""

import json
import os

import pytest
import torch
from omegaconf import OmegaConf

from mmpt.errors import CheckpointError
from mmpt.io.checkpoints import load_model, load_state, model_state, read_checkpoint
from mmpt.models import build_model


@pytest.fixture
def old_file(golden_dir):
    """Written by fairseq 0.12.2 under torch 1.11."""
    return golden_dir / "models_data/fairseq_ckpt/checkpoint_last.pt"


@pytest.fixture
def model(golden_dir, tinybert):
    config = OmegaConf.load(golden_dir / "models_data/fairseq_ckpt/train_tiny.yaml")
    config.dataset.bert_name = str(tinybert)
    return build_model(config).eval()


def test_a_genuine_old_checkpoint(model, old_file, golden, caplog):
    report = load_model(model, old_file)
    assert report.unexpected == [] and report.missing == []
    assert "2 constants dropped" in caplog.text
    stored = golden("models_data/fairseq_ckpt/forward.npz")
    arrays = {name: torch.from_numpy(value) for name, value in stored.items()}
    outputs = model(**{n.removeprefix("in_"): v for n, v in arrays.items() if n.startswith("in_")})
    for name in ("pooled_video", "pooled_text"):
        assert (outputs[name] - arrays[f"out_{name}"]).abs().max() < 1e-5


def test_forms_of_a_file(old_file):
    tensors = read_checkpoint(old_file)["model"]
    bare = {name.removeprefix("mmmodel."): value for name, value in tensors.items()}
    for content in ({"model": tensors}, {"state_dict": tensors}, tensors, bare):
        state = model_state(content, "file")
        assert len(state) == 116 and not any(n.startswith("mmmodel.") for n in state)
    halves = {name: value.half() for name, value in bare.items() if value.is_floating_point()}
    assert all(v.dtype == torch.float32 for v in model_state(halves, "file").values())


def test_names_that_do_not_fit_are_said(model, old_file, caplog):
    state = model_state(read_checkpoint(old_file), "file")
    del state["text_encoder.pooler.dense.bias"]
    state["video_encoder.classifier.weight"] = torch.zeros(3, 32)
    before = model.state_dict()["text_encoder.pooler.dense.bias"].clone()
    report = load_state(model, state, "some.pt")
    assert report.unexpected == ["video_encoder.classifier.weight"]
    assert report.missing == ["text_encoder.pooler.dense.bias"]
    assert torch.equal(model.state_dict()["text_encoder.pooler.dense.bias"], before)
    assert "some.pt: 1 names unexpected, dropped: video_encoder.classifier.weight" in caplog.text
    assert "some.pt: 1 names missing, kept as built: text_encoder.pooler.dense.bias" in caplog.text


def test_another_model(model):
    with pytest.raises(CheckpointError, match=r"other.pt is of another model: none of its 1 "):
        load_state(model, {"encoder.weight": torch.zeros(2)}, "other.pt")
    name = "video_encoder.videomlp.linear1.weight"
    with pytest.raises(CheckpointError, match=rf"{name} is \[8, 512\] in the file and \[32, 512\]"):
        load_state(model, {name: torch.zeros(8, 512)}, "other.pt")


def test_damaged_files(tmp_path, old_file):
    with pytest.raises(CheckpointError, match=r"gone.pt does not exist"):
        read_checkpoint(tmp_path / "gone.pt")
    whole = old_file.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 100):
        (tmp_path / "cut.pt").write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=rf"cut.pt cannot be read \({size:,} bytes\)"):
            read_checkpoint(tmp_path / "cut.pt")
    (tmp_path / "text.pt").write_text(json.dumps({"model": 1}) * 50)
    with pytest.raises(CheckpointError, match=r"text.pt cannot be read"):
        read_checkpoint(tmp_path / "text.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"holds a list, not a dict"):
        read_checkpoint(tmp_path / "list.pt")
    torch.save({"model": {}}, tmp_path / "empty.pt")
    with pytest.raises(CheckpointError, match=r"holds no model weights"):
        model_state(read_checkpoint(tmp_path / "empty.pt"), "empty.pt")


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("was_executed",))


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"w": torch.zeros(1)}, "extra": Payload()}, "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil.pt needs more than plain tensors"):
        read_checkpoint("evil.pt")
    assert not (tmp_path / "was_executed").exists()
