"""The end-to-end module: S3D and the dual encoder as one, in batches, with masks, from files."""

import copy

import pytest
import torch
from omegaconf import OmegaConf

from mmpt.errors import CheckpointError, DataError
from mmpt.models import MMPTModel
from mmpt.models.s3d_weights import random_s3d, save_random


@pytest.fixture(scope="module")
def s3d():
    source = torch.Generator().manual_seed(0)
    return random_s3d(0, torch.randint(0, 256, (8, 4, 32, 32, 3), generator=source).byte())


@pytest.fixture
def frames():
    """Three clips of two seconds, four small frames each, in [0, 1]."""
    return torch.rand(3, 2, 4, 32, 32, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def words(inputs):
    return {"caps": inputs["caps"][:3], "cmasks": inputs["cmasks"][:3]}


@pytest.fixture
def end_to_end(config_of, model, s3d):
    def build(**settings):
        return MMPTModel(config_of(), model, s3d, **settings).eval()

    return build


def by_hand(model, s3d, frames, words, normalize):
    """The pairs one at a time, written out."""
    scores = []
    for clip, caps, cmasks in zip(frames, words["caps"], words["cmasks"], strict=True):
        vectors = s3d(clip.permute(0, 4, 1, 2, 3))["video_embedding"]
        if normalize:
            vectors = vectors / vectors.norm(dim=1, keepdim=True)
        vfeats = torch.zeros(1, 8, 512)
        vfeats[0, : len(clip)] = vectors
        vmasks = torch.arange(8)[None] < len(clip)
        out = model(caps=caps[None], cmasks=cmasks[None], vfeats=vfeats, vmasks=vmasks)
        scores.append((out["pooled_video"] @ out["pooled_text"].T)[0, 0])
    return torch.stack(scores)


@torch.no_grad()
@pytest.mark.parametrize("normalize", [True, False])
def test_a_batch_scores_as_its_pairs_one_by_one(end_to_end, model, s3d, frames, words, normalize):
    got = end_to_end(normalize=normalize)(frames, **words, return_score=True)["score"]
    wanted = by_hand(model, s3d, frames, words, normalize)
    assert torch.allclose(got, wanted, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_features_are_of_length_one_unless_the_published_behaviour_is_asked_for(end_to_end, frames):
    norms = end_to_end().encode_seconds(frames)[0][:, :2].norm(dim=-1)
    assert torch.allclose(norms, torch.ones(3, 2))
    assert (end_to_end(normalize=False).encode_seconds(frames)[0][:, :2].norm(dim=-1) > 2).all()


@torch.no_grad()
def test_masked_seconds_do_not_count_whatever_they_hold(end_to_end, frames, words):
    together = end_to_end()
    vmasks = torch.tensor([[True, True], [True, False], [True, True]])
    spoilt = frames.clone()
    spoilt[1, 1] = float("nan")
    got = together(spoilt, **words, vmasks=vmasks)
    alone = together(frames[1:2, :1], words["caps"][1:2], words["cmasks"][1:2])
    assert torch.allclose(got["pooled_video"][1], alone["pooled_video"][0], atol=1e-3)


@torch.no_grad()
def test_bytes_are_the_same_as_their_share_of_255(end_to_end, frames):
    pixels = (255 * frames).byte()
    wanted, _ = end_to_end().encode_seconds(pixels / 255)
    assert torch.equal(end_to_end().encode_seconds(pixels)[0], wanted)


@torch.no_grad()
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_frames_of_any_precision(end_to_end, frames, words, precision):
    frames = frames.to(precision)
    wanted = end_to_end()(frames.float(), **words, return_score=True)["score"]
    assert torch.equal(end_to_end()(frames, **words, return_score=True)["score"], wanted)


@torch.no_grad()
def test_a_model_in_half_precision(config_of, model, s3d, frames, words):
    half = MMPTModel(config_of(), copy.deepcopy(model), copy.deepcopy(s3d)).eval().bfloat16()
    score = half(frames, **words, return_score=True)["score"]
    assert score.dtype == torch.bfloat16 and torch.isfinite(score).all()


def test_gradients_reach_the_video_network(end_to_end, frames, words):
    together = end_to_end()
    together(frames, **words, return_score=True)["score"].sum().backward()
    assert together.video_encoder.fc.weight.grad.abs().sum() > 0
    together.zero_grad()


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda f, w: (f[0], w, None), r"expected \[clips, seconds"),
        (lambda f, w: (f.repeat(1, 5, 1, 1, 1, 1), w, None), "10 seconds; .*max_video_len is 8"),
        (lambda f, w: (f, w, torch.ones(3, 3)), r"vmasks: shape \[3, 3\]; \[3, 2\] goes"),
        (lambda f, w: (f, w, torch.zeros(3, 2)), "no clip has a second"),
        (lambda f, w: (f, {k: v[:2] for k, v in w.items()}, None), "3 clips and 2 texts"),
        (lambda f, w: (f[:, :, :3], w, None), "even numbers of frames"),
    ],
)
def test_what_does_not_fit_is_refused(end_to_end, frames, words, spoil, line):
    frames, words, vmasks = spoil(frames, words)
    with pytest.raises(DataError, match=line):
        end_to_end()(frames, **words, vmasks=vmasks)


@pytest.fixture
def place(config_of, model, tinybert, s3d, tmp_path, monkeypatch):
    """A working directory with a job file, its best checkpoint and S3D's weights."""
    config = config_of()
    config.dataset.bert_name = str(tinybert)
    OmegaConf.save(
        OmegaConf.merge(config, {"eval": {"save_path": "runs/own"}}), tmp_path / "j.yaml"
    )
    (tmp_path / "runs/own").mkdir(parents=True)
    state = {f"mmmodel.{name}": value.half() for name, value in model.state_dict().items()}
    torch.save({"model": state}, tmp_path / "runs/own/checkpoint_best.pt")
    save_random(s3d, 0, tmp_path / "pretrained_models/s3d_howto100m.pth")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("form", ["fairseq", "state_dict", "bare"])
def test_the_snippet_of_the_published_toolkit_runs(place, frames, form):
    path = place / "runs/own/checkpoint_best.pt"
    stored = torch.load(path)["model"]
    bare = {name.removeprefix("mmmodel."): value for name, value in stored.items()}
    torch.save(
        {"fairseq": {"model": stored}, "state_dict": {"state_dict": stored}, "bare": bare}[form],
        path,
    )

    model, tokenizer, aligner = MMPTModel.from_pretrained("j.yaml")
    model.eval()
    ids = tokenizer("some text", add_special_tokens=False)["input_ids"]
    caps, cmasks = aligner._build_text_seq(ids)
    caps, cmasks = caps[None, :], cmasks[None, :]
    with torch.no_grad():
        output = model(frames[:1], caps, cmasks, return_score=True)
    assert output["score"].shape == (1,)
    assert torch.isfinite(output["score"]).all()
    assert next(model.model.parameters()).dtype == torch.float32
    assert model.max_video_len == 8
    special = (aligner.cls_token_id, aligner.sep_token_id, aligner.pad_token_id)
    assert (*special, aligner.mask_token_id) == (2, 3, 0, 4)


def test_what_is_missing_is_named(place):
    with pytest.raises(CheckpointError, match=r"runs/own/other\.pt does not exist"):
        MMPTModel.from_pretrained("j.yaml", "other.pt")
    (place / "pretrained_models/s3d_howto100m.pth").unlink()
    with pytest.raises(CheckpointError, match=r"pretrained_models/s3d_howto100m\.pth: no such"):
        MMPTModel.from_pretrained("j.yaml")
