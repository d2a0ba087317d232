"""`--ddp-backend c10d` on any device, for models of which a part takes no part.

fairseq hands torch's DistributedDataParallel a device number, which it refuses for modules on the
CPU, and lets it wait for the gradient of every parameter: BERT's poolers never get one.
"""

from fairseq.models import distributed_fairseq_model
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def make_c10d_work() -> None:
    """Makes `fairseq.models.DistributedFairseqModel` build `ddp` below.  Calling this twice is
    harmless."""
    distributed_fairseq_model.DistributedDataParallel = ddp


def ddp(module: nn.Module, device_ids=None, output_device=None, **settings):
    """torch's DistributedDataParallel, with the device only where there is one to name."""
    on_cpu = all(parameter.device.type == "cpu" for parameter in module.parameters())
    if on_cpu:
        device_ids = output_device = None
    settings["find_unused_parameters"] = True
    return DistributedDataParallel(
        module, device_ids=device_ids, output_device=output_device, **settings
    )


def parameters_behind(loss: Tensor) -> list[Tensor]:
    """The parameters that a loss was computed from: those that its backward pass would reach, and
    that DistributedDataParallel waits for."""
    found, seen, waiting = [], {None}, [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        waiting += [following for following, _ in node.next_functions]
    return found
