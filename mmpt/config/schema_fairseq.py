"""The trainer's arguments that a job file may hold, with their types.

Source: the argument parser of fairseq 0.12 (`fairseq.dataclass.configs`, its optimizers and
learning-rate schedules: which argument is whose is in `schema_optimizers.py`).  A leaf of `fairseq`
is an argument with `_` for `-`; the group it stands in is for the reader, since published files put
`ddp_backend` under `optimization`.
"""

from mmpt.config.keys import Bounds
from mmpt.config.schema_optimizers import OWN_ARGUMENTS

GROUPS = (
    "common",
    "dataset",
    "optimization",
    "checkpoint",
    "distributed_training",
    "common_eval",
    "ema",
)

_BY_TYPE: dict[type, str] = {
    bool: """
        no_progress_bar cpu bf16 memory_efficient_bf16 fp16 memory_efficient_fp16
        fp16_no_flatten_grads on_cpu_convert_precision amp profile reset_logging suppress_crashes
        skip_invalid_size_inputs_valid_test combine_valid_subsets ignore_unused_valid_subsets
        disable_validation grouped_shuffling update_ordered_indices_seed
        sentence_avg skip_remainder_batch debug_param_names use_old_adam fp16_adam_stats
        reset_dataloader reset_lr_scheduler reset_meters reset_optimizer no_save
        no_epoch_checkpoints no_last_checkpoints no_save_optimizer_state
        maximize_best_checkpoint_metric load_checkpoint_on_all_dp_ranks
        write_checkpoints_asynchronously distributed_no_spawn fix_batches_to_gpus
        find_unused_parameters gradient_as_bucket_view fast_stat_sync broadcast_buffers
        no_reshard_after_forward fp32_reduce_scatter cpu_offload use_sharded_state
        not_fsdp_flatten_parameters quiet store_ema ema_fp32 azureml_logging tpu use_plasma_view
        use_bmuf anneal_eps relative_step scale_parameter warmup_init no_bias_correction shrink_min
    """,
    int: """
        log_interval seed fp16_init_scale fp16_scale_window amp_batch_retries amp_init_scale
        amp_scale_window empty_cache_freq all_gather_list_size num_workers max_tokens batch_size
        required_batch_size_multiple required_seq_len_multiple data_buffer_size validate_interval
        validate_interval_updates validate_after_updates fixed_validation_seed max_tokens_valid
        batch_size_valid max_valid_steps curriculum num_shards shard_id max_epoch max_update
        warmup_updates force_anneal save_interval save_interval_updates keep_interval_updates
        keep_interval_updates_pattern keep_last_epochs keep_best_checkpoints patience
        checkpoint_shard_count distributed_world_size distributed_num_procs distributed_rank
        distributed_port device_id bucket_cap_mb heartbeat_timeout nprocs_per_node
        localsgd_frequency ema_start_update ema_update_freq model_parallel_size lr_patience
        warmup_steps hold_steps decay_steps lr_deacy_period
    """,
    float: """
        fp16_scale_tolerance min_loss_scale threshold_loss_scale stop_time_hours clip_norm
        stop_min_lr adam_eps weight_decay momentum power end_learning_rate total_num_update
        warmup_init_lr min_lr t_mult lr_period_updates lr_shrink slowmo_momentum ema_decay
        adadelta_eps adadelta_rho beta1 clip_threshold decay_rate adamax_eps lamb_eps lr_threshold
        lr_decay init_lr_scale final_lr_scale max_lr
    """,
    str: """
        log_format log_file aim_repo aim_run_hash tensorboard_logdir wandb_project user_dir
        train_subset valid_subset gen_subset dataset_impl optimizer adam_betas lr_scheduler
        save_dir restore_file continue_once finetune_from_model optimizer_overrides
        best_checkpoint_metric checkpoint_suffix ddp_backend ddp_comm_hook zero_sharding
        distributed_backend distributed_init_method slowmo_base_algorithm ema_seed_model
        path post_process model_overrides results_path bpe tokenizer scoring plasma_path
        quantization_config_path adafactor_eps adamax_betas lamb_betas epoch2lr update2lr
        phase_ratio
    """,
    list: """
        lr update_freq
    """,
}

ARGUMENTS: dict[str, type] = {
    name: kind for kind, names in _BY_TYPE.items() for name in names.split()
}
"""Argument -> type; `list` means a number, or a list of numbers (one an epoch)."""

_SPLIT_NAMES = ("train", "valid", "test")

_CHOICES: dict[str, tuple[str, ...]] = {
    "ddp_backend": (*("c10d", "fully_sharded", "legacy_ddp", "no_c10d", "pytorch_ddp", "slowmo"),),
    "distributed_backend": ("gloo", "nccl"),
    "optimizer": tuple(OWN_ARGUMENTS["optimizer"]),
    "lr_scheduler": tuple(OWN_ARGUMENTS["lr_scheduler"]),
    "log_format": ("json", "none", "simple", "tqdm"),
    "ddp_comm_hook": ("none", "fp16"),
    "zero_sharding": ("none", "os"),
    "dataset_impl": ("raw", "lazy", "cached", "mmap", "fasta", "huffman"),
    "train_subset": _SPLIT_NAMES,
    "gen_subset": _SPLIT_NAMES,
}

_RANGES: tuple[tuple[Bounds, str], ...] = (
    (
        Bounds(above=0),
        """
        lr total_num_update adam_eps adamax_eps lamb_eps adadelta_eps power lr_shrink lr_decay
        lr_period_updates lr_deacy_period max_lr t_mult clip_threshold min_loss_scale
        """,
    ),
    (
        Bounds(low=1),
        """
        update_freq batch_size batch_size_valid max_tokens max_tokens_valid log_interval
        required_batch_size_multiple required_seq_len_multiple validate_interval save_interval
        distributed_world_size num_shards fp16_init_scale amp_init_scale bucket_cap_mb
        checkpoint_shard_count localsgd_frequency
        """,
    ),
    (
        Bounds(low=0),
        """
        seed fixed_validation_seed weight_decay clip_norm stop_time_hours num_workers max_epoch
        max_update warmup_updates warmup_steps hold_steps decay_steps save_interval_updates
        validate_interval_updates validate_after_updates end_learning_rate min_lr lr_patience
        data_buffer_size empty_cache_freq curriculum shard_id
        """,
    ),
    (
        Bounds(low=-1),
        """
        patience keep_interval_updates keep_interval_updates_pattern keep_last_epochs
        keep_best_checkpoints stop_min_lr warmup_init_lr
        """,
    ),
    (Bounds(low=0, high=1), "momentum slowmo_momentum ema_decay adadelta_rho beta1"),
    (Bounds(low=1, high=1), "model_parallel_size"),
    (
        Bounds(filled=True),
        """
        save_dir restore_file finetune_from_model continue_once log_file tensorboard_logdir user_dir
        quantization_config_path path results_path best_checkpoint_metric
        """,
    ),
)

BOUNDS: dict[str, Bounds] = {
    **{name: Bounds(choices=choices) for name, choices in _CHOICES.items()},
    **{name: bounds for bounds, names in _RANGES for name in names.split()},
}
"""Values that make no sense are refused before anything is loaded."""

WHOLE = frozenset({"update_freq"})
"""Lists of whole numbers; the others hold any."""

LAUNCHERS = frozenset(
    {
        *("device_id", "distributed_init_method", "distributed_no_spawn", "distributed_num_procs"),
        *("distributed_port", "distributed_rank", "nprocs_per_node"),
    }
)
"""Arguments that are for the launcher to set: in a file they would make a training that is another
than the job type says, or none at all."""

WITHOUT_EFFECT: dict[str, str] = {
    "distributed_world_size": "the job type decides on the processes",
    "num_shards": "each process takes its share by itself",
    "shard_id": "each process takes its share by itself",
}
"""Arguments that a file may hold and that change nothing, each with the reason for the warning."""

PACKAGES: dict[tuple[str, str | bool], str] = {
    ("optimizer", "lamb"): "apex",
    ("optimizer", "cpu_adam"): "deepspeed",
    ("ddp_backend", "fully_sharded"): "fairscale",
    ("ddp_backend", "slowmo"): "fairscale",
    ("zero_sharding", "os"): "fairscale",
    ("tpu", True): "torch_xla",
}
"""(argument, value) -> the package that it needs and that is not installed with this project."""

EVALUATION_ONLY = frozenset({"path", "post_process", "quiet", "model_overrides", "results_path"})
"""Arguments that the training command does not have: they are for `predict.py`."""

RENAMED: dict[str, str] = {
    "max_sentences": "batch_size",
    "max_sentences_valid": "batch_size_valid",
    "local_rank": "device_id",
    "combine_val": "combine_valid_subsets",
    "save_async": "write_checkpoints_asynchronously",
    "nval": "max_valid_steps",
}
"""Old or short spellings, for the hint of the error."""
