"""Real training processes without seven seconds of imports each: one server imports, then forks.

Run as a program it is the server: a JSON line asks to start a training or to wait for one.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class ForkServer:
    """Starts `train.py` in forked processes, each the leader of its own process group."""

    def __init__(self):
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, arguments, log, environment=None) -> int:
        """Starts a training in the working directory; returns its process id."""
        return self.ask(
            start=list(arguments), cwd=os.getcwd(), log=str(log), environment=environment or {}
        )

    def wait(self, pid: int, seconds: float = 120) -> int:
        """The exit status of a training; minus the signal that ended it.

        Raises:
            TimeoutError: it did not end, and was killed.
        """
        end = time.monotonic() + seconds
        while not has_ended(pid):
            if time.monotonic() > end:
                os.killpg(pid, signal.SIGKILL)
                raise TimeoutError(f"process {pid} did not end within {seconds:g} s")
            time.sleep(0.01)
        return self.ask(wait=pid)

    def run(self, arguments, log, environment=None) -> int:
        return self.wait(self.start(arguments, log, environment))

    def close(self) -> None:
        # loader workers of this process may hold a copy of the pipe: closing it would say nothing
        self.process.stdin.write("{}\n")
        self.process.stdin.close()
        self.process.wait(timeout=30)


def has_ended(pid: int) -> bool:
    """Whether a child of the server has ended (and waits to be asked for its status)."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "Z"


def serve() -> None:
    import torch

    from mmpt.modules import vectorindex
    from mmpt_cli import train

    train.use_fairseq_logging()
    train.register()
    if vectorindex.has_faiss():
        vectorindex._faiss()
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if not request:
            break
        if "wait" in request:
            status = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
            print(status, flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            be_a_training(request)
        print(pid, flush=True)


def keep_trainer() -> list:
    """A list that will hold the trainer of this process."""
    from fairseq import trainer

    kept = []
    built = trainer.Trainer.__init__

    def init(self, *args, **kwargs):
        built(self, *args, **kwargs)
        kept.append(self)

    trainer.Trainer.__init__ = init
    return kept


def slow_down_encoding() -> None:
    """Every batch that retrieval encodes says so, and takes a moment."""
    from mmpt.tasks import encoding

    by_us = encoding._moved

    def moved(*args):
        print("slow encoding", flush=True)
        time.sleep(0.3)
        return by_us(*args)

    encoding._moved = moved


def be_a_training(request: dict) -> None:
    import torch

    from mmpt_cli import train
    from mmpt_cli.entry import run_command

    status = 99
    try:
        os.setsid()
        os.chdir(request["cwd"])
        os.environ.update(request["environment"])
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if "SLOW_ENCODING" in request["environment"]:
            slow_down_encoding()
        kept = keep_trainer()
        status = run_command(train.main, request["start"])
        if "RANK" in request["environment"] and kept:
            torch.save(kept[0].model.state_dict(), f"rank{os.environ['RANK']}.pt")
        atexit._run_exitfuncs()  # as at the end of an ordinary process
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
