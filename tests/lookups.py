"""Tables and indices that differ in what Triton makes other kernels for, and in what it must not."""

from collections.abc import Callable

import torch
from torch import Tensor


def table(V: int, D: int, dtype: torch.dtype = torch.float32, offset: int = 0) -> Tensor:
    """Random rows, which begin `offset` elements into their memory."""
    return torch.randn(V * D + offset).to(dtype)[offset:].view(V, D)


def indices(N: int, dtype: torch.dtype = torch.int64, offset: int = 0) -> Tensor:
    """Zeros; they too may begin elsewhere."""
    return torch.zeros(N + offset, dtype=dtype)[offset:]


TENSORS: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    "plain": lambda: (table(50, 64), indices(8)),
    "more lookups": lambda: (table(50, 64), indices(16)),
    "many lookups": lambda: (table(50, 64), indices(1000)),
    "one lookup": lambda: (table(50, 64), indices(1)),
    "other rows": lambda: (table(16, 64), indices(8)),
    "one row": lambda: (table(1, 64), indices(8)),
    "other columns": lambda: (table(50, 72), indices(8)),
    "one column": lambda: (table(50, 1), indices(8)),
    "odd columns": lambda: (table(50, 5), indices(8)),
    "bfloat16": lambda: (table(50, 64, torch.bfloat16), indices(8)),
    "float16": lambda: (table(50, 64, torch.float16), indices(8)),
    "int32 indices": lambda: (table(50, 64), indices(8, torch.int32)),
    "table off by an element": lambda: (table(50, 64, offset=1), indices(8)),
    "indices off by an element": lambda: (table(50, 64), indices(8, offset=1)),
    "rows apart": lambda: (table(50, 80)[:, :64], indices(8)),
    "columns apart": lambda: (table(50, 128)[:, ::2], indices(8)),
    "transposed": lambda: (table(64, 50).T, indices(8)),
    "indices apart": lambda: (table(50, 64), indices(16)[::2]),
    "indices expanded": lambda: (table(50, 64), indices(1).expand(8)),
    "indices 2-D": lambda: (table(50, 64), indices(8).view(2, 4)),
    "indices 0-D": lambda: (table(50, 64), indices(1)[0]),
}
