"""Every wrapper: names, stored forwards, batches, gradients, what trains, clear errors."""

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from mmpt.config import load_config
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.errors import ConfigError, DataError
from mmpt.models import MM_ENCODERS, MODELS, TEXT_ENCODERS, VIDEO_ENCODERS, build_model, mmfusion
from mmpt.models.fusion import MMFusion
from mmpt.models.mmfusion import MMFusionSeparate, MMFusionShare

from .conftest import WRAPPERS, wrapper_config

KEYS = ("caps", "cmasks", "vfeats", "vmasks")
WINDOWED = [name for name in WRAPPERS if "Action" in name or "FullVideo" in name]


def close(got, wanted, tolerance=1e-5):
    """Largest deviation, measured by the largest stored value where that is above 1."""
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() < tolerance * max(1.0, wanted.abs().max().item())


def pairs_of(arrays, prefix="in_"):
    return {name: arrays[f"{prefix}{name}"] for name in KEYS}


def one_item(sample):
    return {name: value.unsqueeze(0) for name, value in sample.items()}


def sample_of(name, others):
    """The stored inputs in the form that a wrapper takes, labels included."""
    sample = pairs_of(others)
    if name in WINDOWED:
        return one_item(sample)
    if f"{name}.train.video_label" in others:
        labels = ("video_label", "text_label")
        sample |= {label: others[f"{name}.train.{label}"] for label in labels}
    return sample


def scalar(outputs):
    return sum(value.square().sum() for value in outputs.values() if value.is_floating_point())


# --------------------------------------------------------------------------------- names


def test_every_published_name_is_registered():
    assert set(MODELS) == set(WRAPPERS)
    assert all(MODELS[name] is getattr(mmfusion, name) for name in WRAPPERS)
    assert all(kind.__name__ == name for name, kind in MODELS.items())
    assert set(VIDEO_ENCODERS) <= set(MM_ENCODERS) and set(TEXT_ENCODERS) == {"BertModel"}
    assert issubclass(MMFusionSeparate, MMFusionShare) and issubclass(MMFusionShare, MMFusion)


@pytest.mark.parametrize(
    "name", [name for name in WRAPPERS if name not in ("MMFusionSeparate", "MMFusionNLG")]
)
def test_parameter_names_order_and_shapes(name, tinybert, golden_dir):
    stored = json.loads((golden_dir / "models_data/wrapper_names.json").read_text())
    state = build_model(wrapper_config(tinybert, name)).state_dict()
    assert list(state) == list(stored["tiny"][name])
    assert {n: list(value.shape) for n, value in state.items()} == stored["tiny"][name]


@pytest.mark.parametrize(
    "name", ["MMFusionSeparateActionSegmentation", "MMFusionSeparateFullVideoBGRetrieval"]
)
def test_bert_base_names_and_shapes(name, golden_dir, bert_base):
    stored = json.loads((golden_dir / "models_data/wrapper_names.json").read_text())
    config = wrapper_config(bert_base, name, num_hidden_video_layers=6)
    with torch.device("meta"):
        state = build_model(config).state_dict()
    assert {n: list(value.shape) for n, value in state.items()} == stored["bertbase"][name]


@pytest.fixture
def bert_base(tmp_path):
    """A folder with bert-base's config alone."""
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    return tmp_path


def job_files():
    """The released job files by the model that they name, one for each way to name one."""
    files = {}
    for path in sorted((REPOSITORY_ROOT / "projects/retri").rglob("*.yaml")):
        config = load_config(config_file=str(path))
        if config.get("model"):
            files.setdefault(str(OmegaConf.to_container(config.model)), path)
    return list(files.values())


@pytest.mark.parametrize("path", job_files(), ids=lambda path: path.stem)
def test_models_of_the_job_files_build(path: Path, bert_base):
    config = load_config(config_file=str(path))
    config.dataset.bert_name = str(bert_base)
    with torch.device("meta"):
        model = build_model(config)
    assert type(model) is MODELS[config.model.model_cls]


# ------------------------------------------------------------------------ stored forwards


def test_share_halves_and_whole(wrapper, others):
    model, inputs = wrapper("MMFusionShare"), pairs_of(others)
    video, text = model.forward_video(**inputs), model.forward_text(**inputs)
    for mine, name in ((video, "video"), (text, "text")):
        close(mine.pooled, others[f"MMFusionShare.forward_{name}"])
        close(mine.states, others[f"MMFusionShare.forward_{name}_hidden"])
    outputs = model(**inputs, video_id=["ignored"])
    for side, half in (("video", video), ("text", text)):
        assert torch.equal(outputs[f"pooled_{side}"], half.pooled)
        assert torch.equal(outputs[f"{side}_outputs"], half.states)
        assert torch.equal(outputs[f"{side}_mask_outputs"], half.mask)
    close(model.encode_video(inputs["vfeats"], inputs["vmasks"]).pooled, video.pooled)
    close(model.encode_text(inputs["caps"], inputs["cmasks"]).pooled, text.pooled)


def test_joint(wrapper, others):
    outputs = wrapper("MMFusionJoint", iso=2)(**pairs_of(others))
    close(outputs["pooled_video"], others["MMFusionJoint.pooled_video"])
    close(outputs["pooled_text"], others["MMFusionJoint.pooled_text"])


@pytest.mark.parametrize(
    "name",
    [
        "MMFusionActionSegmentation",
        "MMFusionShareActionLocalization",
        "MMFusionActionLocalization",
    ],
)
def test_windows_of_one_encoder(name, wrapper, others):
    outputs = wrapper(name)(**one_item(pairs_of(others)))
    close(outputs["logits"], others[f"{name}.logits"])


def test_separate_action_segmentation(wrapper, golden):
    arrays = golden("models_data/forward_actseg.npz")
    arrays = {name: torch.from_numpy(value) for name, value in arrays.items()}
    model = wrapper("MMFusionSeparateActionSegmentation")
    outputs = model(**pairs_of(arrays))
    close(outputs["logits"], arrays["out_logits"])
    twice = {name: value.repeat_interleave(2, 0) for name, value in pairs_of(arrays).items()}
    close(model(**twice)["logits"], arrays["out_logits"].repeat(2, 1, 1))


def test_full_video_background_retrieval(wrapper, golden):
    arrays = golden("models_data/forward_fullvideobg.npz")
    arrays = {name: torch.from_numpy(value) for name, value in arrays.items()}
    outputs = wrapper("MMFusionSeparateFullVideoBGRetrieval")(**pairs_of(arrays))
    close(outputs["pooled_video"], arrays["out_pooled_video"])
    close(outputs["pooled_text"], arrays["out_pooled_text"])


def test_separate_action_localization(wrapper, others):
    """The published form crashed; the two encoders' own forwards say what it must give."""
    model, inputs = wrapper("MMFusionSeparateActionLocalization"), pairs_of(others)
    found = model(**one_item(inputs))["logits"]
    constant = torch.tensor([[2, 3, 0, 3]]).expand(5, -1)
    shown = torch.tensor([[False, True, False, True]]).expand(5, -1)
    states = model.forward_video(inputs["vfeats"], inputs["vmasks"], constant, shown).states
    text = model.forward_text(inputs["caps"], inputs["cmasks"]).pooled
    rows = []
    for window in range(5):
        for second in range(8):
            if inputs["vmasks"][window, second]:
                rows.append(states[window, 1 + second] @ text.T)
    close(found, torch.stack(rows))
    assert found.shape == (inputs["vmasks"].sum(), 5)


@pytest.mark.parametrize("name", ["MMFusionMFMMLM", "MMFusionMTM"])
def test_masked_modelling(name, wrapper, others):
    sample = sample_of(name, others)
    seen = sample["vfeats"].clone()
    outputs = wrapper(name)(**sample)
    for part in ("video_logits", "text_logits"):
        close(outputs[part], others[f"{name}.train.{part}"])
    assert torch.equal(sample["vfeats"], seen)  # the batch is not written to


# ----------------------------------------------------------------------- all of them alike


@pytest.mark.parametrize("name", WRAPPERS)
def test_gradients_flow_and_layernorm_only_freezes_the_rest(name, wrapper, others):
    sample = sample_of(name, others)
    model = wrapper(name).train()
    scalar(model(**sample)).backward()
    trained = {n for n, p in model.named_parameters() if p.grad is not None}
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    unused = {n for n, _ in model.named_parameters()} - trained
    if name == "MMFusionSeparateActionSegmentation":
        unused = {n for n in unused if not n.startswith("text_encoder")}
    assert all("pooler" in n for n in unused), sorted(unused)

    frozen = wrapper(name, layernorm_only=True).train()
    trainable = {n for n, p in frozen.named_parameters() if p.requires_grad}
    norms = {n for n, _ in frozen.named_parameters() if n.split(".")[-2] == "LayerNorm"}
    assert trainable == norms and trainable
    scalar(frozen(**sample)).backward()
    assert all(p.grad is None for p in frozen.parameters() if not p.requires_grad)
    assert any(p.grad is not None for p in frozen.parameters())


@pytest.mark.parametrize(
    "name", [name for name in WRAPPERS if name not in WINDOWED and name != "MMFusionNLG"]
)
def test_a_batch_of_one_equals_a_row_of_five(name, wrapper, others):
    model, inputs = wrapper(name), pairs_of(others)
    whole = model(**inputs)
    for row in (0, 3):
        alone = model(**{key: value[row : row + 1] for key, value in inputs.items()})
        for side in ("pooled_video", "pooled_text"):
            close(alone[side], whole[side][row : row + 1])


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_without_the_leading_axis_are_the_same(name, wrapper, others):
    model, inputs = wrapper(name), pairs_of(others)
    nested, flat = model(**one_item(inputs)), model(**inputs)
    assert all(torch.equal(nested[key], flat[key]) for key in nested)


@pytest.mark.parametrize("name", [n for n in WINDOWED if "Localization" in n or "BG" in n])
def test_two_videos_at_once_are_refused(name, wrapper, others):
    sample = {key: torch.stack([value, value]) for key, value in pairs_of(others).items()}
    with pytest.raises(DataError, match=r"\(2, 5, .*one video at a time.*batch_size: 1"):
        wrapper(name)(**sample)


@pytest.mark.parametrize("name", WRAPPERS)
def test_more_frames_than_positions_are_refused(name, wrapper, others):
    """Frame 9 of 8 would take the position of the frames' [SEP]."""
    sample = sample_of(name, others)
    for key in ("vfeats", "vmasks", "video_label"):
        if key in sample:
            axis = 1 + (name in WINDOWED)
            last = sample[key].narrow(axis, 0, 1)
            sample[key] = torch.cat([sample[key], last], dim=axis)
    with pytest.raises(DataError, match=r"vfeats: 9 frames a clip, .* 8 \(dataset.max_video_len\)"):
        wrapper(name)(**sample)


# -------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("MMFusionSeparateActionSegmentation", "video_encoder"),
        ("MMFusionActionSegmentation", "mm_encoder"),
    ],
)
def test_width_of_the_classifier(name, key, tinybert, others):
    config = wrapper_config(tinybert, name)
    assert getattr(build_model(config), key).classifier.out_features == 779
    config.dataset.num_labels = 11
    model = build_model(config)
    assert getattr(model, key).classifier.out_features == 11
    assert not getattr(model, key).classifier.bias.any()
    assert model(**one_item(pairs_of(others)))["logits"].shape == (5, 8, 11)


def test_heads_start_from_the_bert_folder(tinybert, golden):
    weights = golden("models_data/tinybert/weights.npz")
    for name in ("MMFusionMFMMLM", "MMFusionMTM"):
        encoder = build_model(wrapper_config(tinybert, name)).mm_encoder
        state = encoder.state_dict()
        for key in ("cls.predictions.transform.dense.weight", "bert.pooler.dense.weight"):
            assert torch.equal(state[key], torch.from_numpy(weights[key])), key
        embeddings = encoder.bert.embeddings.word_embeddings
        assert encoder.cls.predictions.decoder.weight is embeddings.weight


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("MMFusionShare", {"mm_encoder_cls": None}, r"mm_encoder_cls is not set: MMFusionShare"),
        ("MMFusionJoint", {"mm_encoder_cls": "MMBertForJoin"}, r"did you mean MMBertForJoint"),
        ("MMFusionJoint", {"mm_encoder_cls": "MMBertForMTM"}, r"MMFusionJoint cannot use .*MTM"),
        (
            "MMFusionSeparateActionSegmentation",
            {"video_encoder_cls": "MMBertForEncoder"},
            r"model.video_encoder_cls: .* cannot use MMBertForEncoder; .*TokenClassification",
        ),
        (
            "MMFusionSeparateFullVideoBGRetrieval",
            {"mm_encoder_cls": "MMBertForEncoder"},
            r"model.mm_encoder_cls: .* encodes video and text apart",
        ),
    ],
)
def test_encoders_that_do_not_go_with_the_wrapper(name, change, message, tinybert):
    with pytest.raises(ConfigError, match=message):
        build_model(wrapper_config(tinybert, name, **change))


def test_the_base_takes_either_form_and_refuses_none(tinybert):
    one = MMFusion(wrapper_config(tinybert, "MMFusionJoint"))
    two = MMFusion(wrapper_config(tinybert, "MMFusionSeparate"))
    assert hasattr(one, "mm_encoder") and not hasattr(one, "text_encoder")
    assert hasattr(two, "video_encoder") and hasattr(two, "text_encoder")
    neither = wrapper_config(tinybert, "MMFusionJoint", mm_encoder_cls=None)
    with pytest.raises(ConfigError, match=r"no encoder is named; set model.mm_encoder_cls, or"):
        MMFusion(neither)
    with pytest.raises(NotImplementedError, match="MMFusion has encoders"):
        one()


def test_numbers_of_isolated_layers(tinybert):
    for iso in (-1, 5):
        config = wrapper_config(tinybert, "MMFusionJoint", iso=iso)
        with pytest.raises(ConfigError, match=rf"dataset.num_iso_layer: got {iso}, 0 to 4"):
            build_model(config)
    # the released job files of dual encoders carry the key; it says nothing to them
    assert build_model(wrapper_config(tinybert, "MMFusionSeparate", iso=12))
