"""errors: one bad index among many, and what it leaves behind.

On an accelerator torch's own way is an assertion on the device, which ends the process: tables there are not asked.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..cases import dtype_of, feature, product
from ..compare import describe, raised, require, same, same_bits, same_error
from ..subject import Implementation, Missing

RANGE = "index out of range in self"
V = 41  # a number that the message has for no other reason
MOST, LEAST = 2**63 - 1, -(2**63)


def full(device: str, dtype: str = "float32", D: int = 2) -> Tensor:
    """A table in which every row's norm is over 1."""
    return torch.full((V, D), 9.0, device=device).to(dtype_of(dtype))


def stock_error(indices: Tensor, weight: Tensor, options: dict[str, Any]) -> tuple[Exception, Tensor]:
    """What torch raises for the same call on the CPU, and its table after that."""
    weight = weight.detach().cpu().clone().requires_grad_(weight.requires_grad)
    return raised(lambda: F.embedding(indices.cpu(), weight, **options)), weight.detach()


def absent(kind: type | None, text: str) -> bool:
    """Whether an error says that an argument, or what it asks for, is not offered."""
    return kind is NotImplementedError or (kind is TypeError and "unexpected keyword argument" in text)


def refused(call: Callable[[], object]) -> Exception:
    """What the call raises; Missing where that says that it does not offer this, which torch says of no index."""
    error = raised(call)
    if absent(type(error), str(error)):
        raise Missing(describe(error))
    return error


def is_stocks(error: Exception, stock: Exception) -> bool:
    """Whether both say the same, no more and no less."""
    return type(error) is type(stock) and str(error) == str(stock)


def unchanged(weight: Tensor, before: Tensor) -> None:
    """Mismatch if the table has other bits, or its version was counted up."""
    same_bits(weight, before, "the table after the error")
    same(weight._version, 0, "version of the table after the error")


# Of many lookups, past what one block of threads or one tile takes.
FAR = product(value=(-1, V), shape=((1000,), (30, 40)), place=(700, -1))


def many(device: str, shape: tuple[int, ...], place: int, value: int) -> Tensor:
    """Good indices of this shape, but for this value at this place of them all."""
    flat = torch.arange(torch.Size(shape).numel()) % V
    flat[place] = value
    return flat.view(shape).to(device)


@feature("errors", "index-range-far", claim="same error", cases=FAR, needs="cpu")
def index_range_far(subject: Implementation, value: int, shape: tuple[int, ...], place: int) -> None:
    """One index outside [0, V) among a thousand good ones is an IndexError wherever it stands."""
    indices = many(subject.device, shape, place, value)
    same_error(lambda: subject.call(indices, full(subject.device)), IndexError, RANGE)


OPTIONS: tuple[dict[str, Any], ...] = ({"padding_idx": 1}, {"scale_grad_by_freq": True}, {"sparse": True})


@feature("errors", "index-range-far-trained", claim="same error", cases=({}, *OPTIONS), needs="cpu")
def index_range_far_trained(subject: Implementation, **options: Any) -> None:
    """In a table that is trained too, whatever the options, one bad index among many is an IndexError at the lookup."""
    indices, weight = many(subject.device, (30, 40), 700, V), full(subject.device).requires_grad_()
    same_error(lambda: subject.call(indices, weight, **options), IndexError, RANGE)


@feature("errors", "index-then-good", cases=product(max_norm=(None, 50.0)), needs="cpu")
def index_then_good(subject: Implementation, max_norm: float | None) -> None:
    """After the error the table can be looked up and trained."""
    weight = full(subject.device).requires_grad_()
    refused(lambda: subject.call(torch.tensor([50], device=subject.device), weight, max_norm=max_norm))
    subject.call(torch.tensor([3, 3], device=subject.device), weight, max_norm=max_norm).sum().backward()
    require(weight.grad is not None, "the table has no gradient")
    gradient = torch.as_tensor(weight.grad).cpu()
    same_bits(gradient, torch.zeros(V, 2).index_fill(0, torch.tensor(3), 2.0), "gradient")
