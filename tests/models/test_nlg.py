"""Captioning: what may be looked at, losses at the labels, greedy decoding."""

import pytest
import torch

from mmpt.errors import ConfigError
from mmpt.losses import LOSSES
from mmpt.models import build_model
from mmpt.models.fusion_nlg import generation_mask

from .conftest import wrapper_config
from .test_wrappers import close, pairs_of

VIDEO_POSITIONS = 10  # [CLS], 8 frames, [SEP]


def shifted(caps, cmasks):
    """At each place the next id; -100 at [CLS] and where the text ends."""
    label = torch.full_like(caps, -100)
    label[:, 1:-1] = torch.where(cmasks[:, 2:], caps[:, 2:], label[:, 2:])
    return label


def test_mask_by_loops(others):
    cmasks, vmasks = others["in_cmasks"], others["in_vmasks"]
    mask = generation_mask(cmasks, vmasks)
    for row in range(5):
        valid = [cmasks[row, 0], *vmasks[row], *cmasks[row, 1:]]
        for looks in range(24):
            for at in range(24):
                before = at < VIDEO_POSITIONS or at <= looks
                assert bool(mask[row, looks, at]) == (before and bool(valid[at]))


def test_a_word_depends_on_the_words_before_it_alone(wrapper, others):
    model, inputs = wrapper("MMFusionNLG"), pairs_of(others)
    wanted = model(**inputs)["logits"]
    assert wanted.shape == (5, 16, 183)
    caps = inputs["caps"].clone()
    caps[0, 8] = 99
    found = model(**{**inputs, "caps": caps})["logits"]
    close(found[0, :8], wanted[0, :8])
    assert not torch.allclose(found[0, 8:], wanted[0, 8:], atol=1e-2)
    frames = {**inputs, "vfeats": inputs["vfeats"] + 0.5}
    assert not torch.allclose(model(**frames)["logits"][0, 1], wanted[0, 1], atol=1e-2)


def test_loss_at_the_labels(wrapper, others):
    model, inputs = wrapper("MMFusionNLG"), pairs_of(others)
    label = shifted(inputs["caps"], inputs["cmasks"])
    outputs = model(**inputs, text_label=label)
    close(outputs["logits"], model(**inputs)["logits"][label != -100])
    loss = LOSSES["NLGLoss"]()(**outputs, text_label=label)
    every = model(**inputs)["logits"].reshape(-1, 183)
    wanted = torch.nn.functional.cross_entropy(every, label.reshape(-1), ignore_index=-100)
    close(loss, wanted)
    # an explicit mask replaces the default one
    square = generation_mask(inputs["cmasks"], inputs["vmasks"])
    close(model(**inputs, attention_mask=square)["logits"], model(**inputs)["logits"])
    open_mask = torch.ones_like(square)
    assert not torch.allclose(
        model(**inputs, attention_mask=open_mask)["logits"], model(**inputs)["logits"], atol=1e-2
    )


def test_greedy_words_are_the_most_likely_under_the_forward_pass(wrapper, others):
    model, inputs = wrapper("MMFusionNLG"), pairs_of(others)
    texts = model.generate(inputs["vfeats"], inputs["vmasks"], max_length=4)
    assert len(texts) == 5 and max(map(len, texts)) > 0
    for row, words in enumerate(texts):
        caps = torch.tensor([[2, 3, *words]])
        logits = model(
            caps, torch.ones_like(caps), inputs["vfeats"][row][None], inputs["vmasks"][row][None]
        )["logits"]
        likeliest = logits[0, 1:].argmax(dim=1).tolist()
        assert likeliest[: len(words)] == words
        assert len(words) == 4 or likeliest[len(words)] == 3  # [SEP] ended it
    assert all(len(words) <= 13 for words in model.generate(inputs["vfeats"]))


def test_training_learns_a_caption(tinybert, others):
    """A few steps are enough to read a caption off its clip."""
    torch.manual_seed(0)
    model, inputs = build_model(wrapper_config(tinybert, "MMFusionNLG")), pairs_of(others)
    label = shifted(inputs["caps"], inputs["cmasks"])
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    model.eval()
    for _ in range(45):
        optimizer.zero_grad()
        loss = LOSSES["NLGLoss"]()(**model(**inputs, text_label=label), text_label=label)
        loss.backward()
        optimizer.step()
    texts = model.generate(inputs["vfeats"], inputs["vmasks"])
    wanted = [
        row[2 : int(n) - 1].tolist()
        for row, n in zip(inputs["caps"], inputs["cmasks"].sum(1), strict=True)
    ]
    assert texts == wanted


def test_settings(tinybert):
    config = wrapper_config(tinybert, "MMFusionNLG", max_decode_length=3)
    config.gen_param = {"num_beams": 1}
    model = build_model(config)
    assert model.max_length == 3
    assert all(len(words) <= 3 for words in model.generate(torch.randn(2, 8, 512)))
    config.gen_param = {"num_beams": 5}
    with pytest.raises(ConfigError, match=r"gen_param: got \{'num_beams': 5\}, only greedy"):
        build_model(config)
