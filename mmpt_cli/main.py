"""The console script `mmpt`: one command, its subcommands loaded when they are asked for."""

import importlib
import sys

from mmpt import __version__
from mmpt.config.access import nearest
from mmpt_cli.entry import run_command

COMMANDS: dict[str, tuple[str, str]] = {
    "launch": ("mmpt_cli.localjob", "train or evaluate: turn job files into running commands"),
    "predict": ("mmpt_cli.predict", "evaluate the checkpoints of one job file"),
    "paper": ("mmpt_cli.paper", "the paper's recipe: pretraining, then every zero-shot evaluation"),
    "report": ("mmpt_cli.report", "results as one page: numbers, curves, alignments, trainings"),
    "score": ("mmpt_cli.score", "how well sentences go with video files"),
    "runs": ("mmpt_cli.runs", "list the runs below a folder: state, progress, last checkpoint"),
    "extract": ("mmpt_cli.extract", "features of video files"),
    "merge-manifests": ("mmpt_cli.merge_manifests", "what the parts of an extraction did, as one"),
    "shard": ("mmpt_cli.shard_feature", "features of videos into shards; --verify checks all"),
    "tokenise": ("mmpt_cli.pretokenization", "captions into shards of token ids"),
    "check-data": ("mmpt_cli.check_data", "what job files need: there, missing or broken"),
    "verify-release": ("mmpt_cli.verify_release", "released checkpoints against published numbers"),
    "prove": ("mmpt_cli.prove", "evaluations on real annotations with planted features"),
    "study": ("mmpt_cli.study", "the paper's ablations on demo corpora: losses x noise x seeds"),
    "demo": (
        "mmpt_cli.demo",
        "a corpus in miniature (make), the whole method on it (run)",
    ),
}
"""Subcommand -> (module with `main(argv) -> int`, one line of help)."""


def console() -> int:
    """The entry of the installed script."""
    return run_command(main)


def main(argv: list[str]) -> int:
    """Runs `mmpt COMMAND ...`; returns the exit status, 2 for a wrong command line."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0 if argv else 2
    name, rest = argv[0], argv[1:]
    if name in ("-V", "--version"):
        print(f"mmpt {__version__}")
        return 0
    if name not in COMMANDS:
        hint = nearest(name, COMMANDS)
        known = ", ".join(COMMANDS)
        print(f"mmpt: unknown command {name!r}{hint}; commands: {known}", file=sys.stderr)
        return 2
    module, _ = COMMANDS[name]
    return importlib.import_module(module).main(rest)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: mmpt COMMAND [--debug] ...",
            "",
            "Norton: video-language pretraining from long, noisy videos by optimal transport.",
            "",
            "commands:",
            *lines,
            "",
            "mmpt COMMAND --help shows a command's options; --version the version;",
            "--debug shows the traceback of an error.",
        ]
    )


if __name__ == "__main__":
    sys.exit(console())
