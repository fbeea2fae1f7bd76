"""Tables and indices that are spread over processes, as torch.distributed.tensor has them.

That module is imported by whoever makes one, and not before.
"""

import sys

import torch
from torch import Tensor


def handles(input: Tensor, weight: Tensor) -> bool:
    """Whether a lookup is made here: both are DTensors on one mesh, of which this process is part, and nobody traces.

    What is left is torch's own: a compiler's trace, a table without memory, and torch's error where one of the two is
    no DTensor.
    """
    module = sys.modules.get("torch.distributed.tensor")
    if module is None or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    if not (isinstance(weight, module.DTensor) and isinstance(input, module.DTensor)):
        return False
    from .parts import has_memory

    mesh = weight.device_mesh
    return has_memory(weight) and has_memory(input) and input.device_mesh == mesh and mesh.get_coordinate() is not None


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int,
    max_norm: float | None,
    norm_type: float,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> Tensor:
    """tembed.embedding(), with -1 for no padding_idx."""
    from .sharded import embedding

    return embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
