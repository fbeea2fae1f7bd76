"""Sparse gradients under torch.func: one coalesced tensor, also of many samples or many tables."""

from typing import Any

import loops
import pytest
import torch
from loops import CALLS, DTYPES, INDICES, OPTIONS, D, Dims, N, V, loop, whole
from torch import Tensor
from torch.func import grad, jacrev, vmap

import tembed

# of the table, the indices and the gradient of the output
OVER: dict[str, Dims] = {
    "samples": (None, 0, 0),
    "gradients": (None, None, 0),
    "tables": (0, None, 0),
    "all": (0, 0, 0),
}


def arguments(over: str, device: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    args = loops.table(device, dtype, CALLS), INDICES.to(device), whole(CALLS, N, D, device=device, dtype=dtype)
    weight, indices, grads = (x[0] if dim is None else x for x, dim in zip(args, OVER[over], strict=True))
    return weight, indices, grads


def check(found: Tensor | None, wanted: Tensor) -> None:
    """Sparse in all but the columns, coalesced as it says, and nothing but the rows that were looked up."""
    assert found is not None
    assert found.layout == torch.sparse_coo
    assert found.is_coalesced()
    assert found.sparse_dim() == wanted.dim() - 1
    rows = found.indices().T.tolist()
    assert rows == sorted(map(list, {tuple(row) for row in rows}))
    assert torch.equal(found.to_dense().double(), wanted)


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_of_samples(options: str, over: str, device: str) -> None:
    given, args = OPTIONS[options], arguments(over, device)
    one = grad(lambda w, i, g: (tembed.embedding(i, w, sparse=True, **given) * g).sum())
    found = vmap(one, OVER[over])(*args)
    check(found, loop(lambda _, i, g: loops.gradient(g, i, **given), OVER[over], *args))
    looked_up = [
        row for k in range(CALLS) for row in {(k, i) for i in INDICES[k if OVER[over][1] == 0 else 0].tolist()}
    ]
    assert found._nnz() == len([row for row in looked_up if row[1] != given.get("padding_idx")])


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_types(dtype: torch.dtype, device: str) -> None:
    given: Any = {"padding_idx": 2, "scale_grad_by_freq": True}
    for over, dims in OVER.items():
        weight, indices, grads = arguments(over, device, dtype)

        def loss(w: Tensor, dims: Dims = dims, i: Tensor = indices, g: Tensor = grads) -> Tensor:
            return vmap(lambda w, i, g: tembed.embedding(i, w, sparse=True, **given) * g, dims)(w, i, g).sum()

        wanted = loop(lambda _, i, g: loops.gradient(g, i, **given), dims, weight, indices, grads)
        found = grad(loss)(weight)
        assert found.dtype == dtype
        check(found, wanted.sum(0) if dims[0] is None else wanted)


@pytest.mark.parametrize("over", OVER)
def test_backward_and_a_step(over: str, device: str) -> None:
    weight, indices, grads = arguments(over, device)
    parameter = torch.nn.Parameter(weight)
    given: Any = {"padding_idx": 2, "scale_grad_by_freq": True}
    mapped = vmap(lambda w, i, g: tembed.embedding(i, w, sparse=True, **given) * g, OVER[over])
    (found,) = torch.autograd.grad(mapped(parameter, indices, grads).sum(), parameter)
    wanted = loop(lambda _, i, g: loops.gradient(g, i, **given), OVER[over], weight, indices, grads)
    wanted = wanted.sum(0) if OVER[over][0] is None else wanted
    check(found, wanted)
    before = weight.clone()
    mapped(parameter, indices, grads).sum().backward()
    torch.optim.SGD([parameter], lr=1.0).step()
    torch.testing.assert_close(parameter.detach(), before - wanted)


def test_the_table_is_not_copied_nor_its_gradient_made_dense(device: str) -> None:
    """Tables of 2^33 numbers each, in memory of two."""
    rows = 2**32
    weight = torch.ones(1, 1, 2, device=device).expand(2, rows, 2)
    indices = torch.tensor([[0, rows - 1, 5], [7, rows - 1, 7]], device=device)
    for dims, wanted in (
        ((None, 0), [[0], [5], [7], [rows - 1]]),
        ((0, None), [[0, 0], [0, 5], [0, rows - 1], [1, 0], [1, 5], [1, rows - 1]]),
        ((0, 0), [[0, 0], [0, 5], [0, rows - 1], [1, 7], [1, rows - 1]]),
    ):
        w, i = (x[0] if dim is None else x for x, dim in zip((weight, indices), dims, strict=True))
        mapped = vmap(lambda w, i: tembed.embedding(i, w, sparse=True), dims)
        assert torch.equal(mapped(w, i), torch.ones(2, 3, 2, device=device))
        found = grad(lambda w, i=i, mapped=mapped: mapped(w, i).sum())(w)
        assert found.is_coalesced()
        assert found.indices().T.tolist() == wanted


def test_derivatives_of_sparse_gradients(device: str) -> None:
    given: Any = {"padding_idx": 2, "scale_grad_by_freq": True, "sparse": True}
    weight, indices, grads = arguments("all", device)
    outer, again = whole(CALLS, V, D, device=device), whole(CALLS, N, D, device=device)
    shares = torch.stack([loops.shares(i, padding_idx=2, scale_grad_by_freq=True) for i in indices])
    for dense in (True, False):
        leaf, g, o = weight.clone().requires_grad_(), grads.clone().requires_grad_(), outer.clone().requires_grad_()
        out = vmap(lambda w, i: tembed.embedding(i, w, **given))(leaf, indices)
        (first,) = torch.autograd.grad(out, leaf, g, create_graph=True)
        assert first.is_sparse
        (second,) = torch.autograd.grad(first, g, o if dense else o.detach().to_sparse(2), create_graph=dense)
        assert torch.equal(second, shares @ outer)
        if dense:
            (third,) = torch.autograd.grad(second, o, again)
            assert torch.equal(third, shares.mT @ again)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_jacobian_is_refused_by_torch_as_with_stock(device: str) -> None:
    weight = loops.table(device)
    for function in (tembed.embedding, torch.nn.functional.embedding):
        with pytest.raises(NotImplementedError, match="Sparse"):
            jacrev(lambda w, f=function: f(INDICES[0].to(device), w, sparse=True))(weight)
