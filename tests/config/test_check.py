"""Every kind of mistake in a job file: one line with the file, the key, what was got, allowed."""

import dataclasses
import logging

import pytest
from omegaconf import OmegaConf

from mmpt.config import ConfigError, check_config, load_config
from mmpt.config.check import check_complete
from mmpt.config.class_names import CLASS_NAMES
from mmpt.config.jobtypes import JOB_TYPES
from mmpt.config.keys import Bounds, keys_of, kind_of, type_problem
from mmpt.config.load import REPOSITORY_ROOT
from mmpt.config.schema import JobFile, PipelineFile
from mmpt.config.schema_fairseq import (
    ARGUMENTS,
    BOUNDS,
    EVALUATION_ONLY,
    LAUNCHERS,
    PACKAGES,
    RENAMED,
    WITHOUT_EFFECT,
)
from mmpt.config.schema_optimizers import OWN_ARGUMENTS

MISTAKES = [
    # unknown keys, with the nearest known one
    ("dataset: {max_ln: 48}", ["unknown key dataset.max_ln", "did you mean max_len?"]),
    ("datset: {max_len: 48}", ["unknown key datset", "did you mean dataset?"]),
    ("loss: {threshold: 8}", ["loss.threshold", "did you mean loss.sequence_contrast.threshold?"]),
    (
        "model: {qqq: 1}",
        ["unknown key model.qqq", "known keys of model: model_cls, mm_encoder_cls"],
    ),
    ("qqq: 1", ["unknown key qqq", "known keys at the top level: includes, dataset"]),
    ("5: 1", ["unknown key 5"]),
    ("just words", ["unknown key just words"]),
    (
        "loss: {sequence_contrast: {scal: 0.1}}",
        ["unknown key loss.sequence_contrast.scal", "did you mean scale?"],
    ),
    # the trainer's arguments
    ("fairseq: {comon: {seed: 1}}", ["unknown group fairseq.comon", "did you mean common?"]),
    ("fairseq: {lr: [0.1]}", ["fairseq.lr must stand in a group", "optimization"]),
    ("fairseq: {common: {sed: 1}}", ["unknown key fairseq.common.sed", "did you mean seed?"]),
    ("fairseq: {dataset: {max_sentences: 1}}", ["did you mean batch_size?"]),
    ("fairseq: {common: {qqq: 1}}", ["fairseq.common.qqq", "an argument of fairseq"]),
    ("fairseq: {common: 3}", ["fairseq.common must be a section of keys, got 3"]),
    ("fairseq: {common: {fp16: 1}}", ["fairseq.common.fp16 must be true or false, got 1"]),
    ("fairseq: {common: {seed: 1.5}}", ["fairseq.common.seed must be an integer, got 1.5"]),
    ("fairseq: {dataset: {batch_size: 0}}", ["fairseq.dataset.batch_size", "at least 1, got 0"]),
    ("fairseq: {dataset: {num_workers: -1}}", ["num_workers must be at least 0, got -1"]),
    ("fairseq: {optimization: {lr: [0]}}", ["fairseq.optimization.lr must be above 0, got 0"]),
    ("fairseq: {optimization: {lr: []}}", ["lr must hold at least one number, got []"]),
    ("fairseq: {optimization: {lr: [fast]}}", ["lr must be a number or a list of numbers"]),
    (
        "fairseq: {optimization: {ddp_backend: noc10d}}",
        ["ddp_backend must be one of c10d", "did you mean no_c10d?", "got 'noc10d'"],
    ),
    (
        "fairseq: {optimization: {optimizer: adm}}",
        ["optimizer must be one of adadelta", "did you mean adam?", "got 'adm'"],
    ),
    (
        "fairseq: {optimization: {lr_scheduler: polynomial}}",
        ["lr_scheduler must be one of cosine", "did you mean polynomial_decay?"],
    ),
    (
        "fairseq: {common: {fp16: true, bf16: true, amp: true}}",
        ["fairseq: fp16 and bf16 and amp are true; one kind"],
    ),
    (
        "{loss: {loss_cls: T2VContraLoss}, "
        "fairseq: {checkpoint: {best_checkpoint_metric: loss_v2t}}}",
        ["best_checkpoint_metric must be one of", "logs: loss", "got 'loss_v2t'"],
    ),
    (
        "{loss: {loss_cls: MMContraLoss}, fairseq: {checkpoint: {best_checkpoint_metric: r1}}}",
        ["logs: loss, loss_v2t, loss_t2v,", "got 'r1'"],
    ),
    (
        "fairseq: {optimization: {lr: 0.1}, common: {lr: 0.1}}",
        ["fairseq.common.lr is set twice, also as fairseq.optimization.lr"],
    ),
    (
        "fairseq: {optimization: {adam_betas: [0.9, 0.98]}}",
        ["fairseq.optimization.adam_betas must be a text, got [0.9, 0.98]"],
    ),
    ("fairseq: {optimization: {adam_betas: (0.9)}}", ["adam_betas", "pair", "got '(0.9)'"]),
    ("fairseq: {optimization: {adam_betas: '(0.9, 1.5)'}}", ["adam_betas", "in [0, 1)"]),
    ("fairseq: {optimization: {adam_betas: high}}", ["adam_betas", "got 'high'"]),
    # wrong types and values
    ("dataset: {max_len: long}", ["dataset.max_len must be an integer, got 'long'"]),
    ("dataset: {max_len: 48.0}", ["dataset.max_len must be an integer, got 48.0"]),
    ("dataset: {max_len: true}", ["dataset.max_len must be an integer, got True"]),
    ("dataset: {keep_prob: true}", ["dataset.keep_prob must be a number, got True"]),
    ("dataset: {bert_name: 5}", ["dataset.bert_name must be a text, got 5"]),
    ("dataset: 5", ["dataset must be a section of keys, got 5"]),
    ("fairseq: 5", ["fairseq must be a mapping, got 5"]),
    ("model: {layernorm_only: 'yes'}", ["model.layernorm_only must be true or false, got 'yes'"]),
    ("dataset: {max_video_len: 0}", ["dataset.max_video_len must be at least 1, got 0"]),
    ("dataset: {num_video_per_batch: -4}", ["num_video_per_batch must be at least 1, got -4"]),
    ("dataset: {mm_prob: 1.5}", ["dataset.mm_prob must be at least 0 and at most 1, got 1.5"]),
    ("dataset: {split: val}", ["dataset.split must be one of train, valid, test", "'val'"]),
    ("dataset: {mm_type: half}", ["dataset.mm_type must be one of full, textgen"]),
    ("dataset: {tfeat_dir: data/feat/x}", ["dataset.tfeat_dir", "end in a dot"]),
    ("loss: {beta: 1.2}", ["loss.beta must be at least 0 and at most 1, got 1.2"]),
    ("loss: {beta: .nan}", ["loss.beta must be", "got nan"]),
    ("loss: {alpha_lse: 0}", ["loss.alpha_lse must be above 0, got 0"]),
    ("loss: {fusion_weight: .inf}", ["loss.fusion_weight", "got inf"]),
    ("loss: {sinkhorn_iterations: 0}", ["loss.sinkhorn_iterations must be at least 1, got 0"]),
    ("loss: {implementation: cuda}", ["loss.implementation must be one of auto, reference"]),
    ("loss: {sequence_contrast: {prompt_ratio: 1.1}}", ["prompt_ratio", "got 1.1"]),
    ("loss: {sequence_contrast: {prompt_ratio: -0.1}}", ["prompt_ratio", "got -0.1"]),
    ("task_type: local_smal", ["task_type must be one of", "did you mean local_small?"]),
    ("task_type: sweep", ["task_type must be one of local_single", "got 'sweep'"]),
    ("dataset: {train_path: ' '}", ["dataset.train_path must be a text that is not empty"]),
    ("fairseq: {common: {seed: 4294967296}}", ["seed must be at most 2147483647"]),
    ("dataset: {num_iso_layer: -99999999999}", ["num_iso_layer must be at least -2147483647"]),
    # the trainer's arguments that cannot go together
    (
        "fairseq: {optimization: {optimizer: lamb, adam_betas: '(0, 0)', adam_eps: 1.0}}",
        [
            "fairseq.optimization.adam_betas and fairseq.optimization.adam_eps do not go with",
            "lamb",
        ],
    ),
    (
        "fairseq: {common: {lr_scheduler: fixed, power: 2}}",
        ["fairseq.common.power does not go with lr_scheduler fixed; set it to null"],
    ),
    ("fairseq: {common: {lr_scheduler: triangular}}", ["max_lr is not set; lr_scheduler"]),
    ("fairseq: {common: {optimizer: lamb, lamb_betas: '(1, 2)'}}", ["lamb_betas must be a text"]),
    ("fairseq: {common_eval: {model_overrides: '{x'}}", ["model_overrides must be a text that"]),
    # values that cannot go together
    (
        "dataset: {max_video_len: 16, max_len: 19}",
        ["dataset.max_len must be greater than max_video_len + 3 = 19", "got 19"],
    ),
    (
        "dataset: {sampled_min_len: 9, sampled_max_len: 8}",
        ["dataset.sampled_min_len must be at most sampled_max_len = 8, got 9"],
    ),
    (
        "dataset: {sampled_video_min_len: 9, sampled_video_max_len: 8}",
        ["sampled_video_min_len must be at most sampled_video_max_len = 8, got 9"],
    ),
    (
        "dataset: {sliding_window: 32, sliding_window_size: 16}",
        ["dataset.sliding_window must be at most sliding_window_size = 16, got 32"],
    ),
    (
        "dataset: {sliding_window_size: 64, max_video_len: 32}",
        ["dataset.sliding_window_size must be at most max_video_len = 32, got 64"],
    ),
    (
        "{dataset: {clip_per_video: 12}, loss: {sequence_contrast: {sequence_contrast_weight: 1}}}",
        ["dataset.clip_per_video must be a multiple of", "threshold = 8, got 12"],
    ),
    (
        "{num_cands: 63, dataset: {num_video_per_batch: 64}}",
        ["num_cands must be at least dataset.num_video_per_batch = 64, got 63"],
    ),
    (
        "{dataset: {subsampling: 3}, fairseq: {dataset: {batch_size: 4}}}",
        ["fairseq.dataset.batch_size must be a multiple of dataset.subsampling = 3", "got 4"],
    ),
    ("dataset: {max_len: '${dataset.nothing}'}", ["dataset.max_len", "cannot be resolved"]),
    ("dataset: {bert_name: '???'}", ["cannot be resolved at dataset.bert_name"]),
    # pipelines have their own keys
    ("base_dir: a", ["project_dir is not set", "pipeline"]),
    (
        "{base_dir: a, dataset: {}}",
        ["unknown key dataset", "known keys at the top level: includes"],
    ),
    (
        "{base_dir: a, project_dir: a, task_group: {}, run_task: []}",
        ["project_dir must differ from base_dir", "'a'"],
    ),
    (
        "{base_dir: a, project_dir: b, task_group: {g: {task_list: x.yaml}}, run_task: []}",
        ["task_group.g.task_list must be a list of file names, got 'x.yaml'"],
    ),
    (
        "{base_dir: a, project_dir: b, task_group: {}, run_task: [x, [3]]}",
        ["run_task must hold file names", "got [3]"],
    ),
]


@pytest.mark.parametrize(("content", "expected"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_mistakes_are_one_clear_line(job, content, expected):
    with pytest.raises(ConfigError) as caught:
        load_config(config_file=job(content))
    message = str(caught.value)
    assert message.startswith("job.yaml: ")
    assert "\n" not in message
    for part in expected:
        assert part in message


FINE = [
    "loss: {alpha_lse: 1, beta: 0}",
    "fairseq: {optimization: {lr: 1, update_freq: [2, 4], ddp_backend: c10d}}",
    "{dataset: null, loss: {sequence_contrast: null}, fairseq: {common: null}}",
    "{dataset: {clip_per_video: 12}, loss: {sequence_contrast: {threshold: 8}}}",
    "dataset: {max_video_len: 16, max_len: 20}",
    "{dataset: {max_video_len: 16, max_len: '${.max_video_len}0'}, gen_param: {num_beams: 5}}",
    "{num_cands: 64, dataset: {num_video_per_batch: 64}}",
    "fairseq: {checkpoint: {keep_last_epochs: -1}, optimization: {adam_betas: '[0.9, 0.98]'}}",
    "{loss: {loss_cls: MMContraLoss}, fairseq: {checkpoint: {best_checkpoint_metric: loss_t2v}}}",
    "{loss: {loss_cls: CrossEntropy}, fairseq: {checkpoint: {best_checkpoint_metric: loss}}}",
    "fairseq: {common: {fp16: true, memory_efficient_fp16: true}}",
    "fairseq: {common: {optimizer: lamb, lamb_betas: '(0, 0.9)', lr_scheduler: cosine, t_mult: 2}}",
    "fairseq: {common: {adam_betas: '(0.9, 0.98)', total_num_update: 10, model_overrides: '{}'}}",
    "fairseq: {common: {finetune_from_model: a.pt, restore_file: checkpoint_last.pt}}",
    "fairseq: {common: {lr: [0.1, 0.2], end_learning_rate: 0.2, update_freq: 2, patience: -1}}",
    "{dataset: {vfeat_dir: a}, fairseq: {common: {save_dir: a/b, valid_subset: 'train,valid'}}}",
    "",
]


@pytest.mark.parametrize("content", [*FINE[:5], *FINE[6:]])
def test_what_is_allowed(job, content):
    load_config(config_file=job(content))


def test_a_reference_is_checked_by_its_value(job):
    with pytest.raises(ConfigError, match="max_len must be an integer, got '160'"):
        load_config(config_file=job(FINE[5]))
    content = "dataset: {max_video_len: 16, sampled_video_max_len: '${.max_video_len}'}"
    assert load_config(config_file=job(content)).dataset.sampled_video_max_len == 16


@pytest.mark.parametrize("make", [dict, OmegaConf.create])
def test_check_config_takes_plain_and_omegaconf_mappings(make):
    check_config(make({"dataset": {"max_len": 48}}))
    with pytest.raises(ConfigError, match=r"^here: dataset.max_len must be at least 1, got 0$"):
        check_config(make({"dataset": {"max_len": 0}}), source="here")


def test_a_loss_of_one_s_own_logs_what_it_likes(job, monkeypatch):
    content = "{loss: {loss_cls: MyLoss}, fairseq: {checkpoint: {best_checkpoint_metric: my_part}}}"
    with pytest.raises(ConfigError, match="unknown name 'MyLoss'"):
        load_config(config_file=job(content))
    names = (*CLASS_NAMES["loss.loss_cls"], "MyLoss")
    monkeypatch.setitem(CLASS_NAMES, "loss.loss_cls", names)
    load_config(config_file=job(content))


def test_a_metric_of_one_s_own_goes_with_any_predictor(job, monkeypatch):
    content = "{predictor: RetrievalPredictor, metric: MyMetric}"
    monkeypatch.setitem(CLASS_NAMES, "metric", (*CLASS_NAMES["metric"], "MyMetric"))
    load_config(config_file=job(content))


@pytest.mark.parametrize("name", ["vis_a.yaml", "test_a.yaml"])
def test_only_what_measures_needs_a_metric(name):
    model = {
        "model_cls": "MMFusionSeparate",
        "video_encoder_cls": "MMBertForEncoder",
        "text_encoder_cls": "BertModel",
    }
    config = {"dataset": {"split": "test"}, "model": model, "predictor": "RetrievalPredictor"}
    check_complete({**config, "metric": "RetrievalMetric"}, f"a/{name}", evaluated=True)
    if name.startswith("vis"):
        check_complete(config, f"a/{name}", evaluated=True)
        return
    with pytest.raises(ConfigError, match=r"^a/test_a.yaml: metric is not set"):
        check_complete(config, f"a/{name}", evaluated=True)


def test_every_published_file_is_complete():
    for file in (REPOSITORY_ROOT / "projects").rglob("*.yaml"):
        check_complete(load_config(config_file=file), str(file), file.name.startswith("test"))


@pytest.mark.parametrize("name", ["num_shards", "distributed_world_size"])
def test_arguments_without_effect_are_a_warning(job, caplog, name):
    with caplog.at_level(logging.WARNING):
        load_config(config_file=job(f"fairseq: {{distributed_training: {{{name}: 4}}}}"))
    (record,) = caplog.records
    assert f"fairseq.distributed_training.{name} has no effect (" in record.message


def test_obsolete_keys_are_a_warning(job, caplog):
    with caplog.at_level(logging.WARNING):
        load_config(config_file=job("dataset: {fps: 30}"))
    assert [r.message for r in caplog.records] == [
        "job.yaml: dataset.fps has no effect (a feature is one second of video)"
    ]


def test_every_known_key_is_described():
    sections = [JobFile, PipelineFile]
    while sections:
        section = sections.pop()
        for name, spec in keys_of(section).items():
            assert spec.metadata["meaning"], name
            kind = kind_of(spec)
            if dataclasses.is_dataclass(kind):
                sections.append(kind)
                continue
            assert kind in (int, float, bool, str, dict, list), name
            assert type_problem(spec.default, kind) is None, name
            assert spec.default is None or spec.metadata["bounds"].admits(spec.default), name


def test_bounds_say_what_they_allow():
    assert Bounds(above=0, high=1).describe() == "above 0 and at most 1"
    assert not Bounds(above=0).admits(0)
    assert not Bounds().admits(float("inf"))
    assert Bounds(low=1).admits(True)  # what is no number is not compared


def test_the_table_of_arguments_is_that_of_fairseq():
    """Names, kinds and choices against the parser of the installed trainer."""
    pytest.importorskip("fairseq")
    import argparse

    from fairseq import options
    from fairseq.registry import REGISTRIES

    parser = options.get_training_parser()
    actions = {action.dest: action for action in parser._actions}
    general = set(actions)
    for kind, table in OWN_ARGUMENTS.items():
        for name, own in table.items():
            extra = argparse.ArgumentParser(conflict_handler="resolve", add_help=False)
            cls = REGISTRIES[kind]["registry"][name]
            getattr(cls, "add_args", lambda parser: None)(extra)
            # some repeat `--lr`, which is there anyway
            assert {action.dest for action in extra._actions} - general == own, name
            for action in extra._actions:
                actions.setdefault(action.dest, action)
    for name, kind in ARGUMENTS.items():
        if name in EVALUATION_ONLY:
            continue
        assert name in actions, name
        takes_no_value = actions[name].nargs == 0
        assert takes_no_value == (kind is bool), name
        if actions[name].type in (int, float, str) and kind is not list:
            assert actions[name].type is kind, name
        if actions[name].choices and name in BOUNDS:
            dropped = {"composite", "pass_through"}  # they need settings that no argument holds
            assert set(BOUNDS[name].choices) == set(actions[name].choices) - dropped, name
    assert set(RENAMED.values()) <= set(ARGUMENTS)
    assert {name for name, _ in PACKAGES} | {*LAUNCHERS, *WITHOUT_EFFECT} <= set(ARGUMENTS)


def test_every_job_type_is_of_a_known_kind():
    assert {t.kind for t in JOB_TYPES.values()} == {"train", "torchrun", "predict", "slurm"}
    assert JOB_TYPES["local_small"].processes == 2
    assert JOB_TYPES["local_big"].processes == 8
