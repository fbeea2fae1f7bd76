"""A whole lookup, run forward and backward and compared with the oracle, and with stock."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from . import oracle
from .cases import dtype_of
from .compare import as_stock, bits_of, describe, numpy_of, require, same, within
from .configuration import Configuration, Inputs, make_inputs
from .subject import Implementation, Mismatch, Missing


def check(subject: Implementation, c: Configuration, what: str = "all") -> str | None:
    """Compares "output" (and the table after max_norm), "gradient" or "all"; notes where stock is out of bounds."""
    backward = what != "output" and c.differentiable
    x = make_inputs(c, subject.device)
    before, indices_before = bits_of(x.weight), x.indices.clone()
    leaf = x.weight.detach().requires_grad_(backward)
    out = None
    try:
        out = subject.call(x.indices, leaf, **c.options)
        grad = torch.autograd.grad(out, leaf, x.grad_output)[0] if backward else None
    except Missing:
        raise
    except Exception as error:
        if call_stock(c, x, before, backward) != f"stock raises {describe(error)}":
            raise
        # a backward that raises, where stock's does, is what deviations are about
        as_stock(out is not None, f"raises as stock does: {describe(error)}")
        if c.max_norm is None or c.D:  # rows without columns have not every norm
            raise
        return f"raises as stock does: {describe(error)}"
    require(torch.equal(x.indices, indices_before), "the call changed the indices")
    if what != "gradient":
        check_table(c, x, before)
        check_output(c, x, out)
    if grad is not None:
        check_gradient(c, x, grad)
    return second_opinion(c, x, before, backward)


def check_output(c: Configuration, x: Inputs, out: Tensor) -> None:
    """Rows of the table bit for bit, in a fresh contiguous tensor."""
    same(tuple(out.shape), (*c.shape, c.D), "shape of the output")
    require(out.is_contiguous(), f"the output's strides are {out.stride()}, should be contiguous")
    shared = out.untyped_storage().data_ptr() == x.weight.untyped_storage().data_ptr()
    require(not (out.numel() and shared), "the output shares the table's memory")
    same(out.dtype, x.weight.dtype, "dtype of the output")
    differ = bits_of(out) != bits_of(x.weight)[x.indices.cpu().long()]
    if differ.any():
        where = differ.nonzero()[0].tolist()
        raise Mismatch(f"output: {int(differ.sum())} of {differ.numel()} numbers are not the table's, first at {where}")


def check_table(c: Configuration, x: Inputs, before: Tensor) -> None:
    """Without max_norm no bit has changed; with it, the oracle's rows."""
    after = bits_of(x.weight)
    if c.max_norm is None:
        return require(torch.equal(after, before), "the lookup changed the table")
    expected = renormed(c, x, before)
    changed = (after != before).flatten(1).any(1).numpy() if c.D else np.zeros(c.V, bool)
    stray = np.flatnonzero(changed & ~(expected.bound > 0).any(1))
    require(not stray.size, f"max_norm changed a row that was not looked up, or is not over it: {stray[:1]}")
    within(numpy_of(x.weight), *settled(c, expected, before, changed), "table after max_norm")
    return None


def settled(c: Configuration, expected: oracle.Renorm, before: Tensor, changed: Any) -> tuple[Any, Any]:
    """Value and bound, once it is seen which of the undecided rows an implementation took for too large."""
    left = (expected.undecided & ~changed)[:, None]
    return np.where(left, numpy_of(as_table(c, before)), expected.value), np.where(left, 0, expected.bound)


def as_table(c: Configuration, bits: Tensor) -> Tensor:
    """The numbers of bits_of()."""
    table = bits.view(dtype_of(c.dtype))
    return table.squeeze(-1) if table.is_complex() else table


def renormed(c: Configuration, x: Inputs, before: Tensor) -> oracle.Renorm:
    """The oracle's table."""
    assert c.max_norm is not None
    table = numpy_of(as_table(c, before))
    return oracle.renorm(table, x.indices.cpu().long().numpy(), c.max_norm, c.norm_type, c.dtype)


def check_gradient(c: Configuration, x: Inputs, grad: Tensor) -> None:
    """Within its bound of the oracle's; 16-bit sums may be as poor as the type, for those who do as stock does."""
    same(grad.dtype, x.weight.dtype, "dtype of the gradient")
    same(tuple(grad.shape), (c.V, c.D), "shape of the gradient")
    wanted = torch.sparse_coo if c.sparse else torch.strided
    same(grad.layout, wanted, "layout of the gradient")
    require(c.sparse or grad.is_contiguous(), f"the gradient's strides are {grad.stride()}, should be contiguous")
    if grad.layout == torch.sparse_coo and grad.is_coalesced():
        rows = grad._indices()[0]
        require((rows[1:] > rows[:-1]).all(), "the gradient is flagged coalesced, and its rows do not ascend")
    expected = expected_gradient(c, x)
    found = numpy_of(grad)
    try:
        within(found, expected.value, expected.bound, "gradient")
    except Mismatch as error:
        stock = call_stock(c, x, bits_of(x.weight), True)
        if not isinstance(stock, str):
            as_stock(np.array_equal(found, stock[1]), f"as far off as stock: {error}")
            as_stock(narrow(c, expected, found, stock[1]), f"sums in {c.dtype}, as stock does on a CPU")
        raise


def expected_gradient(c: Configuration, x: Inputs) -> oracle.Gradient:
    """The oracle's gradient. Sums of integers are exact; quotients not, which may be taken before the sum or after."""
    padding = None if c.padding_idx is None else c.padding_idx % c.V
    grad_output, indices = numpy_of(x.grad_output), x.indices.cpu().long().numpy()
    expected = oracle.gradient(grad_output, indices, c.V, padding, c.scale_grad_by_freq, c.dtype)
    if not c.integers or c.scale_grad_by_freq:
        return expected
    nearest = numpy_of(torch.from_numpy(expected.value).to(dtype_of(c.dtype)))
    return oracle.Gradient(nearest, np.zeros_like(nearest))


def narrow(c: Configuration, expected: oracle.Gradient, found: Any, stock: Any) -> bool:
    """Whether a 16-bit gradient is about as near as stock's, row by row: then it is summed in its own type too.

    Within four times stock's root mean square error, besides the bound; no excuse where sums are exact.
    """
    exact = c.integers and not c.scale_grad_by_freq
    if c.dtype not in ("float16", "bfloat16") or exact or not np.isfinite(found).all():
        return False
    off, stocks, bound = (
        np.sqrt((d**2).mean(1)) for d in (found - expected.value, stock - expected.value, expected.bound)
    )
    return bool((off <= 4 * stocks + bound).all())


def call_stock(c: Configuration, x: Inputs, before: Tensor, backward: bool) -> tuple[Tensor, Any] | str:
    """The table after F.embedding and its gradient, or what it raises."""
    table = as_table(c, before.clone()).to(x.weight.device)
    leaf = table.detach().requires_grad_(backward)
    try:
        out = F.embedding(x.indices, leaf, **c.options)
        return table, numpy_of(torch.autograd.grad(out, leaf, x.grad_output)[0]) if backward else None
    except Exception as error:
        return f"stock raises {describe(error)}"


def second_opinion(c: Configuration, x: Inputs, before: Tensor, backward: bool) -> str | None:
    """How stock fares with the same inputs, where that is worse than the oracle allows."""
    stock = call_stock(c, x, before, backward)
    if isinstance(stock, str):
        return stock
    notes, (table, grad) = [], stock
    if backward:
        gradient = expected_gradient(c, x)
        notes.append(_distance(grad, gradient.value, gradient.bound, "gradient"))
    if c.max_norm is not None and c.D:
        changed = (bits_of(table) != before).any(1).numpy()
        value, bound = settled(c, renormed(c, x, before), before, changed)
        notes.append(_distance(numpy_of(table), value, bound, "table after max_norm"))
    return "; ".join(filter(None, notes)) or None


def _distance(found: Any, value: Any, bound: Any, what: str) -> str:
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.nan_to_num(np.abs(found - value), nan=0.0)
        times = np.where(error > 0, error / bound, 0).max(initial=0)
    return f"stock's {what} is {times:.3g} times the bound away from float64" if times > 1 else ""


def lookup(subject: Implementation, what: str = "gradient", **parameters: Any) -> str | None:
    """Checks the configuration that the parameters make of the default one."""
    return check(subject, Configuration.of(parameters), what)
