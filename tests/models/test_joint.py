"""One sequence of frames and words: masks of each layer, isolation, halves, masked modelling."""

import pytest
import torch

from mmpt.errors import DataError
from mmpt.models.fusion_joint import isolating_mask, joint_mask, token_types
from mmpt.models.transformermodel import MultiLayerAttentionMaskBertEncoder

from .test_wrappers import close, one_item, pairs_of, sample_of


def training_without_dropout(model):
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def other_words(inputs):
    caps = inputs["caps"].clone()
    caps[:, 2:] = torch.where(caps[:, 2:] > 4, caps[:, 2:].flip(0), caps[:, 2:])
    caps[0, 3] = 99
    return {**inputs, "caps": caps}


def test_masks_by_loops():
    generator = torch.Generator().manual_seed(0)
    cmasks = torch.rand(3, 6, generator=generator) < 0.7
    cmasks[:, 0], cmasks[0, 0] = True, False
    vmasks = torch.rand(3, 4, generator=generator) < 0.7
    iso, seen, types = isolating_mask(cmasks, vmasks), joint_mask(cmasks, vmasks), []
    # kinds of the 10 positions: [CLS], 4 frames and their [SEP], 5 - 1 words and their [SEP]
    kinds = ["cls", *["video"] * 5, *["text"] * 4]
    for row in range(3):
        valid = [cmasks[row, 0], *vmasks[row], *cmasks[row, 1:]]
        assert seen[row].tolist() == [bool(v) for v in valid]
        for looks in range(10):
            for at in range(10):
                wanted = kinds[looks] == kinds[at] and (at == 0 or bool(valid[at]))
                assert bool(iso[row, looks, at]) == wanted, (row, looks, at)
        types.append([int(kind == "text") for kind in kinds])
    assert token_types(cmasks, vmasks).tolist() == types


def test_attention_of_every_layer(wrapper, others):
    cmasks, vmasks = others["in_cmasks"], others["in_vmasks"]
    masks = wrapper("MMFusionJoint", iso=3).attention(cmasks, vmasks)
    assert masks.shape == (5, 4, 24, 24)
    for layer in range(4):
        seen = joint_mask(cmasks, vmasks)[:, None, :].expand(-1, 24, -1)
        wanted = isolating_mask(cmasks, vmasks) if layer < 3 else seen
        assert torch.equal(masks[:, layer], wanted)
    assert wrapper("MMFusionJoint").attention(cmasks, vmasks).shape == (5, 24)


def test_encoder_gives_every_layer_its_own_mask(wrapper):
    bert = wrapper("MMFusionJoint").mm_encoder.bert
    assert type(bert.encoder) is MultiLayerAttentionMaskBertEncoder
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(2, 7, 32, generator=generator)
    masks = torch.rand(2, 4, 7, 7, generator=generator) < 0.6
    masks |= torch.eye(7, dtype=torch.bool)
    wanted = [states]
    for i, layer in enumerate(bert.encoder.layer):
        wanted.append(layer(wanted[-1], masks[:, i : i + 1]))
    close(bert.encoder(states, masks).last_hidden_state, wanted[4])
    close(bert.encoder(states, masks, layers=2).last_hidden_state, wanted[2])
    shared = bert.encoder(states, masks[:, :1]).last_hidden_state
    close(shared, bert.encoder(states, masks[:, :1].expand(-1, 4, -1, -1)).last_hidden_state)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_ranks_of_masks_and_kinds_of_attention(wrapper, others, attention):
    """The same mask as [B, P], [B, P, P] and [B, layers, P, P] gives the same states."""
    model, inputs = wrapper("MMFusionJoint"), pairs_of(others)
    flat = model.sequence_inputs(**inputs)
    wanted = model.mm_encoder(**flat).last_hidden_state
    model.mm_encoder.bert.set_attn_implementation(attention)
    square = flat["attention_mask"][:, None, :].expand(-1, 24, -1)
    for mask in (flat["attention_mask"], square, square[:, None].expand(-1, 4, -1, -1)):
        found = model.mm_encoder(**{**flat, "attention_mask": mask}).last_hidden_state
        close(found, wanted)


@pytest.mark.parametrize("name", ["MMFusionJoint", "MMFusionMFMMLM"])
def test_a_mask_that_the_batch_brings(wrapper, others, name):
    """One mask for every layer, rows that look: here as isolated layers have it."""
    inputs = pairs_of(others)
    iso = isolating_mask(inputs["cmasks"], inputs["vmasks"])
    given = wrapper(name)(**inputs, attention_mask=iso)
    wanted = wrapper(name, iso=4)(**inputs)
    close(given["pooled_video"], wanted["pooled_video"])
    close(given["pooled_text"], wanted["pooled_text"])


def test_a_mask_that_windows_bring(wrapper, others):
    name, pairs = "MMFusionActionSegmentation", pairs_of(others)
    windows = one_item(pairs)
    wanted = wrapper(name)(**windows)["logits"]
    seen = joint_mask(pairs["cmasks"], pairs["vmasks"])
    square = seen[:, None, :].expand(-1, 24, -1)
    for mask in (seen, square, square[:, None].expand(-1, 4, -1, -1)):
        close(wrapper(name)(**windows, attention_mask=mask[None])["logits"], wanted)
        close(wrapper(name)(**pairs, attention_mask=mask)["logits"], wanted)
    iso = isolating_mask(pairs["cmasks"], pairs["vmasks"])
    found = wrapper(name)(**windows, attention_mask=iso[None].int())["logits"]
    close(found, wrapper(name, iso=4)(**windows)["logits"])
    assert (found - wanted).abs().max() > 1e-3


def test_hidden_states_of_the_halves_are_joined(wrapper, others):
    model = wrapper("MMFusionJoint")
    inputs = model.sequence_inputs(**pairs_of(others))
    apart = model.mm_encoder(**inputs, split=10, output_hidden_states=True)
    assert len(apart.hidden_states) == 5
    assert all(states.shape == (5, 24, 32) for states in apart.hidden_states)
    assert torch.equal(apart.hidden_states[-1], apart.last_hidden_state)


@pytest.mark.parametrize("iso", [None, 2, 4])
def test_modalities_meet_in_training_and_are_apart_in_evaluation(wrapper, others, iso):
    model, inputs = wrapper("MMFusionJoint", iso=iso), pairs_of(others)
    apart, changed = model(**inputs), model(**other_words(inputs))
    assert torch.equal(apart["pooled_video"], changed["pooled_video"])
    assert not torch.allclose(apart["pooled_text"], changed["pooled_text"], atol=1e-3)

    training_without_dropout(model)
    together, changed = model(**inputs), model(**other_words(inputs))
    if iso:  # what is pooled is the last hidden state of the isolated layers
        close(together["pooled_video"], apart["pooled_video"])
        close(together["pooled_text"], apart["pooled_text"])
        close(changed["pooled_video"], together["pooled_video"])
    else:
        assert not torch.allclose(together["pooled_video"], apart["pooled_video"], atol=1e-3)
        assert not torch.allclose(changed["pooled_video"], together["pooled_video"], atol=1e-3)


@pytest.mark.parametrize("iso", [None, 2])
def test_each_modality_alone(wrapper, others, iso):
    model, inputs = wrapper("MMFusionJoint", iso=iso), pairs_of(others)
    whole = model(**inputs)
    video = model.encode_video(inputs["vfeats"], inputs["vmasks"])
    text = model.encode_text(inputs["caps"], inputs["cmasks"])
    for side, alone in (("video", video), ("text", text)):
        close(alone.pooled, whole[f"pooled_{side}"])
        assert torch.equal(alone.mask, whole[f"{side}_mask_outputs"])
        close(alone.states[alone.mask], whole[f"{side}_outputs"][alone.mask])
    assert model.encode_video(inputs["vfeats"]).mask[:, 1:].all()


@pytest.mark.parametrize("iso", [None, 2])
@pytest.mark.parametrize("name", ["MMFusionMFMMLM", "MMFusionMTM"])
def test_masked_models_pool_where_there_are_no_labels(wrapper, others, name, iso):
    """The published form crashed here; MMFusionJoint with the same encoder says what it gives."""
    masked, inputs = wrapper(name, iso=iso), pairs_of(others)
    joint = training_without_dropout(wrapper("MMFusionJoint", iso=iso))
    joint.mm_encoder.load_state_dict(masked.mm_encoder.state_dict(), strict=False)
    found, wanted = masked(**inputs), joint(**inputs)
    assert found.keys() == wanted.keys()
    for key in ("pooled_video", "pooled_text"):
        close(found[key], wanted[key])


def test_masked_frames_are_not_seen(wrapper, others):
    model, sample = wrapper("MMFusionMFMMLM"), sample_of("MMFusionMFMMLM", others)
    wanted = model(**sample)
    label = sample["video_label"]
    vfeats = sample["vfeats"].clone()
    vfeats[label] += 1.0
    found = model(**{**sample, "vfeats": vfeats})
    # only the true frame's own column changes
    assert not torch.allclose(found["video_logits"][:, 0], wanted["video_logits"][:, 0], atol=1e-3)
    close(found["video_logits"][:, 1:], wanted["video_logits"][:, 1:])
    close(found["text_logits"], wanted["text_logits"])


def test_nothing_masked_and_one_label_alone(wrapper, others):
    model, sample = wrapper("MMFusionMTM"), sample_of("MMFusionMTM", others)
    none = torch.zeros_like(sample["video_label"])
    outputs = model(**{**sample, "video_label": none})
    assert outputs["video_logits"].shape == (0, 1 + 18 + 183)
    assert outputs["text_logits"].shape == (4, 183 + 18)
    with pytest.raises(DataError, match="video_label and text_label: one is given alone"):
        model(**{**sample, "text_label": None})
