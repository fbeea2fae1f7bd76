"""errors: indices outside [0, V), and what they leave behind.

On an accelerator torch's own way is an assertion on the device, which ends the process: tables there are not asked.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..cases import dtype_of, feature, product
from ..compare import as_stock, describe, raised, require, same, same_bits, same_error
from ..subject import Implementation, Missing

RANGE = "index out of range in self"
NO_ROWS = "index_select(): self indexing axis dim should be positive"
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


VALUES = (
    # the low half of the two after V is a good index
    *product(value=(-1, -V, V, 2**32 + 1, -(2**32) + 1, MOST, LEAST), dtype=("int64",)),
    *product(value=(-1, 2**31 - 1, -(2**31)), dtype=("int32",)),
)


def unchanged(weight: Tensor, before: Tensor) -> None:
    """Mismatch if the table has other bits, or its version was counted up."""
    same_bits(weight, before, "the table after the error")
    same(weight._version, 0, "version of the table after the error")


@feature("errors", "index-range", claim="same error", cases=VALUES, needs="cpu")
def index_range(subject: Implementation, value: int, dtype: str) -> None:
    """An index outside [0, V), the least and the greatest of its dtype included, is an IndexError; negative ones do
    not count from the end."""
    indices = torch.tensor([0, value], dtype=dtype_of(dtype), device=subject.device)
    same_error(lambda: subject.call(indices, full(subject.device)), IndexError, RANGE)


@feature("errors", "index-range-padding", claim="same error", cases=product(value=(-1, V)), needs="cpu")
def index_range_padding(subject: Implementation, value: int) -> None:
    """An index that equals padding_idx before or after it was wrapped past the table is out of range like others."""
    indices = torch.tensor([value], device=subject.device)
    same_error(lambda: subject.call(indices, full(subject.device), padding_idx=-1), IndexError, RANGE)


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


UNCHANGED = (
    *product(value=(-1, V, MOST, LEAST), trained=(True,)),
    *product(value=(-1, V), trained=(True,), place=(700,)),
    *product(value=(V,), dtype=("float16", "bfloat16", "float32")),
)


@feature("errors", "index-changes-nothing", claim="same error", deviation=5, cases=UNCHANGED, needs="cpu")
def index_changes_nothing(
    subject: Implementation, value: int, trained: bool = False, dtype: str = "float32", place: int | None = None
) -> None:
    """With max_norm a bad index is found before any row is scaled: the table and its version stay as they are."""
    weight = full(subject.device, dtype).requires_grad_(trained)
    indices = torch.tensor([3, value, 5], device=subject.device)
    if place is not None:
        indices = many(subject.device, (1000,), place, value)
    error = refused(lambda: subject.call(indices, weight, max_norm=1.0))
    require(isinstance(error, IndexError), f"raised {describe(error)}, should be an IndexError")
    stock, left = stock_error(indices, weight, {"max_norm": 1.0})
    changed = int((weight != 9).any(1).sum())
    same_left = torch.equal(weight.detach().cpu(), left)
    as_stock(changed and same_left and is_stocks(error, stock), f"{changed} rows were scaled before it raised {error}")
    unchanged(weight, full("cpu", dtype))


@feature("errors", "index-then-good", cases=product(max_norm=(None, 50.0)), needs="cpu")
def index_then_good(subject: Implementation, max_norm: float | None) -> None:
    """After the error the table can be looked up and trained."""
    weight = full(subject.device).requires_grad_()
    refused(lambda: subject.call(torch.tensor([50], device=subject.device), weight, max_norm=max_norm))
    subject.call(torch.tensor([3, 3], device=subject.device), weight, max_norm=max_norm).sum().backward()
    require(weight.grad is not None, "the table has no gradient")
    gradient = torch.as_tensor(weight.grad).cpu()
    same_bits(gradient, torch.zeros(V, 2).index_fill(0, torch.tensor(3), 2.0), "gradient")


@feature("errors", "no-rows", claim="same error", cases=product(shape=((), (2,), (2, 2))), needs="cpu")
def no_rows(subject: Implementation, shape: tuple[int, ...]) -> None:
    """A table without rows has nothing to look up: a RuntimeError."""
    indices = torch.zeros(shape, dtype=torch.int64, device=subject.device)
    same_error(lambda: subject.call(indices, torch.empty(0, 3, device=subject.device)), RuntimeError, NO_ROWS)


@feature("errors", "no-rows-max_norm", claim="same error", deviation=5, needs="cpu")
def no_rows_max_norm(subject: Implementation) -> None:
    """With max_norm too, a lookup in a table without rows is that RuntimeError."""
    indices, weight = torch.zeros(2, dtype=torch.int64, device=subject.device), torch.empty(0, 3, device=subject.device)
    error = refused(lambda: subject.call(indices, weight, max_norm=1.0))
    as_stock(is_stocks(error, stock_error(indices, weight, {"max_norm": 1.0})[0]), f"raises {describe(error)}")
    require(isinstance(error, RuntimeError) and NO_ROWS in str(error), f"raised {describe(error)}")


@feature("errors", "no-rows-empty", cases=product(max_norm=(None, 1.0), dtype=("int32", "int64")))
def no_rows_empty(subject: Implementation, max_norm: float | None, dtype: str) -> None:
    """A table without rows takes an empty input."""
    indices = torch.empty(2, 0, dtype=dtype_of(dtype), device=subject.device)
    out = subject.call(indices, torch.empty(0, 3, device=subject.device), max_norm=max_norm)
    same_bits(out, torch.empty(2, 0, 3), "what is looked up")
