"""`python train.py JOB.yaml --user-dir mmpt --task mmtask ...`: fairseq-train, and a bit more.

The arguments are fairseq-train's.  On top of it: the plugin is registered explicitly (so it also
is in spawned processes), torchrun's environment is understood, a machine without GPUs trains on
its CPU, an interrupted run goes on from its newest whole checkpoint, a signal makes it write one
and leave, only one run at a time works in a folder, and errors are one line.
"""

import importlib.util
import logging
import os
import re
import sys
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path

from mmpt.config.fairseq_args import LAST_CHECKPOINT, RESETS
from mmpt.errors import USER_ERRORS, CheckpointError, DataError, LaunchError
from mmpt.io.resume import newest_whole
from mmpt.io.run_record import end_run
from mmpt.io.runlock import refuse_if_held
from mmpt.utils.distributed import is_master
from mmpt.utils.signals import Stopped, StopRequest
from mmpt_cli.folders import NewFolder
from mmpt_cli.quiet import quieten_trainer

logger = logging.getLogger("mmpt.train")


def main(argv: list[str]) -> int:
    """Trains; returns the exit status: 0, or 128 + N where signal N asked it to stop.

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
    # else a resumed run waits for a broadcast that recent torch refuses
    args.load_checkpoint_on_all_dp_ranks |= args.distributed_world_size > 1
    if is_master():
        refuse_if_held(args.save_dir)
    continue_own_run(args)
    config = convert_namespace_to_omegaconf(args)
    stop = StopRequest()
    folder = NewFolder(args.save_dir)
    try:
        with stop.of_children() if spawns(config) else nullcontext():
            distributed_utils.call_main(config, train, stop=stop)
    except BaseException as error:
        if is_master():
            folder.remove_if_unused()
        # spawned processes that were told to stop before their first update end with that status
        left = spawns(config) and stop and getattr(error, "exit_code", None) == stop.exit_status
        if not left:
            raise
    return stop.exit_status


def spawns(config) -> bool:
    """Whether fairseq will start one process a GPU, and this one only waits."""
    several = config.distributed_training.distributed_world_size > 1
    return several and not config.distributed_training.distributed_no_spawn


def use_fairseq_logging() -> None:
    """A training logs in fairseq's format, to stdout: importing its trainer sets that up, unless
    the root logger already writes to a stream."""
    if "fairseq_cli.train" in sys.modules:
        return  # its import has set up what there is
    root = logging.getLogger()
    for handler in [h for h in root.handlers if type(h) is logging.StreamHandler]:
        root.removeHandler(handler)
    import fairseq_cli.train  # noqa: F401


def register() -> None:
    """Registers task, criterion and model, whether or not `mmpt` was imported before."""
    import mmpt.models.fairseqmmmodel
    import mmpt.tasks.fairseqmmtask  # noqa: F401


def train(config, stop: StopRequest, **kwargs) -> None:
    """fairseq's `main` in a process that knows the plugin (a spawned one starts without it).

    A user's error that fairseq wraps in one of its own is raised as it was.

    Args:
        config: fairseq's.
        stop: set when it returns because a signal asked for it.
    """
    register()
    quieten_trainer()
    # fairseq asks for pinned memory on CPUs too, and uses an older name of autocast
    warnings.filterwarnings("ignore", message=r".*(pin_memory|torch\.cuda\.amp\.autocast).*")
    import fairseq_cli.train

    from mmpt.tasks.fairseqmm_trainer import WatchedLoop

    try:
        # whoever leaves between two epochs leaves as from the loop: what waits for this process,
        # fairseq's barrier and the parent of spawned ones, must see it end in order
        with stop, WatchedLoop(stop), suppress(Stopped):
            fairseq_cli.train.main(config, **kwargs)
    except BaseException as error:
        shown = user_error(error)
        asked = isinstance(error, SystemExit | KeyboardInterrupt)
        end_run("stopped" if asked else "failed", stop.name if asked else str(shown or error))
        if shown is None or shown is error:
            raise
        raise shown from None
    end_run("stopped" if stop else "finished", stop.name or None)


def user_error(error: BaseException) -> Exception | None:
    """The error to show for what came out of fairseq's loop; None where it is a defect."""
    if isinstance(error, FloatingPointError):
        return DataError(
            f"training cannot go on: {error}; lower the learning rate, or look at the features of "
            "the last batches. The same command goes on from the last checkpoint, from before"
        )
    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, USER_ERRORS):
            return cause
    return None


def with_torchrun(argv: list[str]) -> list[str]:
    """Adds what fairseq does not take from torchrun's environment by itself.

    Without these, fairseq would run one separate training per process into one folder.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ and "LOCAL_RANK" not in os.environ:
        return argv
    unset = [v for v in ("WORLD_SIZE", "RANK", "LOCAL_RANK") if not os.environ.get(v)]
    if unset:
        raise LaunchError(
            f"started as one of several processes, but {' and '.join(unset)} "
            f"{'are' if len(unset) > 1 else 'is'} not set: every process would train alone; start "
            "them with torchrun, or unset LOCAL_RANK for one"
        )
    world_size = int(os.environ["WORLD_SIZE"])
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
    """A run that was interrupted goes on from its own newest whole checkpoint.

    A job file that names another run's checkpoint with resets would otherwise start from that one
    again, and lose what this run has done.

    Raises:
        CheckpointError: there are checkpoints, but none that training can go on from.
    """
    found = newest_whole(args.save_dir, put_there=args.restore_file)
    if is_master():
        for line in found.broken:
            logger.warning("%s%s", line, f"; going on from {found.path}" if found.path else "")
    if found.path is None:
        if found.broken:
            raise CheckpointError(
                f"{args.save_dir}: no whole checkpoint to go on from ({'; '.join(found.broken)})"
            )
        return
    last = found.path.name == LAST_CHECKPOINT
    if not last and os.path.isfile(args.restore_file) and found.path.samefile(args.restore_file):
        return  # put there to start from, with the resets that were asked for
    resets = [name for name in RESETS if getattr(args, name, False)]
    if last and args.restore_file == LAST_CHECKPOINT and not resets:
        return
    elsewhere = "" if args.restore_file == LAST_CHECKPOINT else f", not from {args.restore_file}"
    if is_master():
        logger.info(
            "%s exists: continuing from it with its whole state%s (delete the folder to start "
            "anew)",
            found.path,
            elsewhere,
        )
    args.restore_file = LAST_CHECKPOINT if last else str(found.path)
    args.finetune_from_model = None
    for name in RESETS:
        setattr(args, name, False)
