"""What a sparse gradient is made of, and how several of them add up."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import grad

from ..cases import dtype_of, feature, product
from ..compare import as_stock, describe, require, same
from ..inputs import make_indices
from ..small import PADDING, D, V, check_gradient, expected, gradient, indices, table
from ..subject import Implementation

EMPTY = {"all-padding": ((3,), D), "empty": ((2, 0, 3), D), "no-columns": ((4,), 0)}
INTEGERS = ("int32", "int64")


def _sparse(subject: Implementation, looked_up: Tensor, weight: Tensor, grad_output: Tensor, **options: Any) -> Tensor:
    (found,) = grad(subject.call(looked_up, weight, sparse=True, **options), weight, grad_output)
    same(found.layout, torch.sparse_coo, "layout of the gradient")
    return found


@feature("sparse-gradient", "layout", cases=product(dtype=("float16", "float32"), index_dtype=INTEGERS))
def layout(subject: Implementation, dtype: str, index_dtype: str) -> None:
    """A sparse gradient is sparse_coo of the table's size, one sparse and one dense dimension, indices int64."""
    looked_up, weight = indices(subject.device, dtype_of(index_dtype)), table(subject.device, dtype_of(dtype))
    grad_output = gradient(subject.device, weight.dtype)
    found = _sparse(subject, looked_up, weight, grad_output)
    same(tuple(found.shape), (V, D), "size")
    same((found.sparse_dim(), found.dense_dim()), (1, 1), "sparse_dim, dense_dim")
    same((found._indices().dtype, found._indices().dim(), len(found._indices())), (torch.int64, 2, 1), "indices")
    same((found._values().dtype, found._values().shape[1]), (weight.dtype, D), "dtype and columns of the values")
    same(found.device, weight.device, "device")
    check_gradient(found, expected(looked_up, grad_output))


@feature("sparse-gradient", "padding-left-out", cases=product(index_dtype=INTEGERS))
def padding_left_out(subject: Implementation, index_dtype: str) -> None:
    """The padding row is not among the rows of a sparse gradient, not even with zeros."""
    looked_up, weight = indices(subject.device, dtype_of(index_dtype)), table(subject.device)
    grad_output = gradient(subject.device)
    found = _sparse(subject, looked_up, weight, grad_output, padding_idx=PADDING)
    require(PADDING not in found._indices()[0].tolist(), f"rows are {found._indices()[0].tolist()}")
    check_gradient(found, expected(looked_up, grad_output, padding_idx=PADDING))


@feature("sparse-gradient", "nothing-in-it", cases=product(why=EMPTY, index_dtype=INTEGERS))
def nothing_in_it(subject: Implementation, why: str, index_dtype: str) -> None:
    """With padding alone, no lookups or no columns it has no rows: indices (1, 0), values (0, D)."""
    shape, columns = EMPTY[why]
    weight = torch.randn(V, columns, device=subject.device, requires_grad=True)
    looked_up = torch.full(shape, PADDING, device=subject.device, dtype=dtype_of(index_dtype))
    grad_output = torch.randn(*shape, columns, device=subject.device)
    found = _sparse(subject, looked_up, weight, grad_output, padding_idx=PADDING)
    same(tuple(found._indices().shape), (1, 0), "shape of the indices")
    same(tuple(found._values().shape), (0, columns), "shape of the values")
    same(found._indices().dtype, torch.int64, "dtype of the indices")


@feature("sparse-gradient", "coalesced", cases=product(index_dtype=INTEGERS, padding_idx=(None, PADDING)), deviation=1)
def coalesced(subject: Implementation, index_dtype: str, padding_idx: int | None) -> None:
    """A sparse gradient is coalesced, and says so: each row once, in ascending order."""
    looked_up, weight = indices(subject.device, dtype_of(index_dtype)), table(subject.device)
    grad_output = gradient(subject.device)
    found = _sparse(subject, looked_up, weight, grad_output, padding_idx=padding_idx)
    check_gradient(found, expected(looked_up, grad_output, padding_idx=padding_idx))
    _in_order(found, looked_up, padding_idx)


@feature(
    "sparse-gradient", "coalesced-many", deviation=1,
    cases=product(distribution=("zipf", "uniform"), N=(70, 300, 1100), padding_idx=(None, PADDING)),
)  # fmt: skip
def coalesced_many(subject: Implementation, distribution: str, N: int, padding_idx: int | None) -> None:
    """A sparse gradient of hundreds of lookups is coalesced too, every row once and ascending."""
    looked_up = make_indices(distribution, (N,), 100, torch.Generator().manual_seed(N)).to(subject.device)
    weight = torch.randn(100, D, device=subject.device, requires_grad=True)
    grad_output = gradient(subject.device, shape=(N,))
    found = _sparse(subject, looked_up, weight, grad_output, padding_idx=padding_idx)
    check_gradient(found, expected(looked_up, grad_output, 100, padding_idx=padding_idx))
    _in_order(found, looked_up, padding_idx)


def _in_order(found: Tensor, looked_up: Tensor, padding_idx: int | None) -> None:
    """Mismatch unless each row is there once, in ascending order, and is_coalesced() says so."""
    rows = found._indices()[0].tolist()
    in_order = [i for i in looked_up.flatten().tolist() if i != padding_idx]
    as_stock(rows == in_order and not found.is_coalesced(), "rows as often and in the order as they were looked up")
    ascending = sorted(set(in_order))
    first = next((i for i, pair in enumerate(zip(rows, ascending, strict=False)) if pair[0] != pair[1]), len(ascending))
    around = slice(max(first - 2, 0), first + 3)
    require(rows == ascending, f"rows: {rows[around]} from {around.start} on, should be {ascending[around]}")
    same(found.is_coalesced(), True, "is_coalesced()")
    require(found._values().is_contiguous(), "the values are not contiguous")


@feature("sparse-gradient", "own-storage", cases=product(index_dtype=INTEGERS, order=("rising", "mixed")), deviation=1)
def own_storage(subject: Implementation, index_dtype: str, order: str) -> None:
    """A sparse gradient shares no memory: the input and the output's gradient may be written over afterwards."""
    looked_up = torch.tensor([0, 1, 3, 5] if order == "rising" else [5, 0, 5, 1], device=subject.device)
    looked_up, weight = looked_up.to(dtype_of(index_dtype)), table(subject.device)
    grad_output = gradient(subject.device, shape=(4,))
    wanted = expected(looked_up, grad_output)
    subject.call(looked_up, weight, sparse=True).backward(grad_output)
    check_gradient(weight.grad, wanted)
    found: Any = weight.grad
    pairs = (("the input", found._indices(), looked_up), ("the output's gradient", found._values(), grad_output))
    shared = [name for name, part, given in pairs if part.data_ptr() == given.data_ptr()]
    as_stock(shared and not found.is_coalesced(), f".grad shares memory with {' and '.join(shared)}")
    looked_up.zero_()
    grad_output.zero_()
    check_gradient(weight.grad, wanted, "gradient after its sources were written over")


@feature("sparse-gradient", "flag-of-grad", cases=product(how=("leaf", "parameter")), deviation=1)
def flag_of_grad(subject: Implementation, how: str) -> None:
    """.grad is known to be coalesced after one backward, so that optimizers need not sort it again."""
    weight, grad_output = table(subject.device), gradient(subject.device)
    if how == "parameter":
        weight = torch.nn.Parameter(weight.detach())
    subject.call(indices(subject.device), weight, sparse=True).backward(grad_output)
    check_gradient(weight.grad, expected(indices(subject.device), grad_output))
    as_stock(not weight.grad.is_coalesced(), ".grad.is_coalesced() is False")  # type: ignore[union-attr]


@feature("sparse-gradient", "flag-is-true", cases=product(how=("one-backward", "two-backwards", "hook")))
def flag_is_true(subject: Implementation, how: str) -> None:
    """Where .grad says that it is coalesced, it is: sums of several, and what hooks made of it, included."""
    weight, grad_output = table(subject.device), gradient(subject.device)
    if how == "hook":
        weight.register_hook(lambda g: torch.sparse_coo_tensor(g._indices().flip(1), g._values().flip(0), g.shape))
    both = indices(subject.device), torch.tensor([5, 1, 1], device=subject.device)
    gradients = grad_output, gradient(subject.device, shape=(3,))
    outs = [subject.call(looked_up, weight, sparse=True) for looked_up in both]
    wanted = expected(both[0], gradients[0]) + expected(both[1], gradients[1])
    if how == "one-backward":
        torch.autograd.backward(outs, gradients)
    elif how == "two-backwards":
        for out, g in zip(outs, gradients, strict=True):
            out.backward(g)
    else:
        outs[0].backward(gradients[0])
        wanted = expected(both[0], gradients[0])
    check_gradient(weight.grad, wanted)
    found: Any = weight.grad
    same(found.layout, torch.sparse_coo, "layout of .grad")
    rows = found._indices()[0].tolist()
    require(not found.is_coalesced() or rows == sorted(set(rows)), f"is_coalesced() of rows {rows}")


@feature("sparse-gradient", "with-a-dense-one", cases=product(first=("sparse", "dense"), backwards=(1, 2)))
def with_a_dense_one(subject: Implementation, first: str, backwards: int) -> None:
    """A sparse and a dense gradient of one table, in either order, add to a dense one."""
    looked_up, weight = indices(subject.device), table(subject.device)
    gradients = gradient(subject.device), gradient(subject.device)
    outs = [subject.call(looked_up, weight, sparse=sparse) for sparse in (first == "sparse", first == "dense")]
    if backwards == 1:
        torch.autograd.backward(outs, gradients)
    else:
        for out, g in zip(outs, gradients, strict=True):
            out.backward(g)
    require(weight.grad is not None, "there is no gradient")
    same(weight.grad.layout, torch.strided, "layout of .grad")  # type: ignore[union-attr]
    check_gradient(weight.grad, expected(looked_up, gradients[0] + gradients[1]))


@feature("sparse-gradient", "0-d-with-padding", cases=product(index=(PADDING, 4)), deviation=4)
def scalar_with_padding(subject: Implementation, index: int) -> None:
    """An index without dimensions has a sparse gradient where there is a padding_idx too."""
    looked_up, weight = torch.tensor(index, device=subject.device), table(subject.device)
    grad_output = gradient(subject.device, shape=())
    out = subject.call(looked_up, weight, padding_idx=PADDING, sparse=True)
    try:
        (found,) = grad(out, weight, grad_output)
    except IndexError as error:
        as_stock("too many indices for tensor of dimension 0" in str(error), f"raises {describe(error)}")
        raise
    same(found.layout, torch.sparse_coo, "layout of the gradient")
    same(found._nnz(), int(index != PADDING), "number of rows")
    check_gradient(found, expected(looked_up, grad_output, padding_idx=PADDING))
