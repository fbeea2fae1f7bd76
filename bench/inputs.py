"""What the lookups of a workload are given: the table, and indices twice; and what their backwards are given."""

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from .indices import draw
from .workloads import DTYPES, Workload

# The largest of the whole numbers that are the gradient of those that are only checked: their sums are exact.
LARGEST = 8
# Norms of rows over max_norm, drawn evenly from between these.
NORMS = {"none": (0.25, 0.75), "all": (1.5, 4.0)}


@dataclass(frozen=True, eq=False)
class Inputs:
    """A workload's tensors on a device."""

    workload: Workload
    weight: Tensor  # [V, D], a leaf that requires grad
    indices: Tensor  # those that are timed
    fresh: Tensor  # others of the same distribution, which are only checked
    pristine: Tensor | None  # a copy of the table, where lookups may change it
    unique: int  # different rows among the timed indices
    grad_output: Tensor | None = None  # of the output for the timed indices; for the others whole numbers
    fresh_grad_output: Tensor | None = None

    def restore(self) -> None:
        """Undoes what lookups did to the table."""
        if self.pristine is not None:
            self.weight.detach().copy_(self.pristine)

    def grad_of(self, indices: Tensor) -> Tensor:
        """The gradient of the output for the timed indices, or for the others."""
        found = self.fresh_grad_output if indices is self.fresh else self.grad_output
        assert found is not None
        return found


def make_inputs(workload: Workload, device: torch.device, seed: int = 0) -> Inputs:
    """Random numbers, the same for a seed and a type of device; no row equals another."""
    on_cpu, on_device = Generator().manual_seed(seed), Generator(device).manual_seed(seed)
    indices, fresh = (draw(workload, on_cpu).to(device) for _ in range(2))
    dtype = DTYPES[workload.dtype]
    table = torch.randn(workload.V, workload.D, dtype=dtype, device=device, generator=on_device)
    if workload.max_norm is not None:
        low, high = NORMS[workload.over]
        norms = torch.linalg.vector_norm(table, dim=1, keepdim=True, dtype=torch.float32)
        wanted = torch.empty_like(norms).uniform_(low, high, generator=on_device) * workload.max_norm
        table.mul_((wanted / norms).to(dtype))
    pristine = None if workload.max_norm is None else table.clone()
    return Inputs(workload, table.requires_grad_(), indices, fresh, pristine, indices.unique().numel())


def with_gradients(inputs: Inputs, seed: int = 1) -> Inputs:
    """The same, with gradients of the outputs, every row another."""
    weight = inputs.weight
    generator = Generator(weight.device).manual_seed(seed)
    shape = (*inputs.indices.shape, weight.shape[1])
    timed = torch.randn(shape, dtype=weight.dtype, device=weight.device, generator=generator)
    whole = torch.empty_like(timed).random_(-LARGEST, LARGEST + 1, generator=generator)
    return replace(inputs, grad_output=timed, fresh_grad_output=whole)


def bytes_needed(workload: Workload, lookups: int) -> int:
    """About the memory that it takes to check and time so many lookups, each of which keeps its output."""
    table = workload.V * workload.D * workload.itemsize
    copies = 1 if workload.max_norm is None else 4
    return copies * table + (lookups + 3) * workload.output_bytes
