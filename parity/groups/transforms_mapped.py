"""Gradients of lookups under vmap: those that a loop over the samples, or over the tables, would give."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional as F

from ..cases import Parameters, feature, product
from ..compare import as_stock, describe, numpy_of, raised, require, same, same_bits, within
from ..small import PADDING, D, V, check_gradient, expected, gradient, lookup_of, table
from ..subject import Implementation, Missing
from .index_range import RANGE

Lookup = Callable[[Tensor, Tensor], Tensor]
OPTIONS: tuple[Parameters, ...] = ({}, {"padding_idx": PADDING}, {"scale_grad_by_freq": True})
# Two calls, which have rows in common, each in other numbers, and the padding row.
CALLS = ((0, 2, 2), (2, 4, 0))


def calls(device: str) -> Tensor:
    """Indices of two calls, [2, 3]."""
    return torch.tensor(CALLS, device=device)


def each(looked_up: Tensor, grad_output: Tensor, **options: Any) -> Tensor:
    """The gradient of every call, [2, V, D]."""
    return torch.stack([expected(i, g, **options) for i, g in zip(looked_up, grad_output, strict=True)])


@feature(
    "transforms",
    "gradients-of-calls",
    deviation=9,
    cases=[
        {"by": by, "over": over, **options}
        for by in ("backward", "grad", "per sample")
        for over in ("indices", "table", "both")
        for options in OPTIONS
    ],
)
def gradients_of_calls(subject: Implementation, by: str, over: str, **options: Any) -> None:
    """Gradients through vmap are those of one call after another: each call leaves its own padding out and counts its
    own indices, whether calls share a table or have one each."""
    looked_up, grad_output = calls(subject.device), gradient(subject.device)
    weight = torch.randn(2, V, D, device=subject.device)
    if over == "indices":
        weight = weight[0]
    elif over == "table":
        looked_up = looked_up[:1].expand(2, 3)
    dims = {"indices": (None, 0, 0), "table": (0, None, 0), "both": (0, 0, 0)}[over]
    wanted = each(looked_up, grad_output, **options)
    if over == "indices" and by != "per sample":
        wanted = wanted.sum(0)

    def run(lookup: Lookup) -> Tensor:
        def mapped(w: Tensor) -> Tensor:
            return vmap(lambda w, i, g: lookup(i, w) * g, dims)(w, args, grad_output).sum()

        args = looked_up[0] if over == "table" else looked_up
        if by == "per sample":
            return vmap(grad(lambda w, i, g: (lookup(i, w) * g).sum()), dims)(weight, args, grad_output)
        if by == "grad":
            return grad(mapped)(weight)
        leaf = weight.clone().requires_grad_()
        return torch.autograd.grad(mapped(leaf), leaf)[0]

    found = run(lookup_of(subject, **options))
    if not torch.equal(found, wanted):
        stock = run(lambda i, w: F.embedding(i, w, **options))
        joint = over == "indices"
        as_stock(
            torch.equal(found, stock), "counts all calls together" if joint else "masks the first table's padding alone"
        )
    check_gradient(found, wanted)


@feature("transforms", "per-sample-sparse", deviation=9, cases=product(over=("indices", "table", "both")))
def per_sample_sparse(subject: Implementation, over: str) -> None:
    """vmap over grad of a sparse lookup gives the gradient of every sample, in one sparse tensor."""
    looked_up, grad_output = calls(subject.device), gradient(subject.device)
    tables = torch.randn(2, V, D, device=subject.device)
    wanted = each(looked_up if over != "table" else looked_up[:1].expand(2, 3), grad_output)
    dims = {"indices": (None, 0, 0), "table": (0, None, 0), "both": (0, 0, 0)}[over]
    args = (tables[0] if dims[0] is None else tables), (looked_up[0] if dims[1] is None else looked_up), grad_output

    def run(lookup: Lookup) -> Tensor:
        return vmap(grad(lambda w, i, g: (lookup(i, w) * g).sum()), dims)(*args)

    lookup = lookup_of(subject, sparse=True)
    try:
        found = run(lookup)
    except (RuntimeError, NotImplementedError) as error:
        stock = raised(lambda: run(lambda i, w: F.embedding(i, w, sparse=True)))
        as_stock(describe(error) == describe(stock), "raises, as stock does")
        raise
    same(found.layout, torch.sparse_coo, "layout")
    check_gradient(found, wanted)


@feature("transforms", "per-sample-double-backward", deviation=3, cases=OPTIONS)
def per_sample_double_backward(subject: Implementation, **options: Any) -> None:
    """The gradient of the output's gradient, by vmap for every sample, is divided by the counts as the first is."""
    looked_up, weight = calls(subject.device), table(subject.device).detach()
    grad_output, outer = gradient(subject.device), gradient(subject.device, shape=(V,))
    lookup = lookup_of(subject, **options)

    def one(i: Tensor, g: Tensor) -> Tensor:
        return grad(lambda g: (grad(lambda w: (lookup(i, w) * g).sum())(weight) * outer).sum())(g)

    def wanted(**options: Any) -> Tensor:
        units = torch.eye(3, device=subject.device)[..., None].expand(3, 3, D)
        shares = torch.stack([torch.stack([expected(i, unit, **options)[:, 0] for unit in units]) for i in looked_up])
        return shares @ outer

    found = vmap(one)(looked_up, grad_output)
    if "scale_grad_by_freq" in options:
        as_stock(torch.equal(found, wanted()), "leaves 1/count out")
    same_bits(found + 0.0, wanted(**options) + 0.0, "second derivative")


@feature("transforms", "per-sample-thousand-ones", deviation=6, cases=product(dtype=("float16", "bfloat16", "float32")))
def per_sample_thousand_ones(subject: Implementation, dtype: str) -> None:
    """Of every sample's thousand gradients of one the sum is a thousand, in 16 bits too."""
    looked_up = torch.ones(2, 1000, dtype=torch.int64, device=subject.device)
    weight = torch.zeros(3, 2, device=subject.device, dtype=getattr(torch, dtype))

    def run(lookup: Lookup) -> Tensor:
        return vmap(grad(lambda w, i: lookup(i, w).sum()), (None, 0))(weight, looked_up)

    found = run(lookup_of(subject))
    as_stock(found[0, 1, 0] != 1000 and torch.equal(found, run(F.embedding)), f"the sum is {found[0, 1, 0]:g}")
    same(found.tolist(), 2 * [[[0, 0], [1000, 1000], [0, 0]]], "gradients")


@feature("transforms", "per-sample-max_norm", claim="bound", deviation=9)
def per_sample_max_norm(subject: Implementation) -> None:
    """vmap over grad of a lookup with max_norm scales the rows of all samples, once, and passes gradients through."""
    looked_up, grad_output = calls(subject.device), gradient(subject.device, torch.float64)
    weight = torch.randn(V, D, dtype=torch.float64, device=subject.device) * 3
    copy, lookup = weight.clone(), lookup_of(subject, max_norm=1.0)
    try:
        found = vmap(grad(lambda w, i, g: (lookup(i, w) * g).sum()), (None, 0, 0))(weight, looked_up, grad_output)
    except RuntimeError as error:
        as_stock("is not possible because there exists a Tensor" in str(error), "raises, as stock does")
        raise
    check_gradient(found, each(looked_up, grad_output))
    F.embedding(looked_up, copy, max_norm=1.0)
    within(numpy_of(weight), numpy_of(copy), 1e-14, "table afterwards")


NAMED: tuple[Parameters, ...] = ({}, {"scale_grad_by_freq": True}, {"sparse": True}, {"max_norm": 1.0})


@feature(
    "errors",
    "index-named-under-vmap",
    claim="same error",
    deviation=5,
    needs="cpu",
    cases=[{"over": over, **c} for over in ("indices", "table", "both") for c in NAMED],
)
def index_named_under_vmap(subject: Implementation, over: str, **options: Any) -> None:
    """Under vmap too a bad index is named, with its position among all samples, before a table is changed."""
    tables, looked_up = torch.full((2, 41, D), 9.0), torch.tensor([[0, 3, 1], [2, 93, 0]])
    if over != "both":
        tables, looked_up = (tables[0], looked_up) if over == "indices" else (tables, looked_up[1])
    dims = {"indices": (0, None), "table": (None, 0), "both": (0, 0)}[over]
    lookup, before = lookup_of(subject, **options), tables.clone()
    error = raised(lambda: vmap(lookup, dims)(looked_up, tables))
    if isinstance(error, NotImplementedError):
        raise Missing(describe(error))
    stock = raised(lambda: vmap(lambda i, w: F.embedding(i, w, **options), dims)(looked_up, before.clone()))
    as_stock(describe(error) == describe(stock), f"raises {describe(error)}")
    text, position = str(error), "[1]" if over == "table" else "[1, 1]"
    require(isinstance(error, IndexError) and RANGE in text, f"raised {describe(error)}, should be an IndexError")
    for what, number in (("the value", "93"), ("the position", position), ("the table", "41")):
        require(number in text, f"{text!r} does not give {what}, {number}")
    same_bits(tables, before, "the table after the error")
