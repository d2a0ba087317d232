"""`python train.py JOB.yaml --user-dir mmpt --task mmtask ...`: fairseq-train, and a bit more.

The arguments are fairseq-train's.  On top of it: the plugin is registered explicitly (so it also
is in spawned processes), torchrun's environment is understood, a machine without GPUs trains on
its CPU, an interrupted run goes on from its own last checkpoint, and errors are one line.
"""

import importlib.util
import logging
import os
import re
import sys
import warnings
from pathlib import Path

from mmpt.config.fairseq_args import LAST_CHECKPOINT, RESETS
from mmpt.errors import USER_ERRORS, LaunchError

logger = logging.getLogger("mmpt.train")


def main(argv: list[str]) -> int:
    """Trains; returns the exit status.

    Args:
        argv: fairseq-train's arguments, the job file first.

    Raises:
        LaunchError: fairseq is not installed, or the launch is inconsistent.
    """
    if importlib.util.find_spec("fairseq") is None:
        raise LaunchError(
            "training needs fairseq: bash run.sh setup, or pip install --no-deps ve-fairseq==0.12.3"
        )
    if not {"--task", "-h", "--help"} & set(argv):
        raise LaunchError(
            "train.py takes fairseq-train's arguments, --task mmtask among them; python "
            "locallaunch.py JOB.yaml runs a job, with --dryrun it prints the whole command"
        )
    arguments = with_torchrun([a for a in argv if not re.match(r"--local[-_]rank=", a)])
    arguments = with_own_plugin(without_gpu(arguments))
    sys.argv = ["train.py", *arguments]  # fairseq reads --user-dir from there
    use_fairseq_logging()

    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.distributed import utils as distributed_utils

    register()
    parser = options.get_training_parser()
    args = options.parse_args_and_arch(parser, input_args=arguments)
    continue_own_run(args)
    distributed_utils.call_main(convert_namespace_to_omegaconf(args), train)
    return 0


def use_fairseq_logging() -> None:
    """A training logs in fairseq's format, to stdout: importing its trainer sets that up, unless
    the root logger already writes to a stream."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if type(h) is logging.StreamHandler]:
        root.removeHandler(handler)
    import fairseq_cli.train  # noqa: F401


def register() -> None:
    """Registers task, criterion and model, whether or not `mmpt` was imported before."""
    import mmpt.models.fairseqmmmodel
    import mmpt.tasks.fairseqmmtask  # noqa: F401


def train(config, **kwargs) -> None:
    """fairseq's `main` in a process that knows the plugin (a spawned one starts without it).

    A user's error that fairseq wraps in one of its own is raised as it was.
    """
    register()
    # fairseq asks for pinned memory on CPUs too, and uses an older name of autocast
    warnings.filterwarnings("ignore", message=r".*(pin_memory|torch\.cuda\.amp\.autocast).*")
    import fairseq_cli.train

    if fairseq_cli.train.train is not train_epoch:
        train_epoch.by_fairseq = fairseq_cli.train.train
        fairseq_cli.train.train = train_epoch
    try:
        fairseq_cli.train.main(config, **kwargs)
    except USER_ERRORS:
        raise
    except Exception as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, USER_ERRORS):
            raise cause from None
        raise


def train_epoch(config, trainer, task, epoch_itr):
    """fairseq's epoch, unless the run is complete: fairseq looks at `max_update` only after an
    update, so that starting a finished run again would train on, and overwrite its checkpoints."""
    limit = config.optimization.max_update
    if limit and trainer.get_num_updates() >= limit:
        logger.info("already complete: %d updates of %d", trainer.get_num_updates(), limit)
        return [None], True
    return train_epoch.by_fairseq(config, trainer, task, epoch_itr)


def with_torchrun(argv: list[str]) -> list[str]:
    """Adds what fairseq does not take from torchrun's environment by itself.

    Without these, fairseq would run one separate training per process into one folder.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ and "LOCAL_RANK" not in os.environ:
        return argv
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        return argv
    import torch

    backend = "nccl" if torch.cuda.is_available() and "--cpu" not in argv else "gloo"
    missing = {
        "--distributed-world-size": str(world_size),
        "--distributed-rank": os.environ["RANK"],
        "--device-id": os.environ["LOCAL_RANK"],
        "--distributed-init-method": "env://",
        "--distributed-backend": backend,
    }
    given = {name for name in missing if name in argv}
    if "--distributed-world-size" in given:
        asked = argv[argv.index("--distributed-world-size") + 1]
        if asked != str(world_size):
            raise LaunchError(
                f"--distributed-world-size {asked}, but torchrun started {world_size} processes; "
                "leave it out or make them equal"
            )
    added = [part for name, value in missing.items() if name not in given for part in (name, value)]
    return [*argv, *added, "--distributed-no-spawn"]


def with_own_plugin(argv: list[str]) -> list[str]:
    """Names the plugin's folder as this process imported it: a link to it is another path, which
    fairseq takes for a second package of the same name."""
    package = Path(__file__).resolve().parents[1] / "mmpt"

    def ours(folder: str) -> bool:
        return os.path.isdir(folder) and os.path.samefile(folder, package)

    before = [None, *argv]
    return [
        str(package) if name == "--user-dir" and ours(folder) else folder
        for name, folder in zip(before, argv, strict=False)
    ]


def without_gpu(argv: list[str]) -> list[str]:
    """On a machine without CUDA: adds --cpu and drops half precision, saying so in one line."""
    import torch

    if torch.cuda.is_available() and "--cpu" not in argv:
        return argv
    half = [a for a in argv if a in ("--fp16", "--bf16", "--memory-efficient-fp16", "--amp")]
    if "--cpu" not in argv or half:
        dropped = f" without {', '.join(half)}" if half else ""
        print(f"no CUDA device in use: training on the CPU{dropped}", file=sys.stderr)
    return [a for a in argv if a not in half and a != "--cpu"] + ["--cpu"]


def continue_own_run(args) -> None:
    """A run that was interrupted goes on from its own last checkpoint.

    A job file that names another run's checkpoint with resets would otherwise start from that one
    again, and lose what this run has done.
    """
    own = os.path.join(args.save_dir, LAST_CHECKPOINT)
    resets = [name for name in RESETS if getattr(args, name, False)]
    if not os.path.isfile(own) or (args.restore_file == LAST_CHECKPOINT and not resets):
        return
    elsewhere = "" if args.restore_file == LAST_CHECKPOINT else f", not from {args.restore_file}"
    logger.info(
        "%s exists: continuing from it with its whole state%s (delete the folder to start anew)",
        own,
        elsewhere,
    )
    args.restore_file = LAST_CHECKPOINT
    for name in RESETS:
        setattr(args, name, False)
