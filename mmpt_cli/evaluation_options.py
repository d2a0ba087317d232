"""The options of the commands that evaluate: `--checkpoint`, `--out`, `--device`."""

import argparse
from pathlib import Path

from mmpt.errors import LaunchError

DEVICES = ("cuda", "cpu")
"""Kinds of devices that the code runs on."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that evaluates."""
    for option, form, text in (
        ("--checkpoint", given_path, "evaluate this file alone, not those of the job"),
        ("--out", given_path, "folder for the results (default: eval.save_path)"),
        ("--device", str, "cuda, cuda:1, cpu (default: cuda where there is one)"),
    ):
        parser.add_argument(option, type=form, help=text)


def given_path(text: str) -> Path:
    """A path of the command line; an empty one, of a shell variable without a value, is refused."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty name; give one, or leave the option out")
    return Path(text)


def pick_device(asked: str | None) -> str:
    """The asked device, else CUDA where there is one, else the CPU."""
    import torch

    if asked is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(asked)
    except RuntimeError as error:
        raise LaunchError(f"--device {asked!r} is unknown; use cuda, cuda:N or cpu") from error
    if chosen.type not in DEVICES:
        raise LaunchError(
            f"--device {asked}: not one of those that this code runs on; use cuda, cuda:N or cpu"
        )
    if chosen.type == "cuda":
        gpus = torch.cuda.device_count()
        if not gpus:
            raise LaunchError(
                f"--device {asked}: this machine has no CUDA device; use --device cpu"
            )
        if (chosen.index or 0) >= gpus:
            raise LaunchError(
                f"--device {asked}: this machine has {gpus} CUDA devices, cuda:0 to cuda:{gpus - 1}"
            )
    return asked
