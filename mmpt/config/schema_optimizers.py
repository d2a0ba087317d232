"""Which of the trainer's arguments belong to which optimizer and to which learning-rate schedule.

fairseq's command line knows the arguments of the chosen ones only, and takes any other for an
unknown argument.  Source: `fairseq.optim` and `fairseq.optim.lr_scheduler` of fairseq 0.12.
"""

_OPTIMIZERS = {
    "adadelta": "adadelta_eps adadelta_rho anneal_eps weight_decay",
    "adafactor": """
        adafactor_eps beta1 clip_threshold decay_rate relative_step scale_parameter warmup_init
        weight_decay
    """,
    "adagrad": "weight_decay",
    "adam": "adam_betas adam_eps fp16_adam_stats use_old_adam weight_decay",
    "adamax": "adamax_betas adamax_eps no_bias_correction weight_decay",
    "cpu_adam": "adam_betas adam_eps fp16_adam_stats weight_decay",
    "lamb": "lamb_betas lamb_eps weight_decay",
    "nag": "momentum weight_decay",
    "sgd": "momentum weight_decay",
}

_SCHEDULES = {
    "cosine": "lr_period_updates lr_shrink min_lr t_mult warmup_init_lr warmup_updates",
    "fixed": "force_anneal lr_shrink warmup_updates",
    "inverse_sqrt": "warmup_init_lr warmup_updates",
    "manual": "epoch2lr update2lr",
    "polynomial_decay": "end_learning_rate force_anneal power total_num_update warmup_updates",
    "reduce_lr_on_plateau": "lr_patience lr_shrink lr_threshold warmup_init_lr warmup_updates",
    "step": "lr_deacy_period lr_decay min_lr warmup_init_lr warmup_updates",
    "tri_stage": "decay_steps final_lr_scale hold_steps init_lr_scale phase_ratio warmup_steps",
    "triangular": "lr_period_updates lr_shrink max_lr shrink_min",
}

OWN_ARGUMENTS: dict[str, dict[str, frozenset[str]]] = {
    kind: {name: frozenset(arguments.split()) for name, arguments in table.items()}
    for kind, table in (("optimizer", _OPTIMIZERS), ("lr_scheduler", _SCHEDULES))
}
"""Kind -> name -> the arguments of its own.

`composite` (and `pass_through`, which is its schedule) is not among them: it takes groups of
settings that no command line can hold.
"""

DEFAULT_SCHEDULE = "fixed"
"""fairseq's, where a file names none."""


def foreign_arguments(kind: str, name: str, settings) -> list[str]:
    """The arguments among `settings` that belong to another optimizer (or schedule) than `name`."""
    table = OWN_ARGUMENTS[kind]
    others = frozenset().union(*table.values()) - table[name]
    return [argument for argument in settings if argument in others]
