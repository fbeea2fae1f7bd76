"""Errors of lookups under torch.func, and bad indices, which must not land in a neighbour's rows."""

from dataclasses import replace
from typing import Any

import loops
import pytest
import torch
from loops import CALLS, INDICES, D, Dims, N, V, whole
from torch import Tensor
from torch.func import grad, jvp, vmap

import tembed
from tembed import batches, kernels
from tembed.batches import Call

OVER: dict[str, Dims] = {"indices": (None, 0), "tables": (0, None), "both": (0, 0)}
SCALE: dict[str, Any] = {"scale_grad_by_freq": True}


def bad(value: int, device: str) -> Tensor:
    indices = INDICES.clone().to(device)
    indices[1, 2] = value
    return indices


@pytest.mark.parametrize("value", [V, -1, 10 * V])
@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("given", [{}, SCALE, {"sparse": True}], ids=["plain", "scale", "sparse"])
def test_a_bad_index_is_named_with_its_place_among_all_samples(
    given: dict[str, Any], over: str, value: int, device: str
) -> None:
    dims, weight, indices = OVER[over], loops.table(device, calls=CALLS), bad(value, device)
    weight, indices = (x[-1] if dim is None else x for x, dim in zip((weight, indices), dims, strict=True))
    at, shape = ([1, 2], [CALLS, N]) if indices.dim() == 2 else ([2], [N])
    with tembed.index_checks("immediate"), pytest.raises(IndexError) as caught:
        vmap(lambda w, i: tembed.embedding(i, w, **given), dims)(weight, indices)
    assert f"index out of range in self: index {value} at position {at} of an input of shape {shape}" in str(
        caught.value
    )


@pytest.mark.parametrize("transform", ["grad", "jvp", "samples"])
def test_a_bad_index_is_named_under_derivatives(transform: str, device: str) -> None:
    weight, indices = loops.table(device), bad(V, device)

    def loss(w: Tensor, i: Tensor = indices) -> Tensor:
        return tembed.embedding(i, w, **SCALE).sum()

    transforms: dict[str, Any] = {
        "grad": lambda: grad(loss)(weight),
        "jvp": lambda: jvp(loss, (weight,), (weight,)),
        "samples": lambda: vmap(grad(loss), (None, 0))(weight, indices),
    }
    with (
        tembed.index_checks("immediate"),
        pytest.raises(IndexError, match=rf"index {V} at position \[1, 2\] of an input"),
    ):
        transforms[transform]()


@pytest.mark.parametrize("padding_idx", [-1, 2])
@pytest.mark.parametrize("value", [V, -1, 10 * V])
def test_unchecked_a_bad_index_is_zeros_and_has_no_part_in_gradients(value: int, padding_idx: int, device: str) -> None:
    if not kernels.drives(torch.device(device).type):
        pytest.skip("on the CPU a bad index never comes that far: the other lane has it")
    weight, indices, grads = loops.table(device, calls=CALLS), bad(value, device), whole(CALLS, N, D, device=device)
    good = INDICES.to(device)
    call = Call(1, padding_idx, False, False)
    out = batches.lookup(weight, indices, call)
    wanted = torch.stack([w[i] for w, i in zip(weight, good, strict=True)])
    wanted[1, 2] = 0
    assert torch.equal(out, wanted)
    keep = torch.ones(CALLS, N, 1, device=device)
    keep[1, 2] = 0
    padding = {"padding_idx": padding_idx} if padding_idx >= 0 else {}
    expected = torch.stack([loops.gradient(g, i, **padding) for g, i in zip(grads * keep, good, strict=True)])
    for sparse in (False, True):
        found = batches.gradient(grads, indices, 1, V, replace(call, sparse=sparse))
        assert torch.equal(found.to_dense(), expected)
    back = batches.gradient_of_gradient(expected, indices, call)
    again = torch.stack([loops.shares(i, **padding) @ e for i, e in zip(good, expected, strict=True)]) * keep
    assert torch.equal(back, again)


def test_mistakes_raise_what_torch_raises(device: str) -> None:
    weight, indices = loops.table(device, calls=CALLS), INDICES.to(device)
    mistakes: list[tuple[type[Exception], str, Any, Tensor]] = [
        (RuntimeError, "'weight' must be 2-D", lambda w: tembed.embedding(indices, w, **SCALE), weight[0]),
        (
            RuntimeError,
            "Expected 2-dimensional tensor",
            lambda w: tembed.embedding(indices, w, max_norm=1.0),
            weight[0],
        ),
        (
            RuntimeError,
            "Expected tensor for argument #1",
            lambda w: tembed.embedding(indices.byte(), w, **SCALE),
            weight,
        ),
        (TypeError, "must be Tensor, not list", lambda w: tembed.embedding([0, 1], w), weight),  # type: ignore[arg-type]
        (TypeError, "must be bool, not int", lambda w: tembed.embedding(indices, w, sparse=1), weight),  # type: ignore[arg-type]
        (TypeError, "must be float, not str", lambda w: tembed.embedding(indices, w, max_norm="1"), weight),  # type: ignore[arg-type]
        (AssertionError, "Padding_idx must be within", lambda w: tembed.embedding(indices, w, padding_idx=V), weight),
        (
            RuntimeError,
            "floating point or complex",
            lambda w: tembed.embedding(indices, w, max_norm=1.0),
            weight.long(),
        ),
        (RuntimeError, "axis dim should be positive", lambda w: tembed.embedding(indices, w, **SCALE), weight[:, :0]),
    ]
    for kind, text, call, table in mistakes:
        with pytest.raises(kind, match=text):
            vmap(call)(table)
    with pytest.raises(RuntimeError, match="does not support automatic differentiation for outputs with complex dtype"):
        grad(lambda w: tembed.embedding(indices, w).abs().sum())(weight[0] + 0j)
