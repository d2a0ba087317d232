"""What every command does around its work: one clear line for a mistake, and the exit status.

A user's mistake (a wrong key, a missing file, too few GPUs) ends in `error: <one line>` on stderr
and status 1; a wrong command line in argparse's own message and 2; Ctrl-C in 130, SIGTERM in 143.
`--debug` anywhere on the command line shows the traceback as well.  What is no user's mistake
keeps its traceback: it is a defect.
"""

import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mmpt.errors import USER_ERRORS
from mmpt_cli.folders import DISK_ERRORS
from mmpt_cli.quiet import quieten_trainer

DEBUG_VARIABLE = "MMPT_DEBUG"
"""Set while a command runs with `--debug`, so that the commands it starts show theirs too."""

SOME_LEFT_OUT = 3
"""The exit status of a command that did its work, but for videos or entries that it lists."""

_USER_ERROR_LINE = re.compile(
    r"^(?:[\w.]+\.)?(?:" + "|".join(error.__name__ for error in USER_ERRORS) + r"): (.+)$"
)
_DENIED_LINE = re.compile(r"^PermissionError: \[Errno \d+\] [^:]+: '(.+)'$")
DENIED = "{}: permission denied: this user may not open it"


# Before torch is imported: OpenMP's threads spin while they wait, unless told not to, and beside a
# loader's worker on the same cores a training on the CPU then takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def run_command(main: Callable[[list[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Runs a command's `main` and turns what it raises into a line and an exit status.

    Args:
        main: takes the arguments without `--debug`, returns the exit status (None = 0).
        argv: the arguments; None: those of the process.

    Returns:
        the exit status, for `sys.exit`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or bool(os.environ.get(DEBUG_VARIABLE))
    arguments = [a for a in arguments if a != "--debug"]
    _show_own_lines()
    if not debug:
        quieten_trainer()
    before = os.environ.get(DEBUG_VARIABLE)
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"
    try:
        with _sigterm_raises():
            return main(arguments) or 0
    except _Terminated as stop:
        print("stopped by SIGTERM", file=sys.stderr)
        return stop.code
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of our output has left (`| head`): nothing to say, and nowhere to say it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        line = user_line(error)
        if line is None:
            raise
        if debug:
            traceback.print_exc()
        print(f"error: {line}", file=sys.stderr)
        return 1
    finally:
        if before is None:
            os.environ.pop(DEBUG_VARIABLE, None)


def program(command: str, script: str) -> str:
    """What a command is called in its usage line: `mmpt COMMAND`, or the script that runs it."""
    under_mmpt = os.path.basename(sys.argv[0]) in ("mmpt", "main.py")
    return f"mmpt {command}" if under_mmpt else script


class _Terminated(SystemExit):
    """SIGTERM, as an exception: what is half written is cleared away on the way out."""


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Within, SIGTERM ends the command with status 143, where nobody else has a word for it.

    A training installs its own handler over this one; children that are started get the default.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number, frame):
        raise _Terminated(128 + number)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _OwnLines(logging.Handler):
    """Shows what our modules say, as long as nobody else has set up logging.

    fairseq does so when it is imported, and its form of the lines shall stay.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            print(self.format(record), file=sys.stderr, flush=True)


def _show_own_lines() -> None:
    root = logging.getLogger()
    if root.handlers:
        return
    # on the root, so that fairseq can quieten all ranks but the first
    root.setLevel(logging.INFO)
    for name in ("mmpt", "mmpt_cli", "__main__"):
        own = logging.getLogger(name)
        if not any(isinstance(handler, _OwnLines) for handler in own.handlers):
            own.addHandler(_OwnLines())


def user_line(error: BaseException) -> str | None:
    """The one line to show for an error, or None where it is a defect of the program.

    An error raised in a loader's worker or in a spawned training process arrives wrapped in the
    text of the original traceback: its last line is the one meant for the user.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("Traceback (most recent call last)" in line for line in lines):
        found = _USER_ERROR_LINE.match(lines[-1])
        if found is None:
            return None
        denied = [match[1] for line in lines if (match := _DENIED_LINE.match(line))]
        return DENIED.format(denied[0]) if denied else found[1]
    if isinstance(error, USER_ERRORS):
        line = " ".join(lines)
        return line if "permission denied" in line else _permission_denied(error) or line
    if isinstance(error, PermissionError) and error.filename is not None:
        return _permission_denied(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return f"a file could not be written: {error.strerror}; free some space and run it again"
    return None


def _permission_denied(error: BaseException) -> str | None:
    """The line on a file that this user may not open, where that is what an error comes from: a
    reader takes a file that it cannot open for a damaged one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PermissionError) and cause.filename is not None:
            return DENIED.format(cause.filename)
        cause = cause.__cause__ or cause.__context__
    return None
