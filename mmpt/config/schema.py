"""Every key of a job file: section, type, default, unit, meaning, allowed values.

Read it as the reference of the YAML files: one dataclass a section, one line a key.  `None` as a
default means "not set".  The trainer's own arguments are listed in `schema_fairseq.py`.  An int
where a float is meant is fine; null is the same as an absent key.
"""

# ruff: noqa: RUF009  (`key` is dataclasses.field with metadata: nothing is shared)

from dataclasses import dataclass

from mmpt.config.jobtypes import JOB_TYPES
from mmpt.config.keys import key
from mmpt.config.schema_dataset import DatasetSection


@dataclass(frozen=True)
class ModelSection:
    """`model`: which encoders, how deep, and what of them trains."""

    model_cls: str | None = key("class that wraps the encoders, for instance MMFusionSeparate")
    mm_encoder_cls: str | None = key("joint models: the one encoder of both modalities")
    video_encoder_cls: str | None = key("encoder of the video side")
    text_encoder_cls: str | None = key("encoder of the text side")
    num_hidden_video_layers: int | None = key("layers of the video encoder", low=1, unit="layers")
    use_seg_emb: bool | None = key("own an (unused) table of segment embeddings", False)
    layernorm_only: bool | None = key("only the LayerNorms train", False)
    max_decode_length: int | None = key("captioning: longest text", low=1, unit="text tokens")
    checkpoint_activations: bool | None = key("recompute layers backward to save memory", False)
    compile: bool | None = key("run the encoders through torch.compile", False)


@dataclass(frozen=True)
class SequenceContrastSection:
    """`loss.sequence_contrast`: the video-paragraph part of Norton's loss."""

    sequence_contrast_weight: float | None = key("weight of this part; not set: it is off", low=0)
    threshold: int | None = key("clips of a sequence", 8, low=1, unit="clips")
    prompt_ratio: float | None = key(
        "quantile of the paired similarities that fills the prompt bucket; not set: no bucket",
        low=0,
        high=1,
    )
    scale: float | None = key("entropic regulariser of the transport", 0.1, above=0)
    learn_temperature: bool | None = key("the temperature is a trained parameter", False)
    exclude_padding: bool | None = key("masked words and frames add nothing", False)
    coarse_only: bool | None = key("pooled vectors alone are compared, no words and frames", False)


@dataclass(frozen=True)
class LossSection:
    """`loss`: which loss, and Norton's settings."""

    loss_cls: str | None = key("class of the loss, for instance MMContraLoss")
    sequence_contrast: SequenceContrastSection | None = key("the video-paragraph part")
    sinkhorn_iterations: int | None = key(
        "Sinkhorn iterations; not set: one-hot clip-caption targets", low=1
    )
    beta: float | None = key("share of transport in the targets", 0.3, low=0, high=1)
    alpha_lse: float | None = key("temperature of the soft maximum over tokens", 1.0, above=0)
    fusion_weight: float | None = key("weight of the coarse similarity", 0.5, low=0)
    gather_negatives: bool | None = key("clips and captions of all processes are contrasted", False)
    implementation: str | None = key(
        "how the heavy steps are computed",
        "auto",
        choices=("auto", "reference", "chunked", "triton"),
    )


@dataclass(frozen=True)
class EvalSection:
    """`eval`: where results go."""

    save_path: str | None = key(
        "folder of predictions and results, searched for checkpoints", unit="path"
    )


@dataclass(frozen=True)
class JobFile:
    """A job file: one training or evaluation job, all of it."""

    includes: str | None = key("a base file that this one is merged over", unit="path")
    dataset: DatasetSection | None = key("what data, read and cut how")
    model: ModelSection | None = key("which encoders")
    loss: LossSection | None = key("which loss")
    fairseq: dict | None = key("groups of the trainer's arguments")
    eval: EvalSection | None = key("where results go")

    task_type: str | None = key("default job type", choices=tuple(JOB_TYPES))
    slurm_config: str | None = key("name of a cluster profile; local jobs ignore it")
    restore_optional: bool | None = key("a missing restore file is no error", False)
    non_finite_limit: int | None = key(
        "so many NaN or infinite losses in a row end the run", 5, low=1
    )
    picture_interval: int | None = key(
        "updates between pictures of the transport in TensorBoard; 0: none", 0, low=0
    )

    task: str | None = key("class of the task, for instance VideoRetriTask")
    retri_epoch: int | None = key("first epoch with retrieved batches", low=0, unit="epochs")
    vectorpool_cls: str | None = key("class that encodes the training videos")
    retriever_cls: str | None = key("class that searches for neighbours")
    centroids: int | None = key("cells of the index", low=1, unit="cells")
    examples_per_cent_to_train: int | None = key(
        "vectors a cell that train the index", low=1, unit="vectors"
    )
    db_type: str | None = key(
        "how vectors are indexed: cells of whole ones, by Euclidean distance or inner product, or "
        "of compressed ones",
        "flatl2",
        choices=("flatl2", "innerproduct", "pq"),
    )
    num_cands: int | None = key("nearest neighbours that a batch is drawn from", low=1)
    nprobe: int | None = key("cells searched; not set: enough to find num_cands", low=1)
    keep_anchor: bool | None = key("a batch always holds the video it was drawn for", True)

    metric: str | None = key("class of the metric of an evaluation job")
    predictor: str | None = key("class of the predictor of an evaluation job")
    gen_param: dict | None = key("captioning: settings of the text generator")


@dataclass(frozen=True)
class PipelineFile:
    """A pipeline file: derives job files from those of another project, and runs them."""

    includes: str | None = key("a base file that this one is merged over", unit="path")
    base_dir: str | None = key("folder below projects/ whose job files are the bases")
    project_dir: str | None = key("folder below projects/ that the derived files go to")
    task_group: dict | None = key("groups: a task_list of files, and the keys merged over them")
    run_task: list | None = key("files to run in order; a nested list is one stage")


OBSOLETE: dict[str, str] = {
    "dataset.fps": "a feature is one second of video",
    "eval.valid_path": "the validation split is dataset.val_path",
}
"""Keys of older files that have no effect: each is a warning with the reason, not an error."""
