"""Function transforms, torch.func, of a lookup."""

from typing import Any

import torch
from torch import Tensor
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from ..cases import Parameters, feature, product
from ..compare import as_stock, numpy_of, same, same_bits, within
from ..small import PADDING, check_gradient, expected, gradient, indices, lookup_of, table
from ..subject import Implementation
from ..training import STOCK
from .double_backward import SCALING

OPTIONS: tuple[Parameters, ...] = ({}, {"padding_idx": PADDING}, {"scale_grad_by_freq": True})
PADDED = {"over": "both", "padding_idx": PADDING}
REVERSE = [{"by": by, **c} for by in ("grad", "vjp", "jacrev") for c in OPTIONS]


@feature(
    "transforms", "vmap", cases=[*product(over=("indices", "table", "both")), {"over": "both", "padding_idx": PADDING}]
)
def vmap_over(subject: Implementation, over: str, **options: Any) -> None:
    """torch.func.vmap maps a lookup over indices, over tables, and over both together."""
    tables = torch.randn(2, 6, 3, device=subject.device)
    looked_up, lookup = indices(subject.device), lookup_of(subject, **options)
    if over == "indices":
        found, wanted = vmap(lookup, (0, None))(looked_up, tables[0]), tables[0][looked_up]
    elif over == "table":
        found, wanted = vmap(lookup, (None, 0))(looked_up, tables), tables[:, looked_up]
    else:
        found, wanted = vmap(lookup)(looked_up, tables), torch.stack([tables[k][looked_up[k]] for k in range(2)])
    same_bits(found, wanted, "output")


@feature("transforms", "vmap-dimensions", cases=product(how=("in_dims", "out_dims", "nested", "int32")))
def vmap_dimensions(subject: Implementation, how: str) -> None:
    """vmap takes any of the dimensions, gives it back anywhere, nests, and takes int32 indices."""
    tables, looked_up, lookup = torch.randn(4, 6, 3, device=subject.device), indices(subject.device), lookup_of(subject)
    if how == "in_dims":
        found, wanted = vmap(lookup, (1, None))(looked_up, tables[0]), tables[0][looked_up.T]
        same_bits(vmap(lookup, (None, 2))(looked_up, tables.movedim(0, 2)), tables[:, looked_up], "over the table")
    elif how == "out_dims":
        found, wanted = vmap(lookup, (0, None), 1)(looked_up, tables[0]), tables[0][looked_up].movedim(0, 1)
    elif how == "nested":
        found, wanted = vmap(vmap(lookup, (0, None)), (None, 0))(looked_up, tables), tables[:, looked_up]
    else:
        found, wanted = vmap(lookup, (0, None))(looked_up.int(), tables[0]), tables[0][looked_up]
    same_bits(found, wanted, "output")


@feature("transforms", "vmap-of-max_norm", cases=product(over=("table", "both")))
def vmap_of_max_norm(subject: Implementation, over: str) -> None:
    """Under vmap over tables max_norm scales the rows of every one of them."""
    tables, looked_up = torch.randn(2, 6, 3, dtype=torch.float64, device=subject.device) * 3, indices(subject.device)
    copies = tables.clone()
    dims = (None if over == "table" else 0, 0)
    found = vmap(lookup_of(subject, max_norm=1.0), dims)(looked_up, tables)
    separate = [STOCK.call(looked_up if over == "table" else looked_up[k], copies[k], max_norm=1.0) for k in range(2)]
    within(numpy_of(found), numpy_of(torch.stack(separate)), 1e-14, "output")
    within(numpy_of(tables), numpy_of(copies), 1e-14, "tables afterwards")


@feature("transforms", "vmap-over-indices-of-max_norm", claim="bound", deviation=9)
def vmap_over_indices_of_max_norm(subject: Implementation) -> None:
    """vmap over the indices alone accepts max_norm."""
    weight, looked_up = torch.randn(6, 3, dtype=torch.float64, device=subject.device) * 3, indices(subject.device)
    copy = weight.clone()
    try:
        found = vmap(lookup_of(subject, max_norm=1.0), (0, None))(looked_up, weight)
    except RuntimeError as error:
        as_stock("is not possible because there exists a Tensor" in str(error), "raises, as stock does")
        raise
    within(numpy_of(found), numpy_of(STOCK.call(looked_up, copy, max_norm=1.0)), 1e-14, "output")
    within(numpy_of(weight), numpy_of(copy), 1e-14, "table afterwards")


@feature(
    "transforms",
    "gradients",
    cases=({"by": "jacfwd"}, *({"by": by, **c} for by in ("grad", "vjp", "jacrev") for c in OPTIONS)),
)
def gradients(subject: Implementation, by: str, **options: Any) -> None:
    """torch.func.grad, vjp, jacrev and jacfwd give the gradient that backward() gives."""
    looked_up, weight = indices(subject.device), table(subject.device, torch.float64).detach()
    grad_output, lookup = gradient(subject.device, torch.float64), lookup_of(subject, **options)

    def loss(w: Tensor) -> Tensor:
        return (lookup(looked_up, w) * grad_output).sum()

    if by == "vjp":
        (found,) = vjp(lambda w: lookup(looked_up, w), weight)[1](grad_output)
    else:
        found = {"grad": grad, "jacrev": jacrev, "jacfwd": jacfwd}[by](loss)(weight)  # type: ignore[operator]
    check_gradient(found, expected(looked_up, grad_output, **options))


@feature("transforms", "sparse-func-grad")
def sparse_func_grad(subject: Implementation) -> None:
    """torch.func.grad of a sparse lookup gives a sparse gradient."""
    looked_up, grad_output = indices(subject.device), gradient(subject.device)
    lookup, weight = lookup_of(subject, sparse=True), table(subject.device).detach()
    found = grad(lambda w: (lookup(looked_up, w) * grad_output).sum())(weight)
    same(found.layout, torch.sparse_coo, "layout")
    check_gradient(found, expected(looked_up, grad_output))


@feature("transforms", "jvp", cases=(*OPTIONS, {"max_norm": SCALING}))
def tangents(subject: Implementation, **options: Any) -> None:
    """torch.func.jvp looks the tangent up, padding row and all, and not scaled where max_norm scales the table."""
    looked_up, weight = indices(subject.device), table(subject.device).detach()
    tangent, before, lookup = table(subject.device).detach(), weight.clone(), lookup_of(subject, **options)
    out, found, *_ = jvp(lambda w: lookup(looked_up, w), (weight,), (tangent,))
    same_bits(out, weight[looked_up], "output")
    same(not torch.equal(weight, before), "max_norm" in options, "rows were scaled")
    same_bits(found, tangent[looked_up], "tangent")


@feature("transforms", "hessian", claim="bound")
def second_order(subject: Implementation) -> None:
    """torch.func.hessian of a loss is that of the same loss over an indexed table."""
    looked_up, weight = indices(subject.device), table(subject.device, torch.float64).detach()
    weights, lookup = gradient(subject.device, torch.float64), lookup_of(subject)
    found, wanted = (
        hessian(lambda w, f=f: (f(w).pow(3) * weights).sum())(weight)
        for f in (lambda w: lookup(looked_up, w), lambda w: w[looked_up])
    )
    within(numpy_of(found), numpy_of(wanted), 1e-11, "hessian")


@feature("transforms", "per-sample-gradients", cases=({}, {"padding_idx": PADDING}))
def per_sample_gradients(subject: Implementation, **options: Any) -> None:
    """vmap over grad gives the gradient of every sample."""
    looked_up, weight, grad_output = indices(subject.device), table(subject.device).detach(), gradient(subject.device)
    lookup = lookup_of(subject, **options)
    one = grad(lambda w, i, g: (lookup(i, w) * g).sum())
    found = vmap(one, (None, 0, 0))(weight, looked_up, grad_output)
    wanted = [expected(i, g, **options) for i, g in zip(looked_up, grad_output, strict=True)]
    check_gradient(found, torch.stack(wanted))


@feature("transforms", "batched-gradients", cases=OPTIONS)
def batched_gradients(subject: Implementation, **options: Any) -> None:
    """autograd.grad with is_grads_batched gives the gradient for every one of several output gradients."""
    looked_up, weight = indices(subject.device), table(subject.device)
    vectors = torch.stack([gradient(subject.device) for _ in range(3)])
    out = subject.call(looked_up, weight, **options)
    (found,) = torch.autograd.grad(out, weight, vectors, is_grads_batched=True)
    check_gradient(found, torch.stack([expected(looked_up, v, **options) for v in vectors]))
