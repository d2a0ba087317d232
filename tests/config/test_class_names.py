"""The names that a job file may hold are those of the registries."""

import pytest

from mmpt.config import ConfigError, load_config
from mmpt.config.check import check_available
from mmpt.config.class_names import (
    CLASS_NAMES,
    METRICS_OF,
    MODELS_OF,
    NOT_YET,
    ONE_ENCODER,
    known_names,
)
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.config.trainer_problems import LOSS_PARTS


def registries():
    from mmpt.evaluators.metric import METRICS
    from mmpt.evaluators.predictor import PREDICTORS
    from mmpt.losses import LOSSES
    from mmpt.models import MM_ENCODERS, MODELS, TEXT_ENCODERS, VIDEO_ENCODERS
    from mmpt.modules.retri import RETRIEVERS
    from mmpt.modules.vectorpool import VECTOR_POOLS
    from mmpt.processors import ROLES
    from mmpt.tasks import TASKS

    return {
        "task": TASKS,
        "vectorpool_cls": VECTOR_POOLS,
        "retriever_cls": RETRIEVERS,
        **{f"dataset.{role}": known for role, known in ROLES.items()},
        "model.model_cls": MODELS,
        "model.mm_encoder_cls": MM_ENCODERS,
        "model.video_encoder_cls": VIDEO_ENCODERS,
        "model.text_encoder_cls": TEXT_ENCODERS,
        "loss.loss_cls": LOSSES,
        "predictor": PREDICTORS,
        "metric": METRICS,
    }


@pytest.mark.parametrize("key", CLASS_NAMES)
def test_every_name_is_in_its_registry_and_the_other_way_round(key):
    assert set(CLASS_NAMES[key]) == set(registries()[key])
    assert list(CLASS_NAMES[key]) == sorted(CLASS_NAMES[key])


def test_a_name_is_here_or_not_yet():
    assert set(CLASS_NAMES) == set(registries())
    for key, names in NOT_YET.items():
        assert not set(names) & set(CLASS_NAMES.get(key, ()))
        assert key in CLASS_NAMES


def test_what_is_said_of_a_class_is_of_one_that_there_is():
    from mmpt.models import MODELS

    assert {name: model.one_encoder for name, model in MODELS.items()} == ONE_ENCODER
    assert set(METRICS_OF) == set(known_names("predictor"))
    measured = {name for names in METRICS_OF.values() for name in names}
    assert set(known_names("metric")) - measured == {"ActionRecognitionMetric"}
    assert set(MODELS_OF) <= set(known_names("predictor"))
    assert {name for names in MODELS_OF.values() for name in names} <= set(MODELS)
    assert set(LOSS_PARTS) == set(CLASS_NAMES["loss.loss_cls"])


@pytest.mark.parametrize("key", CLASS_NAMES)
def test_a_typo_is_found_when_the_file_is_read(job, key):
    *section, leaf = key.split(".")
    typo = f"{known_names(key)[0]}s"
    content = f"{leaf}: {typo}"
    content = f"{section[0]}: {{{content}}}" if section else content
    with pytest.raises(
        ConfigError, match=rf"job.yaml: {key}: unknown name '{typo}' \(did you mean"
    ):
        load_config(config_file=job(content))


def test_published_names_can_be_read_and_not_run(job):
    config = load_config(config_file=job("metric: NLGMetric"))
    with pytest.raises(ConfigError, match=r"^job.yaml: metric: NLGMetric is not available"):
        check_available(config, "job.yaml")


def test_every_name_of_the_job_files_is_known():
    for file in (REPOSITORY_ROOT / "projects").rglob("*.yaml"):
        load_config(config_file=file)
