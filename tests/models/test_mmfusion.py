"""MMFusionSeparate against the published model: names, weights, forwards, gradients."""

import json

import pytest
import torch

from mmpt.errors import ConfigError, DataError
from mmpt.models import build_model
from mmpt.models.transformermodel import MMBertForEncoder
from mmpt.utils.bert import load_tokenizer

OUTPUTS = (
    "pooled_video",
    "pooled_text",
    "video_outputs",
    "text_outputs",
    "video_mask_outputs",
    "text_mask_outputs",
)


def close(got, wanted, tolerance=1e-5):
    assert got.shape == wanted.shape
    assert (got.double() - wanted.double()).abs().max() < tolerance


def names_of(golden_dir, file):
    stored = json.loads((golden_dir / "models_data" / file).read_text())["MMFusionSeparate"]
    return {n.removeprefix("mmmodel."): v for n, v in stored.items() if "position_ids" not in n}


def test_parameter_names_and_shapes(fresh, golden_dir):
    wanted = names_of(golden_dir, "state_dict_keys_tiny.json")
    assert list(fresh.state_dict()) == list(wanted)
    for name, value in fresh.state_dict().items():
        assert list(value.shape) == wanted[name]["shape"], name


def test_bert_base_names_and_shapes(golden_dir, tmp_path):
    """The released checkpoints' 308 names, on a model that never takes its 700 MB of memory."""
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    config = {
        "dataset": {"bert_name": str(tmp_path), "max_video_len": 32, "max_len": 96},
        "model": {
            "model_cls": "MMFusionSeparate",
            "video_encoder_cls": "MMBertForEncoder",
            "text_encoder_cls": "BertModel",
            "num_hidden_video_layers": 6,
        },
    }
    with torch.device("meta"):
        model = build_model(config)
    wanted = names_of(golden_dir, "state_dict_keys_bertbase.json")
    got = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert got == {name: entry["shape"] for name, entry in wanted.items()}
    assert sum(p.numel() for p in model.parameters()) == 177_423_360


def test_starts_from_the_bert_folder(fresh, golden, golden_dir):
    sources = json.loads((golden_dir / "models_data/init_from_bert_dir.json").read_text())
    weights = golden("models_data/tinybert/weights.npz")
    state = fresh.state_dict()
    for name, entry in sources.items():
        if entry["source_key"] is not None and "position_ids" not in name:
            assert torch.equal(state[name], torch.from_numpy(weights[entry["source_key"]])), name
    mlp = fresh.video_encoder.videomlp
    assert 0.018 < mlp.linear1.weight.std() < 0.022
    assert not mlp.linear1.bias.any() and not mlp.LayerNorm.bias.any()
    assert (mlp.LayerNorm.weight == 1).all()


def test_forward(model, inputs, stored):
    outputs = model(**inputs, video_id=["ignored"])
    assert set(outputs) == set(OUTPUTS)
    for name in OUTPUTS:
        close(outputs[name], stored[f"out_{name}"])
    assert outputs["video_mask_outputs"].dtype == torch.bool


def test_hidden_states_alone(model, inputs, stored):
    close(model.forward_video(**inputs, output_hidden_states=True), stored["fv_hidden"])
    close(model.forward_text(**inputs, output_hidden_states=True), stored["ft_hidden"])


def test_videomlp_and_embeddings(model, inputs, stored):
    encoder = model.video_encoder
    frames = encoder.videomlp(inputs["vfeats"])
    close(frames, stored["videomlp_out"])
    embeddings = encoder.bert.embeddings

    def embed(ids, video):
        words, positions = embeddings.sequence(ids, video)
        return positions, embeddings(inputs_embeds=words, position_ids=positions)

    caps = inputs["caps"]
    positions, embedded = embed(caps[:, :2], frames)
    assert torch.equal(positions, stored["pos_ids_video_full8"])
    close(embedded, stored["emb_video_out"])
    positions, _ = embed(caps[:, :2], frames[:, :5])
    assert torch.equal(positions, stored["pos_ids_video_len5"])
    positions, _ = embed(caps, frames)
    assert torch.equal(positions, stored["pos_ids_joint"])
    positions, embedded = embed(torch.cat([caps[:, :1], caps[:, 2:]], dim=1), None)
    assert torch.equal(positions, stored["pos_ids_textonly_mm_embeddings"])
    close(embedded, stored["emb_textonly_out"])


def test_constant_caption_of_the_segmentation_tasks(model, inputs, stored):
    caps = torch.tensor([[2, 3, 0, 3]]).expand(5, -1)
    cmasks = torch.tensor([[False, True, False, True]]).expand(5, -1)
    video = model.forward_video(inputs["vfeats"], inputs["vmasks"], caps, cmasks)
    close(video.pooled, stored["dummycap_pooled_video"])
    close(video.states, stored["dummycap_video_outputs"])


def test_fewer_frames_than_the_longest_clip(model, inputs, stored):
    short = dict(inputs, vfeats=inputs["vfeats"][:, :5], vmasks=inputs["vmasks"][:, :5])
    video = model.forward_video(**short)
    close(video.pooled, stored["short5_pooled_video"])
    close(video.states, stored["short5_video_outputs"])


def test_each_modality_alone(model, inputs):
    outputs = model(**inputs)
    video = model.encode_video(inputs["vfeats"], inputs["vmasks"])
    text = model.encode_text(inputs["caps"], inputs["cmasks"])
    close(video.pooled, outputs["pooled_video"])
    close(text.pooled, outputs["pooled_text"])
    every = model.encode_video(inputs["vfeats"])
    assert every.mask[:, 1:].all() and not every.mask[:, 0].any()


def test_padding_has_no_influence(model, inputs):
    noisy = inputs["vfeats"].clone()
    noisy[~inputs["vmasks"]] = 7.0
    words = inputs["caps"].clone()
    words[~inputs["cmasks"]] = 9
    outputs = model(words, inputs["cmasks"], noisy, inputs["vmasks"])
    close(outputs["pooled_video"], model(**inputs)["pooled_video"])
    close(outputs["pooled_text"], model(**inputs)["pooled_text"])


def test_gradients(model, inputs, stored, golden_dir):
    outputs = model(**inputs)
    scalar = (outputs["pooled_video"] * stored["grad_w"]).sum()
    scalar = scalar + (outputs["pooled_text"] * stored["grad_u"]).sum()
    scalar.backward()
    assert abs(scalar.item() - stored["grad_scalar"].item()) < 1e-4 * abs(scalar.item())
    norms = json.loads((golden_dir / "models_data/tiny_separate_gradnorms.json").read_text())
    for name, parameter in model.named_parameters():
        if norms[name] is None:
            assert parameter.grad is None, name
        else:
            off = abs(parameter.grad.norm().item() - norms[name])
            assert off <= 1e-4 * norms[name] + 1e-6, name
        if f"grad.{name}" in stored:
            wanted = stored[f"grad.{name}"]
            close(parameter.grad, wanted, 1e-4 * wanted.abs().max() + 1e-7)


def test_layernorm_only(config_of, golden_dir, inputs):
    model = build_model(config_of(layernorm_only=True))
    wanted = json.loads((golden_dir / "models_data/layernorm_only_trainable.json").read_text())
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert sorted(trainable) == sorted(wanted["trainable"])
    values = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert values == wanted["n_trainable_values"]
    model(**inputs)["pooled_video"].sum().backward()
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_use_seg_emb_owns_the_unused_table(config_of):
    names = build_model(config_of(use_seg_emb=True)).state_dict()
    assert names["video_encoder.bert.embeddings.seg_embeddings.weight"].shape == (256, 32)


def test_other_feature_width(config_of):
    config = config_of()
    config.dataset.vfeat_dim = 96
    encoder = build_model(config).video_encoder
    assert isinstance(encoder, MMBertForEncoder)
    assert encoder.videomlp.linear1.in_features == 96


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_cls": "MMFusionSeperate"}, r"model.model_cls.*did you mean MMFusionSeparate"),
        ({"video_encoder_cls": "Nope"}, r"model.video_encoder_cls.*MMBertForEncoder"),
        ({"text_encoder_cls": None}, r"model.text_encoder_cls is not set"),
        ({"mm_encoder_cls": "MMBertForEncoder"}, r"model.mm_encoder_cls.*null"),
    ],
)
def test_wrong_names(config_of, change, message):
    with pytest.raises(ConfigError, match=message):
        build_model(config_of(**change))


def test_too_few_positions(config_of):
    config = config_of()
    config.dataset.max_len = 600
    with pytest.raises(ConfigError, match=r"dataset.max_len: 600 positions .* has 512"):
        build_model(config)


def test_bert_that_is_not_there(config_of):
    config = config_of()
    config.dataset.bert_name = "no/such-bert"
    with pytest.raises(DataError, match=r"dataset.bert_name.*no/such-bert.*pretrained_models"):
        build_model(config)


def test_a_folder_without_weights_starts_at_random(config_of, tinybert, tmp_path, caplog):
    (tmp_path / "config.json").write_bytes((tinybert / "config.json").read_bytes())
    config = config_of()
    config.dataset.bert_name = str(tmp_path)
    build_model(config)
    assert "start from random weights" in caplog.text


def test_damaged_bert_folders(config_of, tinybert, tmp_path):
    (tmp_path / "config.json").write_bytes((tinybert / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x10\x00\x00\x00")
    config = config_of()
    config.dataset.bert_name = str(tmp_path)
    with pytest.raises(DataError, match=r"no usable weights model\.safetensors"):
        build_model(config)
    with pytest.raises(DataError, match=r"holds no tokenizer.json or vocab.txt"):
        load_tokenizer(str(tmp_path))
