"""Derivatives of derivatives and in forward mode, under torch.func, from matrices of ones in float64."""

from collections.abc import Callable
from typing import Any

import loops
import pytest
import torch
from loops import CALLS, INDICES, OPTIONS, D, Dims, N, V, exact, loop, ones, shares, whole
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

import tembed


def lookup(i: Tensor, **given: Any) -> Callable[[Tensor], Tensor]:
    return lambda w: tembed.embedding(i, w, **given)


@pytest.mark.parametrize("options", OPTIONS)
def test_jacobians(options: str, device: str) -> None:
    given, weight, i = OPTIONS[options], loops.table(device)[:, :2], INDICES[0, :3].to(device)
    unit = torch.eye(2, dtype=torch.float64, device=device)
    wanted = torch.einsum("nv,de->ndve", shares(i, **given), unit)
    exact(jacrev(lookup(i, **given), chunk_size=None if options == "plain" else 4)(weight), wanted)
    # the tangent of the padding row is looked up like others, and counts divide gradients alone
    exact(jacfwd(lookup(i, **given))(weight), torch.einsum("nv,de->ndve", ones(i), unit))


def test_jacobians_of_samples(device: str) -> None:
    weight, indices = loops.table(device)[:, :2], INDICES[:, :3].to(device)
    unit, given = torch.eye(2, dtype=torch.float64, device=device), OPTIONS["padding and scale"]

    def one(w: Tensor, i: Tensor) -> Tensor:
        return tembed.embedding(i, w, **given)

    for jacobian, matrix in ((jacrev, lambda i: shares(i, **given)), (jacfwd, ones)):
        wanted = torch.stack([torch.einsum("nv,de->ndve", matrix(i), unit) for i in indices])
        exact(vmap(jacobian(one), (None, 0))(weight, indices), wanted)


@pytest.mark.parametrize("by", ["hessian", "reverse over reverse"])
@pytest.mark.parametrize("options", ["plain", "padding and scale"])
def test_hessians_of_samples(options: str, by: str, device: str) -> None:
    """A gradient is masked and divided, a tangent is not: of the two lookups in a hessian, one is."""
    given, weight, indices = OPTIONS[options], loops.table(device)[:, :2], INDICES[:, :3].to(device)
    factors = whole(CALLS, 3, 2, device=device)

    def loss(w: Tensor, i: Tensor, f: Tensor) -> Tensor:
        return (tembed.embedding(i, w, **given).pow(3) * f).sum()

    def wanted(w: Tensor, i: Tensor, f: Tensor) -> Tensor:
        inner = ones(i) if by == "hessian" else shares(i, **given)
        return torch.einsum("nv,nde,nu->vdue", shares(i, **given), torch.diag_embed(6 * w[i] * f), inner)

    found = vmap(hessian(loss) if by == "hessian" else jacrev(jacrev(loss)), (None, 0, 0))
    expected = loop(wanted, (None, 0, 0), weight, indices, factors)
    torch.testing.assert_close(found(weight, indices, factors), expected)


@pytest.mark.parametrize("over", ["samples", "calls", "outer gradients"])
@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_of_gradients_of_samples(options: str, over: str, device: str) -> None:
    """The gradient of grad_output, and of that again, are divided by the counts and masked as the first is."""
    given, indices = OPTIONS[options], INDICES.to(device)
    weight, grads = loops.table(device), whole(CALLS, N, D, device=device)
    outer, again = whole(CALLS, V, D, device=device), whole(CALLS, N, D, device=device)

    def second(i: Tensor, g: Tensor, o: Tensor) -> Tensor:
        def first(g: Tensor) -> Tensor:
            return grad(lambda w: (tembed.embedding(i, w, **given) * g).sum())(weight)

        return vjp(first, g)[1](o)[0]

    def third(i: Tensor, g: Tensor, o: Tensor, a: Tensor) -> Tensor:
        return grad(lambda o: (second(i, g, o) * a).sum())(o)

    calls = {"samples": (0, 0, 0), "calls": (0, 0, None), "outer gradients": (None, None, 0)}[over]
    args = tuple(x[0] if dim is None else x for x, dim in zip((indices, grads, outer), calls, strict=True))
    exact(vmap(second, calls)(*args), loop(lambda i, g, o: shares(i, **given) @ o, calls, *args))
    wanted = loop(lambda i, g, o, a: shares(i, **given).T @ a, (*calls, 0), *args, again)
    exact(vmap(third, (*calls, 0))(*args, again), wanted)


# of the table, its tangent and the indices
TANGENTS: dict[str, Dims] = {"samples": (None, None, 0), "tables": (0, 0, None), "tangents": (None, 0, None)}


@pytest.mark.parametrize("over", TANGENTS)
@pytest.mark.parametrize("options", OPTIONS)
def test_tangents(options: str, over: str, device: str) -> None:
    given, dims = OPTIONS[options], TANGENTS[over]
    args = loops.table(device, calls=CALLS), loops.table(device, calls=CALLS), INDICES.to(device)
    args = tuple(x[0] if dim is None else x for x, dim in zip(args, dims, strict=True))

    def one(w: Tensor, t: Tensor, i: Tensor) -> Tensor:
        return torch.stack(jvp(lookup(i, **given), (w,), (t,)))

    wanted = loop(lambda w, t, i: torch.stack([w[i], t[i]]), dims, *args)
    exact(vmap(one, dims)(*args), wanted)
    exact(loop(one, dims, *args), wanted)


def test_forward_over_reverse_and_reverse_over_forward(device: str) -> None:
    (weight, tangent), i = loops.table(device, calls=2), INDICES[0].to(device)
    grads, given = whole(N, D, device=device), OPTIONS["padding and scale"]

    def first(g: Tensor) -> Tensor:
        return grad(lambda w: (tembed.embedding(i, w, **given) * g).sum())(weight)

    exact(jvp(first, (grads,), (2 * grads,))[1], loops.gradient(2 * grads, i, **given))

    def along(w: Tensor) -> Tensor:
        return (jvp(lookup(i, **given), (weight,), (w,))[1] * grads).sum()

    exact(grad(along)(tangent), loops.gradient(grads, i, **given))


def test_a_map_within_forward_mode(device: str) -> None:
    (weight, tangent), i = loops.table(device, calls=2), INDICES[0].to(device)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(torch.stack([weight, tangent]), torch.stack([tangent, weight]))
        out = vmap(lookup(i, padding_idx=2, scale_grad_by_freq=True))(dual)
        exact(forward_ad.unpack_dual(out).tangent, torch.stack([tangent[i], weight[i]]))


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")  # linearize
def test_helpers_of_torch_func(device: str) -> None:
    weight, i, given = loops.table(device), INDICES[0].to(device), OPTIONS["padding and scale"]
    grads = whole(N, D, device=device)
    out, back, kept = vjp(lambda w: (tembed.embedding(i, w, **given), w * 2), weight, has_aux=True)
    exact(out, weight[i])
    exact(kept, 2 * weight)
    exact(back(grads)[0], loops.gradient(grads, i, **given))

    def total(w: Tensor) -> tuple[Tensor, Tensor]:
        rows = tembed.embedding(i, w, **given)
        return (rows * grads).sum(), rows

    found, (loss, rows) = grad_and_value(total, has_aux=True)(weight)
    exact(found, loops.gradient(grads, i, **given))
    exact(rows, weight[i])
    torch.testing.assert_close(loss, (weight[i] * grads).sum())
    out, push = linearize(lookup(i, **given), weight)
    exact(out, weight[i])
    exact(push(2 * weight), 2 * weight[i])
