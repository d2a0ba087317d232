"""How the encoders' layers are run: recomputed in the backward pass, or compiled.

Neither changes what a model computes nor a name in its `state_dict()`, so checkpoints go from one
to the other.
"""

import functools
import inspect
import textwrap

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from mmpt.config.access import setting
from mmpt.errors import ConfigError

RECOMPILE_LIMIT = 64
"""Graphs of a layer before torch gives up and runs it as it is; torch's own limit is 8."""


def set_execution(model: nn.Module, config) -> None:
    """Runs a model's layers as `model.checkpoint_activations` and `model.compile` say.

    Args:
        model: its encoders are built; where they lie and their dtype may change later.
        config: a job config.

    Raises:
        ConfigError: `model.compile`, and torch.compile does not work on this machine.
    """
    if setting(config, "model.checkpoint_activations", False):
        recompute_layers(model)
    if setting(config, "model.compile", False):
        require_compiler()
        compile_layers(model)


def layers_of(model: nn.Module) -> list[GradientCheckpointingLayer]:
    """The transformer layers of all encoders in a model."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def recompute_layers(model: nn.Module) -> None:
    """In training, keeps of each layer only its input and computes the rest again when needed.

    Random draws are repeated, so losses and gradients are the same numbers.
    """
    # What `activation_checkpointing_enable` of transformers does, without its hook that makes the
    # embeddings' output a leaf with a gradient: where the embeddings are frozen nothing needs that
    # gradient, and the hook cannot be pickled. Not re-entrant: a layer whose input has no gradient
    # still trains, and DistributedDataParallel sees each parameter once.
    recompute = functools.partial(checkpoint, use_reentrant=False)
    for layer in layers_of(model):
        layer._gradient_checkpointing_func = recompute
        layer.gradient_checkpointing = True


def compile_layers(model: nn.Module, backend: str = "inductor") -> None:
    """Runs each layer through torch.compile, from its first call on.

    Deep copies of the model, and models read from a pickle, run uncompiled.
    """
    # Layer by layer: they share their code, so one graph serves all layers of all encoders of one
    # width, and compiling takes as long for 2 layers as for 18.
    # Dynamic: last batches and evaluation have other numbers of clips and other lengths. A static
    # graph would be compiled again for each, up to the limit; a dynamic one is compiled once for
    # training and once for evaluation, and for what stays special: one row, masks that are all
    # True (transformers drops these), two lengths that happened to be equal.
    options = {"dynamic": True, "backend": backend}
    if "recompile_limit" in inspect.signature(torch.compile).parameters:
        options["recompile_limit"] = RECOMPILE_LIMIT
    for layer in layers_of(model):
        layer.compile(**options)  # in place: torch.compile(layer) would add `_orig_mod` to names


def require_compiler() -> None:
    """Compiles a trifle, so that a machine that cannot says so now and not in the first update.

    Raises:
        ConfigError: it failed.
    """
    device, needed = "cpu", "a C++ compiler (g++)"
    if torch.cuda.is_available():
        device, needed = "cuda", "Triton and a C compiler (gcc)"
    try:
        torch.compile(_trifle)(torch.zeros(2, device=device))
    except Exception as error:  # a compiler's stack ends in nearly any of them
        raise ConfigError(
            f"model.compile: torch.compile does not work on this machine ({_reason(error)}); "
            f"install {needed} and Python's headers, or set model.compile: false"
        ) from error


def _trifle(values: Tensor) -> Tensor:
    return values.sin() + 1


def _reason(error: BaseException) -> str:
    """One line of what torch wrapped several times: the compiler's complaint or the first line."""
    lines = []
    while error is not None:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] + lines
        error = getattr(error, "inner_exception", None) or error.__cause__
    complaints = [line for line in lines if "error:" in line] + lines
    return textwrap.shorten(complaints[0], 200) if complaints else "no reason given"
