"""mmpt.api: a job file and a checkpoint become an encoder of files and sentences."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmpt import api
from mmpt.api import EncodedVideo
from mmpt.errors import CheckpointError, ConfigError, DataError, LaunchError
from mmpt.models import build_model

TEXTS = ["pour the water", "cut", "stir it " * 30]


@pytest.fixture(scope="module")
def norton(trained_run):
    return api.load(trained_run / "job.yaml", video_weights=trained_run / "r.pth", device="cpu")


def features(seconds, seed=0):
    rows = np.random.default_rng(seed).standard_normal((seconds, 512)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_run_folder_is_as_good_as_its_job_file(norton, trained_run):
    other = api.load(trained_run / "run", device="cpu")
    assert torch.equal(other.encode_text(TEXTS), norton.encode_text(TEXTS))
    named = api.load(trained_run / "job.yaml", trained_run / "run/checkpoint_best.pt", device="cpu")
    assert torch.equal(named.encode_text(TEXTS), norton.encode_text(TEXTS))


def test_texts_are_pooled_as_the_data_sets_are(norton, caplog):
    rows = [
        norton.aligner._build_text_seq(norton.tokenizer(text, add_special_tokens=False).input_ids)
        for text in TEXTS
    ]
    caps, cmasks = (torch.stack(part) for part in zip(*rows, strict=True))
    with torch.no_grad():
        wanted = norton.model.encode_text(caps, cmasks).pooled
    assert torch.allclose(norton.encode_text(TEXTS), wanted, atol=1e-6)
    assert "1 of 3 texts have more than 13 tokens and are cut" in caplog.text


def test_a_short_video_is_one_window(norton):
    rows = features(5)
    video = norton.encode_features(rows)
    padded = torch.zeros(1, 8, 512)
    padded[0, :5] = torch.from_numpy(rows)
    with torch.no_grad():
        wanted = norton.model.encode_video(padded, torch.arange(8)[None] < 5)
    assert torch.allclose(video.pooled, wanted.pooled[0], atol=1e-6)
    assert torch.allclose(video.states, wanted.states[0, 1:6], atol=1e-6)
    assert video.times.tolist() == [0, 1, 2, 3, 4]


def test_a_long_video_is_the_mean_of_its_windows_by_their_seconds(norton):
    rows = features(19)
    video = norton.encode_features(rows)
    parts = [norton.encode_features(rows[start : start + 8]) for start in (0, 8, 16)]
    assert torch.allclose(video.states, torch.cat([part.states for part in parts]), atol=1e-5)
    wanted = sum(n * part.pooled for n, part in zip((8, 8, 3), parts, strict=True)) / 19
    assert torch.allclose(video.pooled, wanted, atol=1e-5)


def test_states_of_overlapping_windows_are_averaged(norton):
    rows = features(12)
    video = norton.encode_features(rows, step=4)
    first, second = norton.encode_features(rows[:8]), norton.encode_features(rows[4:])
    wanted = torch.cat([first.states[:4], (first.states[4:] + second.states[:4]) / 2])
    assert torch.allclose(video.states[:8], wanted, atol=1e-6)


def test_half_precision_features_are_read(norton):
    rows = features(3).astype(np.float16)
    assert torch.isfinite(norton.encode_features(rows).pooled).all()


def test_scores_are_the_dot_products_of_all_texts_with_all_videos(norton):
    videos = [norton.encode_features(features(3, seed)) for seed in range(2)]
    scores = norton.score(TEXTS, videos)
    pooled = torch.stack([video.pooled for video in videos])
    assert torch.allclose(scores, norton.encode_text(TEXTS) @ pooled.T)
    assert torch.equal(norton.score(norton.encode_text(TEXTS), videos), scores)


def test_an_alignment_has_a_cosine_for_every_second(norton):
    video = norton.encode_features(features(11))
    got = norton.align(TEXTS, video)
    assert got.shape == (3, 11)
    state, text = video.states[10], norton.encode_text(TEXTS)[1]
    assert torch.isclose(got[1, 10], state @ text / state.norm() / text.norm(), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda n: n.encode_text("one text"), "a list of texts is needed"),
        (lambda n: n.encode_text([]), "the list is empty"),
        (lambda n: n.encode_text([3]), "a list of texts is needed"),
        (lambda n: n.score(["a"], []), "a list of files or encoded videos"),
        (lambda n: n.score(["a"], "a.mp4"), "a list of files or encoded videos"),
        (lambda n: n.encode_features(features(3)[:, :500]), r"expected \[seconds, 512\]"),
        (lambda n: n.encode_features(features(3), step=9), "allowed: 1 to 8 whole seconds"),
        (lambda n: n.encode_features(features(3), step=1.5), "allowed: 1 to 8 whole seconds"),
        (lambda n: n.align(torch.zeros(2, 7), n.encode_features(features(3))), "texts: vectors of"),
        (lambda n: n.encode_features(np.full((3, 512), np.nan, np.float32)), "NaN or inf"),
    ],
)
def test_what_does_not_fit_is_refused(norton, call, line):
    with pytest.raises(DataError, match=line):
        call(norton)


def test_texts_may_come_from_anywhere(norton):
    wanted = norton.encode_text(["cut", "cut ?"])
    assert torch.equal(norton.encode_text(text for text in ("cut", "cut \ud800")), wanted)


def test_features_may_be_a_tensor(norton):
    rows = features(3)
    got = norton.encode_features(torch.from_numpy(rows))
    assert torch.equal(got.pooled, norton.encode_features(rows).pooled)


@pytest.mark.parametrize("device", ["banana", "meta", "cuda:7"])
def test_a_device_that_is_not_there_is_refused(trained_run, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(LaunchError, match=f"device .*{device}"):
        api.load(trained_run / "job.yaml", device=device)


def test_a_model_of_other_features_says_so_before_it_decodes(trained_run, tmp_path, small_video):
    config = OmegaConf.load(trained_run / "job.yaml")
    config.dataset.vfeat_dim = 384
    OmegaConf.save(config, tmp_path / "job.yaml")
    torch.save({"model": build_model(config).state_dict()}, tmp_path / "c.pt")
    other = api.load(tmp_path / "job.yaml", tmp_path / "c.pt", device="cpu")
    with pytest.raises(ConfigError, match="of width 384, S3D's have 512"):
        other.encode_video(small_video)


def test_what_is_missing_is_named(trained_run, tmp_path):
    with pytest.raises(ConfigError, match=r"holds no config\.yaml"):
        api.load(tmp_path)
    with pytest.raises(CheckpointError, match=r"run/other\.pt does not exist"):
        api.load(trained_run / "job.yaml", "other.pt")
    config = OmegaConf.load(trained_run / "job.yaml")
    del config["eval"]
    OmegaConf.save(config, tmp_path / "job.yaml")
    with pytest.raises(CheckpointError, match=r"eval\.save_path is not set; give a path"):
        api.load(tmp_path / "job.yaml")


def test_a_model_that_encodes_pairs_only_is_refused(trained_run, tmp_path):
    config = OmegaConf.load(trained_run / "job.yaml")
    config.model = {"model_cls": "MMFusionActionSegmentation"}
    config.model.mm_encoder_cls = "MMBertForTokenClassification"
    OmegaConf.save(config, tmp_path / "job.yaml")
    torch.save({"model": build_model(config).state_dict()}, tmp_path / "c.pt")
    with pytest.raises(ConfigError, match="does not encode video and text apart"):
        api.load(tmp_path / "job.yaml", tmp_path / "c.pt")


def test_a_video_file_is_decoded_and_encoded(norton, small_video, small_pictures, monkeypatch):
    rows = norton.video_features(small_video)
    assert rows.shape == (1, 512)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    monkeypatch.setattr(norton, "video_features", lambda path: rows)
    video = norton.encode_video(small_video)
    assert isinstance(video, EncodedVideo)
    assert torch.equal(norton.encode_features(rows).pooled, video.pooled)
    assert torch.equal(norton.score(TEXTS, [small_video]), norton.score(TEXTS, [video]))


def test_weights_that_are_not_there_are_said_when_they_are_needed(trained_run, small_video):
    norton = api.load(trained_run / "job.yaml", video_weights="none.pth", device="cpu")
    with pytest.raises(CheckpointError, match=r"none\.pth: no such file: S3D's weights"):
        norton.encode_video(small_video)
