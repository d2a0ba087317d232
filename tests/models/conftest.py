"""Tiny fusion models with the golden weights."""

import copy
import functools

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmpt.models import build_model


def model_config(bert_name, **model):
    """The job config of the golden forwards: 8 seconds, 24 tokens, 2 video layers."""
    return OmegaConf.create(
        {
            "dataset": {"bert_name": str(bert_name), "max_video_len": 8, "max_len": 24},
            "model": {
                "model_cls": "MMFusionSeparate",
                "mm_encoder_cls": None,
                "video_encoder_cls": "MMBertForEncoder",
                "text_encoder_cls": "BertModel",
                "num_hidden_video_layers": 2,
                **model,
            },
        }
    )


def written_rule(model, seed):
    """The weights that the stored forwards were made with, drawn in state_dict order."""
    rng = np.random.RandomState(seed)
    state = {}
    for name, value in model.state_dict().items():
        draw = rng.randn(*value.shape)
        if name.endswith("LayerNorm.weight"):
            draw = 1 + 0.2 * draw
        elif name.endswith("bias"):
            draw = 0.1 * draw
        elif name.endswith("videomlp.linear1.weight"):
            draw = 0.05 * draw
        else:
            draw = 0.15 * draw
        state[name] = torch.from_numpy(draw.astype(np.float32))
    return state


ONE_ENCODER = {
    "MMFusionShare": "MMBertForEncoder",
    "MMFusionShareActionLocalization": "MMBertForEncoder",
    "MMFusionJoint": "MMBertForJoint",
    "MMFusionActionLocalization": "MMBertForJoint",
    "MMFusionActionSegmentation": "MMBertForTokenClassification",
    "MMFusionMFMMLM": "MMBertForMFMMLM",
    "MMFusionMTM": "MMBertForMTM",
    "MMFusionNLG": "MMBertForNLG",
}
TWO_ENCODERS = {
    "MMFusionSeparate": "MMBertForEncoder",
    "MMFusionSeparateActionSegmentation": "MMBertForTokenClassification",
    "MMFusionSeparateFullVideoBGRetrieval": "MMBertForEncoder",
    "MMFusionSeparateActionLocalization": "MMBertForEncoder",
}
WRAPPERS = [*ONE_ENCODER, *TWO_ENCODERS]
OTHER_SEEDS = dict.fromkeys(ONE_ENCODER, 120) | {
    "MMFusionShareActionLocalization": 100,
    "MMFusionActionLocalization": 100,
    "MMFusionSeparateActionSegmentation": 110,
}
"""Seeds of the stored forwards' weights where they are not 100."""


def wrapper_config(bert_name, name, iso=None, **model):
    """`model_config` for any wrapper, with the encoder that it goes with."""
    if name in ONE_ENCODER:
        encoders = {"mm_encoder_cls": ONE_ENCODER[name]}
        encoders |= {"video_encoder_cls": None, "text_encoder_cls": None}
    else:
        encoders = {"video_encoder_cls": TWO_ENCODERS[name]}
    config = model_config(bert_name, **{"model_cls": name, **encoders, **model})
    config.dataset.num_iso_layer = iso
    return config


@pytest.fixture(scope="session")
def wrapper(tinybert):
    """`wrapper(name, iso=None, **model settings)`: a wrapper with the stored forwards' weights."""

    @functools.cache
    def build(name, iso, settings):
        built = build_model(wrapper_config(tinybert, name, iso, **dict(settings))).eval()
        built.load_state_dict(written_rule(built, OTHER_SEEDS.get(name, 100)))
        return built

    def copy_of(name, iso=None, **model):
        return copy.deepcopy(build(name, iso, tuple(model.items())))

    return copy_of


@pytest.fixture(scope="session")
def others(golden):
    """The stored forwards of the wrappers that share one set of inputs."""
    arrays = golden("models_data/forward_others.npz")
    return {name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()}


@pytest.fixture
def config_of(tinybert):
    return lambda **model: model_config(tinybert, **model)


@pytest.fixture
def fresh(config_of):
    return build_model(config_of()).eval()


@pytest.fixture
def model(fresh):
    fresh.load_state_dict(written_rule(fresh, seed=100))
    return fresh


@pytest.fixture
def stored(golden):
    arrays = golden("models_data/forward_separate.npz")
    return {name: torch.from_numpy(np.asarray(value)) for name, value in arrays.items()}


@pytest.fixture
def inputs(stored):
    return {name: stored[f"in_{name}"] for name in ("caps", "cmasks", "vfeats", "vmasks")}
