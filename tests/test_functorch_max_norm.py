"""max_norm under torch.func: the rows that any call looks up are scaled once, in the tables themselves."""

from typing import Any

import loops
import pytest
import torch
from loops import CALLS, INDICES, D, Dims, N, V, exact, loop, whole
from torch import Tensor
from torch.func import grad, jvp, vmap

import tembed

MAX = 1.0
OVER: dict[str, Dims] = {"indices": (None, 0), "tables": (0, None), "both": (0, 0)}


def tables(over: str, device: str, apart: int = 0) -> tuple[Tensor, Tensor]:
    """One table or several, of which most rows are over, and indices; tables that lie `apart` among other memory."""
    w, i = OVER[over]
    weight = 3 * loops.table(device, calls=None if w is None else CALLS)
    if apart and w == 0:
        weight = torch.cat([weight, weight.new_full((CALLS, apart, D), 100.0)], 1)[:, :V]
    return weight, INDICES.to(device) if i == 0 else INDICES[0].to(device)


def scaled(weight: Tensor, indices: Tensor) -> Tensor:
    """The table afterwards."""
    norms = weight.norm(dim=1, keepdim=True)
    factor = torch.where(norms > MAX, MAX / (norms + 1e-7), 1.0)
    return torch.where(loops.ones(indices).flatten(0, -2).any(0)[:, None], weight * factor, weight)


def mapped(over: str, **given: Any) -> Any:
    return vmap(lambda w, i: tembed.embedding(i, w, max_norm=MAX, **given), OVER[over])


@pytest.mark.parametrize("apart", [0, 2], ids=["next to each other", "apart"])
@pytest.mark.parametrize("over", OVER)
def test_every_row_that_is_looked_up_is_scaled_once(over: str, apart: int, device: str) -> None:
    weight, indices = tables(over, device, apart)
    version = weight._version
    wanted = scaled(weight, indices) if over == "indices" else loop(scaled, OVER[over], weight, indices)
    out = mapped(over)(weight, indices)
    torch.testing.assert_close(weight, wanted, rtol=1e-14, atol=0)
    assert torch.equal(out, loop(lambda w, i: w[i], OVER[over], weight, indices))
    assert weight._version == version + (1 if over == "indices" or not apart else CALLS)


@pytest.mark.parametrize("by", ["grad", "grad of samples", "backward"])
@pytest.mark.parametrize("over", OVER)
def test_the_gradient_passes_straight_through(over: str, by: str, device: str) -> None:
    weight, indices = tables(over, device)
    dims, grads, given = OVER[over], whole(CALLS, N, D, device=device), {"padding_idx": 2, "scale_grad_by_freq": True}
    wanted = loop(lambda _, i, g: loops.gradient(g, i, **given), (*dims, 0), weight, indices, grads)
    if by == "grad of samples":
        one = grad(lambda w, i, g: (tembed.embedding(i, w, max_norm=MAX, **given) * g).sum())
        exact(vmap(one, (*dims, 0))(weight, indices, grads), wanted)
        return
    if by == "grad":
        found = grad(lambda w: (mapped(over, **given)(w, indices) * grads).sum())(weight)
    else:
        weight.requires_grad_()
        (mapped(over, **given)(weight, indices) * grads).sum().backward()
        assert isinstance(weight.grad, Tensor)
        found = weight.grad
    exact(found, wanted.sum(0) if dims[0] is None else wanted)
    assert (weight.detach().norm(dim=-1) <= MAX + 1e-6).any()


def test_tangents_are_not_scaled(device: str) -> None:
    weight, indices = tables("both", device)
    tangent, wanted = 100 * loops.table(device, calls=CALLS), loop(scaled, (0, 0), weight, indices)
    before = tangent.clone()

    def one(w: Tensor, t: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
        out, found = jvp(lambda w: tembed.embedding(i, w, max_norm=MAX), (w,), (t,))
        return out, found

    out, found = vmap(one)(weight, tangent, indices)
    exact(found, loop(lambda t, i: t[i], (0, 0), before, indices))
    assert torch.equal(tangent, before)
    torch.testing.assert_close(out, loop(lambda w, i: w[i], (0, 0), wanted, indices), rtol=1e-14, atol=0)
    torch.testing.assert_close(weight, wanted, rtol=1e-14, atol=0)


@pytest.mark.parametrize("over", OVER)
def test_a_bad_index_changes_nothing(over: str, device: str) -> None:
    weight, indices = tables(over, device)
    indices = indices.clone()
    indices[..., -1] = V
    before, version = weight.clone(), weight._version
    with tembed.index_checks("immediate"), pytest.raises(IndexError, match=f"index {V} at position"):
        mapped(over)(weight, indices)
    assert torch.equal(weight, before)
    assert weight._version == version


@pytest.mark.parametrize("by", ["grad", "grad of grad", "samples"])
def test_what_was_saved_of_the_table_before_is_found_out(by: str, device: str) -> None:
    weight, indices = tables("tables" if by == "samples" else "indices", device)

    def loss(w: Tensor) -> Tensor:
        return w.pow(3).sum() + tembed.embedding(indices, w, max_norm=MAX).sum()

    def again(w: Tensor) -> Tensor:
        return grad(loss)(w).sum()

    transform = {"grad": grad(loss), "grad of grad": grad(again), "samples": vmap(grad(loss))}[by]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        transform(weight)


@pytest.mark.parametrize("by", ["grad", "jvp", "grad of grad"])
@pytest.mark.parametrize("lookup", [tembed.embedding, torch.nn.functional.embedding], ids=["tembed", "stock"])
def test_a_table_that_is_no_argument_of_a_derivative_is_refused(lookup: Any, by: str, device: str) -> None:
    weight, indices = tables("indices", device)
    before, one = weight.clone(), torch.ones((), dtype=torch.float64, device=device)

    def loss(s: Tensor) -> Tensor:
        return (lookup(indices, weight, max_norm=MAX) * s).sum()

    transforms: dict[str, Any] = {
        "grad": lambda: grad(loss)(one),
        "jvp": lambda: jvp(loss, (one,), (one,)),
        "grad of grad": lambda: grad(lambda s: grad(loss)(s))(one),
    }
    with pytest.raises(RuntimeError, match="would mutate a captured Tensor"):
        transforms[by]()
    assert torch.equal(weight, before)


def test_a_table_that_is_an_argument_of_some_derivatives_only_is_refused(device: str) -> None:
    weight, indices = tables("indices", device)
    before, one = weight.clone(), torch.ones((), dtype=torch.float64, device=device)

    def inner(w: Tensor) -> Tensor:
        return grad(lambda s: tembed.embedding(indices, w, max_norm=MAX).sum() * s)(one)

    with pytest.raises(RuntimeError, match="would mutate a captured Tensor"):
        grad(inner)(weight)
    assert torch.equal(weight, before)
