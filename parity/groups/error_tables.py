"""errors: complex tables, which have no gradient, have derivatives of the other kind."""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..cases import feature
from ..compare import require, same, same_bits
from ..subject import Implementation


def rows(device: str) -> Tensor:
    """A table [4, 3] in which every row's norm is over 1."""
    return torch.arange(1.0, 13, device=device).reshape(4, 3)


def three(device: str) -> Tensor:
    """Indices of rows of it."""
    return torch.tensor([1, 2, 1], device=device)


def tangent_rows(subject: Implementation, **options: float) -> Tensor:
    """Mismatch unless a complex table with a tangent gives the rows of both; the table afterwards."""
    weight, tangent = rows(subject.device).to(torch.complex64), rows(subject.device).to(torch.complex64) * 1j
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(
            subject.call(three(subject.device), forward_ad.make_dual(weight, tangent), **options)
        )
        require(found.tangent is not None, "there is no derivative")
        same_bits(found.primal, weight[three("cpu")], "what is looked up")
        same_bits(found.tangent, tangent[three("cpu")], "its derivative")
    return weight


@feature("errors", "complex-tangent")
def complex_tangent(subject: Implementation) -> None:
    """Forward-mode derivatives of complex tables are the tangent's rows."""
    tangent_rows(subject)


@feature("errors", "complex-tangent-max_norm", needs="cpu")
def complex_tangent_max_norm(subject: Implementation) -> None:
    """With max_norm too, which scales the table, forward-mode derivatives of complex tables are the tangent's rows."""
    weight = tangent_rows(subject, max_norm=9.0)
    scaled = (weight.cpu() != rows("cpu")).any(1).tolist()
    same(scaled, [False, False, True, False], "rows scaled")
