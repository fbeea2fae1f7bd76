"""Derivatives of derivatives, and in forward mode."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad, grad, gradcheck, gradgradcheck
from torch.nn import functional as F

from .. import oracle
from ..cases import Parameters, dtype_of, feature, product
from ..compare import as_stock, describe, numpy_of, require, same, same_bits, within
from ..inputs import make_indices
from ..small import PADDING, D, V, expected, gradient, indices, table
from ..subject import Implementation
from .autograd import mechanics

OPTIONS: tuple[Parameters, ...] = ({}, {"padding_idx": PADDING})


def _check(subject: Implementation, shape: tuple[int, ...], outer_sparse: bool = False, **options: Any) -> None:
    """The gradient of grad_output, through the table's gradient, against the oracle."""
    weight = table(subject.device, torch.float64)
    looked_up = make_indices("zipf", shape, V, torch.Generator().manual_seed(0)).to(subject.device)
    grad_output = torch.randn(*shape, D, dtype=torch.float64, device=subject.device, requires_grad=True)
    outer = torch.randn(V, D, dtype=torch.float64, device=subject.device)

    def twice(out: Tensor) -> Tensor:
        first, *_ = grad(out, weight, grad_output, create_graph=True)
        same(first.is_sparse, bool(options.get("sparse")), "whether the first gradient is sparse")
        return grad(first, grad_output, outer.to_sparse(1) if outer_sparse else outer)[0]

    out = subject.call(looked_up, weight, **options)
    try:
        found = twice(out)
    except (RuntimeError, IndexError) as error:
        stock = _refusal(lambda: twice(F.embedding(looked_up, weight, **options)))
        as_stock(stock == describe(error), f"raises as stock does: {stock}")
        raise
    scale, padding = bool(options.get("scale_grad_by_freq")), options.get("padding_idx")
    arguments = outer.cpu().numpy(), looked_up.cpu().numpy(), padding
    value = oracle.gradient_of_gradient(*arguments, scale)
    # a copy is exact, a division is a rounding, and so is the reciprocal that may stand for it
    bound = 2.02 * oracle.ROUNDOFF["float64"] * np.abs(value) * scale
    if scale:
        unscaled = oracle.gradient_of_gradient(*arguments, False)
        close = np.abs(numpy_of(found) - unscaled) <= 1e-12
        as_stock(close.all() and not np.allclose(value, unscaled), "leaves 1/count out")
    within(numpy_of(found), value, bound, "gradient of the gradient")


def _refusal(call: Callable[[], object]) -> str | None:
    """What the call raises, if it does."""
    try:
        call()
    except Exception as error:
        return describe(error)
    return None


@mechanics(
    "double-backward",
    dense=product(shape=((2, 3), (7,)), padding_idx=(None, PADDING)),
    sparse=product(shape=((2, 3),), padding_idx=(None, PADDING)),
)
def double_backward(subject: Implementation, **options: Any) -> None:
    """The gradient of the output's gradient is the rows at the indices, zeros for padding, bit for bit."""
    _check(subject, **options)


@feature("dense-gradient", "double-backward-scaled", "bound", product(padding_idx=(None, PADDING)), deviation=3)
def double_backward_scaled(subject: Implementation, **options: Any) -> None:
    """With scale_grad_by_freq the second derivative is divided by the counts too."""
    _check(subject, (7,), scale_grad_by_freq=True, **options)


@feature("sparse-gradient", "double-backward-scaled", claim="bound", deviation=2)
def double_backward_scaled_sparse(subject: Implementation) -> None:
    """With scale_grad_by_freq a sparse gradient has a derivative, divided by the counts."""
    _check(subject, (7,), scale_grad_by_freq=True, sparse=True)


@mechanics("double-backward-empty", dense=product(shape=((0,), (2, 0))), sparse=product(shape=((0,),)), deviation=3)
def double_backward_empty(subject: Implementation, **options: Any) -> None:
    """An empty input has a second derivative, an empty one."""
    _check(subject, **options)


@mechanics("double-backward-0-d", dense=({}, {"padding_idx": PADDING}), sparse=({},))
def double_backward_scalar(subject: Implementation, **options: Any) -> None:
    """An index without dimensions has a second derivative."""
    _check(subject, (), **options)


@feature("sparse-gradient", "double-backward-0-d-padding", deviation=4)
def double_backward_scalar_padding(subject: Implementation) -> None:
    """A sparse gradient of an index without dimensions has a derivative where there is a padding_idx."""
    _check(subject, (), sparse=True, padding_idx=PADDING)


@feature("sparse-gradient", "double-backward-of-sparse", cases=OPTIONS)
def double_backward_of_sparse(subject: Implementation, **options: Any) -> None:
    """What arrives for a sparse gradient in a double backward may be sparse as well."""
    _check(subject, (7,), outer_sparse=True, sparse=True, **options)


@feature(
    "sparse-gradient",
    "double-backward-through",
    cases=product(operation=("to_dense", "sum", "values"), index_dtype=("int32", "int64")),
)
def double_backward_through(subject: Implementation, operation: str, index_dtype: str) -> None:
    """Operations on a sparse gradient are differentiated through."""
    looked_up, weight = indices(subject.device, dtype_of(index_dtype)), table(subject.device, torch.float64)
    grad_output = gradient(subject.device, torch.float64).requires_grad_()
    (first,) = grad(subject.call(looked_up, weight, sparse=True), weight, grad_output, create_graph=True)
    dense = torch.zeros(V, D, dtype=torch.float64, device=subject.device)
    dense = dense.index_add(0, looked_up.flatten(), grad_output.flatten(0, 1))
    if operation == "sum":
        found, wanted = torch.sparse.sum(first), dense.sum()
    else:
        found, wanted = first.to_dense() if operation == "to_dense" else first.coalesce().values(), dense
    pair = [grad(x.square().sum(), grad_output)[0] for x in (found, wanted)]
    same_bits(pair[0], pair[1], "second derivative")


@feature("dense-gradient", "third-derivative", cases=OPTIONS)
def third_derivative(subject: Implementation, **options: Any) -> None:
    """The second derivative has a derivative, a sum over the lookups again."""
    looked_up, weight = indices(subject.device), table(subject.device)
    grad_output, outer = gradient(subject.device).requires_grad_(), table(subject.device)
    (first,) = grad(subject.call(looked_up, weight, **options), weight, grad_output, create_graph=True)
    (second,) = grad(first, grad_output, outer, create_graph=True)
    again = gradient(subject.device)
    (found,) = grad(second, outer, again)
    same_bits(found + 0.0, expected(looked_up, again, **options) + 0.0, "third derivative")


# Some rows of the small table are longer than that, which the tangent must not see.
SCALING = 1.75
FORWARD: tuple[Parameters, ...] = (*OPTIONS, {"scale_grad_by_freq": True}, {"dtype": "bfloat16"})
RENORMED = product(max_norm=(SCALING,), dtype=("float32", "bfloat16"))


@mechanics("forward-mode", dense=(*FORWARD, *RENORMED), sparse=({}, {"max_norm": SCALING}))
def forward_mode(subject: Implementation, dtype: str = "float32", **options: Any) -> None:
    """In forward mode the tangent is looked up like the table: the padding row too, not scaled, not renormed."""
    weight, tangent = (table(subject.device, dtype_of(dtype)).detach() for _ in range(2))
    looked_up, before = indices(subject.device), weight.clone()
    with forward_ad.dual_level():
        out = subject.call(looked_up, forward_ad.make_dual(weight, tangent), **options)
        primal, derivative = forward_ad.unpack_dual(out)
    same_bits(primal, weight[looked_up], "output")
    changed = (weight != before).any(1)[looked_up]
    same(bool(changed.any() and not changed.all()), "max_norm" in options, "some rows were scaled, not all")
    require(derivative is not None, "the output has no tangent")
    same_bits(derivative, tangent[looked_up], "tangent")


@feature(
    "dense-gradient",
    "gradcheck",
    claim="bound",
    cases=(
        *({"mode": mode} for mode in ("reverse", "forward", "batched")),
        {"mode": "reverse", "max_norm": 100.0},
        {"mode": "reverse", "padding_idx": 1},
    ),
)
def check_first_derivative(subject: Implementation, mode: str, **options: Any) -> None:
    """torch.autograd.gradcheck agrees while no lookup is of the padding row, whose gradient is left out by design."""
    looked_up = indices(subject.device)
    gradcheck(
        lambda weight: subject.call(looked_up, weight, **options),
        table(subject.device, torch.float64),
        check_forward_ad=mode == "forward",
        check_backward_ad=mode != "forward",
        check_undefined_grad=False,
        check_batched_grad=mode == "batched",
        fast_mode=True,
    )


def _second(subject: Implementation, mode: str = "reverse", fail: bool = True, **options: Any) -> bool:
    looked_up = torch.tensor([0, 2, 2], device=subject.device)
    weight = torch.randn(3, 2, dtype=torch.float64, device=subject.device, requires_grad=True)
    return gradgradcheck(
        lambda w: subject.call(looked_up, w, **options),
        weight,
        check_undefined_grad=False,
        check_fwd_over_rev=mode == "forward-over-reverse",
        check_rev_over_rev=mode != "forward-over-reverse",
        check_batched_grad=mode == "batched",
        fast_mode=True,
        raise_exception=fail,
    )


@feature(
    "dense-gradient",
    "gradgradcheck",
    claim="bound",
    cases=(
        *({"mode": mode} for mode in ("reverse", "forward-over-reverse", "batched")),
        {"mode": "reverse", "padding_idx": PADDING},
    ),
)
def check_second_derivative(subject: Implementation, **c: Any) -> None:
    """torch.autograd.gradgradcheck agrees, with padding too: the gradient is linear, and its derivative is true."""
    _second(subject, **c)


@feature("dense-gradient", "gradgradcheck-scaled", claim="bound", deviation=3)
def check_second_derivative_scaled(subject: Implementation) -> None:
    """torch.autograd.gradgradcheck agrees with scale_grad_by_freq and duplicates too."""
    if not _second(subject, fail=False, scale_grad_by_freq=True):
        as_stock(_second(subject), "agrees without scale_grad_by_freq alone, as stock does: 1/count is left out")
        _second(subject, scale_grad_by_freq=True)
