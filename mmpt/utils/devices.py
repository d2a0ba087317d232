"""Which device to run on: asked for by name, checked, CUDA where there is one."""

from mmpt.errors import LaunchError

DEVICES = ("cuda", "cpu")
"""Kinds of devices that the code runs on."""


def pick_device(asked: str | None, name: str = "--device") -> str:
    """The asked device, else CUDA where there is one, else the CPU.

    Args:
        asked: `cuda`, `cuda:N`, `cpu` or None.
        name: what it was asked by, for messages.

    Raises:
        LaunchError: it is no such device, or this machine has none.
    """
    import torch

    if asked is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(asked)
    except RuntimeError as error:
        raise LaunchError(f"{name} {asked!r} is unknown; use cuda, cuda:N or cpu") from error
    if chosen.type not in DEVICES:
        raise LaunchError(
            f"{name} {asked}: not one of those that this code runs on; use cuda, cuda:N or cpu"
        )
    if chosen.type == "cuda":
        gpus = torch.cuda.device_count()
        if not gpus:
            raise LaunchError(f"{name} {asked}: this machine has no CUDA device; use {name} cpu")
        if (chosen.index or 0) >= gpus:
            raise LaunchError(
                f"{name} {asked}: this machine has {gpus} CUDA devices, cuda:0 to cuda:{gpus - 1}"
            )
    return asked
