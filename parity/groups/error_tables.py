"""errors: tables that a lookup cannot use, or not in this way."""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..cases import dtype_of, feature, product
from ..compare import as_stock, describe, fail, require, same, same_bits, same_error
from ..instruments.poison import poisoned_memory
from ..subject import Implementation, Missing
from .errors import rows, three

COMPLEX = "embedding does not support automatic differentiation for outputs with complex dtype."


@feature("errors", "integer-max_norm", claim="same error", cases=product(dtype=("int64", "uint8", "bool")), needs="cpu")
def integer_max_norm(subject: Implementation, dtype: str) -> None:
    """With max_norm a table of integers or booleans is a RuntimeError, as it has no norm."""
    weight = rows(subject.device).to(dtype_of(dtype))
    text = "norm(): input dtype should be either floating point or complex. Got "
    same_error(lambda: subject.call(three(subject.device), weight, max_norm=1.0), RuntimeError, text)


@feature("errors", "integer-max_norm-empty", needs="cpu")
def integer_max_norm_empty(subject: Implementation) -> None:
    """With max_norm a table of integers is fine as long as nothing is looked up."""
    weight, empty = rows(subject.device).long(), torch.empty(0, dtype=torch.int64, device=subject.device)
    same_bits(subject.call(empty, weight, max_norm=1.0), torch.empty(0, 3, dtype=torch.int64), "what is looked up")


@feature("errors", "expanded-max_norm", claim="same error", needs="cpu")
def expanded_max_norm(subject: Implementation) -> None:
    """With max_norm a table whose columns are one number in memory is a RuntimeError once a row is to be scaled."""
    weight = torch.full((4, 1), 9.0, device=subject.device).expand(4, 3)
    text = "more than one element of the written-to tensor refers to a single memory location"
    same_error(lambda: subject.call(three(subject.device), weight, max_norm=1.0), RuntimeError, text)


@feature("errors", "complex-gradient", claim="same error", cases=product(dtype=("complex64", "complex128")))
def complex_gradient(subject: Implementation, dtype: str) -> None:
    """A complex table that requires a gradient is a RuntimeError at the lookup."""
    weight = rows(subject.device).to(dtype_of(dtype)).requires_grad_()
    same_error(lambda: subject.call(three(subject.device), weight), RuntimeError, COMPLEX)


@feature("errors", "complex-no-gradient", cases=product(context=("no_grad", "inference_mode")))
def complex_no_gradient(subject: Implementation, context: str) -> None:
    """Where no gradients are recorded such a table can be looked up."""
    weight = rows(subject.device).to(torch.complex64).requires_grad_()
    with getattr(torch, context)():
        out = subject.call(three(subject.device), weight)
    same_bits(out, weight[three("cpu")], "what is looked up")


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


@feature("errors", "meta-indices", claim="same error", deviation=10, cases=product(max_norm=(None, 1.0)), needs="cpu")
def meta_indices(subject: Implementation, max_norm: float | None) -> None:
    """Indices on the meta device are an error in a table that is not, which is left as it is."""
    weight, error, out = rows(subject.device), None, None
    try:
        with poisoned_memory():
            out = subject.call(three("meta"), weight, max_norm=max_norm)
    except Missing:
        raise
    except Exception as found:
        # torch raises it too where it is to scale rows of a table that is not meta
        if isinstance(found, NotImplementedError) and (max_norm is None or "meta" not in str(found)):
            raise
        error = found
    same_bits(weight, rows("cpu"), "the table")
    same(weight._version, 0, "version of the table")
    if out is None:
        require(isinstance(error, RuntimeError), f"raised {describe(error or Missing())}, should be a RuntimeError")
        return
    unwritten = not out.is_meta and tuple(out.shape) == (3, 3) and bool(out.isnan().all())
    as_stock(max_norm is None and unwritten, "returns memory that nobody wrote")
    fail("returns " + ("a meta tensor" if out.is_meta else f"{out.flatten()[:3].tolist()}…"))


@feature("errors", "devices", claim="same error", cases=product(input=("cpu", "cuda")), needs="cuda")
def devices(subject: Implementation, input: str) -> None:
    """Indices on one device and a table on another are a RuntimeError."""
    elsewhere = "cpu" if input == "cuda" else subject.device
    indices = three(subject.device if input == "cuda" else "cpu")
    text = "Expected all tensors to be on the same device"
    same_error(lambda: subject.call(indices, rows(elsewhere)), RuntimeError, text)


@feature("errors", "meta-table", cases=product(shape=((), (1, 2))))
def meta_table(subject: Implementation, shape: tuple[int, ...]) -> None:
    """A lookup in a meta table has the right shape and dtype, and reads no index, so that none is out of range."""
    indices = torch.full(shape, 99, device=subject.device)
    out = subject.call(indices, torch.empty(4, 3, dtype=torch.float16, device="meta"))
    same((out.is_meta, out.dtype, tuple(out.shape)), (True, torch.float16, (*shape, 3)), "what is looked up")
