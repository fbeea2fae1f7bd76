"""Lookups under torch.func: vmap, grad, jvp and what is made of them."""

from torch import Tensor


def handles(input: Tensor, weight: Tensor) -> bool:
    """Whether a lookup is made here."""
    return False


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
    raise NotImplementedError
