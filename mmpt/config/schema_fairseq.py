"""The trainer's arguments that a job file may hold, with their types.

Source: the argument parser of fairseq 0.12 (`fairseq.dataclass.configs`, adam, and the usual
learning-rate schedules).  A leaf of `fairseq` is an argument with `_` for `-`; the group it stands
in is for the reader, since published files put `ddp_backend` under `optimization`.
"""

from mmpt.config.keys import Bounds

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
        use_bmuf
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
        localsgd_frequency ema_start_update ema_update_freq model_parallel_size
    """,
    float: """
        fp16_scale_tolerance min_loss_scale threshold_loss_scale stop_time_hours clip_norm
        stop_min_lr adam_eps weight_decay momentum power end_learning_rate total_num_update
        warmup_init_lr min_lr t_mult lr_period_updates lr_shrink slowmo_momentum ema_decay
    """,
    str: """
        log_format log_file aim_repo aim_run_hash tensorboard_logdir wandb_project user_dir
        train_subset valid_subset gen_subset dataset_impl optimizer adam_betas lr_scheduler
        save_dir restore_file continue_once finetune_from_model optimizer_overrides
        best_checkpoint_metric checkpoint_suffix ddp_backend ddp_comm_hook zero_sharding
        distributed_backend distributed_init_method slowmo_base_algorithm ema_seed_model
        path post_process model_overrides results_path bpe tokenizer scoring plasma_path
        quantization_config_path
    """,
    list: """
        lr update_freq
    """,
}

ARGUMENTS: dict[str, type] = {
    name: kind for kind, names in _BY_TYPE.items() for name in names.split()
}
"""Argument -> type; `list` means a number, or a list of numbers (one an epoch)."""

BOUNDS: dict[str, Bounds] = {
    "ddp_backend": Bounds(
        choices=("c10d", "fully_sharded", "legacy_ddp", "no_c10d", "pytorch_ddp", "slowmo")
    ),
    "optimizer": Bounds(
        choices=(
            *("adadelta", "adafactor", "adagrad", "adam", "adamax", "composite", "cpu_adam"),
            *("lamb", "nag", "sgd"),
        )
    ),
    "lr_scheduler": Bounds(
        choices=(
            *("cosine", "fixed", "inverse_sqrt", "manual", "pass_through", "polynomial_decay"),
            *("reduce_lr_on_plateau", "step", "tri_stage", "triangular"),
        )
    ),
    "log_format": Bounds(choices=("json", "none", "simple", "tqdm")),
    "ddp_comm_hook": Bounds(choices=("none", "fp16")),
    "zero_sharding": Bounds(choices=("none", "os")),
    "lr": Bounds(above=0),
    "update_freq": Bounds(low=1),
    "weight_decay": Bounds(low=0),
    "clip_norm": Bounds(low=0),
    "stop_time_hours": Bounds(low=0),
    "total_num_update": Bounds(above=0),
    **dict.fromkeys(
        (
            "batch_size",
            "batch_size_valid",
            "max_tokens",
            "log_interval",
            "required_batch_size_multiple",
            "validate_interval",
            "save_interval",
            "distributed_world_size",
        ),
        Bounds(low=1),
    ),
    **dict.fromkeys(
        (
            "num_workers",
            "max_epoch",
            "max_update",
            "warmup_updates",
            "save_interval_updates",
            "validate_interval_updates",
        ),
        Bounds(low=0),
    ),
}
"""Values that make no sense are refused before anything is loaded."""

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
