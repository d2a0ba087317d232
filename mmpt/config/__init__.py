"""Configuration: what a job file may hold, how it is read, and the trainer's arguments from it.

Reading order: `schema.py` (every key), `load.py` (includes, merging), `check.py` (what is refused),
`ready.py` (what must be there before a job runs), `fairseq_args.py` (the command line).  Light on
purpose: it needs OmegaConf alone.
"""

from mmpt.config.access import lookup, setting
from mmpt.config.check import check_config, is_pipeline
from mmpt.config.errors import ConfigError
from mmpt.config.fairseq_args import fairseq_args, trainer_settings
from mmpt.config.load import load_config, prepare_run, recursive_config, with_run_folder

__all__ = [
    "ConfigError",
    "check_config",
    "fairseq_args",
    "is_pipeline",
    "load_config",
    "lookup",
    "prepare_run",
    "recursive_config",
    "setting",
    "trainer_settings",
    "with_run_folder",
]
