"""Gradients under torch.func, against loops over the samples in float64."""

from typing import Any

import loops
import pytest
import torch
from loops import CALLS, DTYPES, INDICES, OPTIONS, D, Dims, N, V, exact, loop, whole
from torch import Tensor
from torch.func import grad, vmap

import tembed
from tembed import kernels

# of the table, the indices and the gradient of the output
OVER: dict[str, Dims] = {
    "samples": (None, 0, 0),
    "gradients": (None, None, 0),
    "tables and gradients": (0, None, 0),
    "tables": (0, None, None),
    "all": (0, 0, 0),
}
SHAPES: dict[str, Any] = {
    "0-d": ((3,), ()),
    "2-d": ((2,), (2, 2)),
    "none": ((2,), (0,)),
    "one sample": ((1,), (4,)),
    "no sample": ((0,), (4,)),
}


def cases(*over: str) -> list[tuple[str, str, torch.dtype]]:
    """All options for each way to map, and the other types with the most of them; none and most if interpreted."""
    narrow = [("padding and scale", over[-1], dtype) for dtype in DTYPES[1:]]
    chosen = ("plain", "padding and scale") if kernels.interpreted() else OPTIONS
    return [*((options, way, torch.float64) for options in chosen for way in over), *narrow]


def sample(
    over: str, device: str, dtype: torch.dtype = torch.float64, indices: Tensor = INDICES
) -> tuple[Tensor, Tensor, Tensor]:
    """A table, indices and a gradient of the output, or as many as there are samples."""
    w, i, g = OVER[over]
    indices, calls = indices.to(device), len(indices)
    rows = indices[:1].shape[1:]
    return (
        loops.table(device, dtype, None if w is None else calls),
        indices if i == 0 else indices[0],
        whole(*() if g is None else (calls,), *rows, D, device=device, dtype=dtype),
    )


@pytest.mark.parametrize(("options", "over", "dtype"), cases(*OVER))
def test_gradients_of_samples(options: str, over: str, dtype: torch.dtype, device: str) -> None:
    args, given = sample(over, device, dtype), OPTIONS[options]

    def loss(w: Tensor, i: Tensor, g: Tensor) -> Tensor:
        return (tembed.embedding(i, w, **given) * g).sum()

    wanted = loop(lambda _, i, g: loops.gradient(g, i, **given), OVER[over], *args)
    exact(vmap(grad(loss), OVER[over])(*args), wanted, dtype)


@pytest.mark.parametrize("by", ["grad", "backward"])
@pytest.mark.parametrize(("options", "over", "dtype"), cases("samples", "tables", "all"))
def test_the_gradient_of_all_samples(options: str, over: str, by: str, dtype: torch.dtype, device: str) -> None:
    (weight, indices, grads), given = sample(over, device, dtype), OPTIONS[options]

    def loss(weight: Tensor) -> Tensor:
        mapped = vmap(lambda w, i, g: tembed.embedding(i, w, **given) * g, OVER[over])
        return mapped(weight, indices, grads).sum()

    wanted = loop(lambda _, i, g: loops.gradient(g, i, **given), OVER[over], weight, indices, grads)
    if by == "grad":
        found = grad(loss)(weight)
    else:
        loss(weight.requires_grad_()).backward()
        assert isinstance(weight.grad, Tensor)
        found = weight.grad
    exact(found, wanted.sum(0) if OVER[over][0] is None else wanted, dtype)


@pytest.mark.parametrize("over", ["samples", "all"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_any_shape(shape: str, over: str, device: str) -> None:
    calls, own = SHAPES[shape]
    given = {"padding_idx": 2, "scale_grad_by_freq": True}
    indices = torch.tensor([0, 2, 2, 6, 2, 4, 0, 0])[: torch.Size(calls + own).numel()].view(calls + own)
    args = sample(over, device, indices=indices)
    found = vmap(grad(lambda w, i, g: (tembed.embedding(i, w, **given) * g).sum()), OVER[over])(*args)
    if calls == (0,):
        assert found.shape == (0, V, D)
    else:
        exact(found, loop(lambda _, i, g: loops.gradient(g, i, **given), OVER[over], *args))


@pytest.mark.parametrize("options", OPTIONS)
def test_nested_maps_of_tables_calls_and_gradients(options: str, device: str) -> None:
    given = OPTIONS[options]
    weight, indices = loops.table(device, calls=3), INDICES.to(device)
    grads = whole(2, CALLS, N, D, device=device)

    def mapped(one: Any, over: Any) -> Any:
        return over(over(over(one, (None, None, 0)), (None, 0, 1)), (0, None, None))

    def each(one: Any, dims: Dims) -> Any:
        return lambda *args: loop(one, dims, *args)

    found = mapped(grad(lambda w, i, g: (tembed.embedding(i, w, **given) * g).sum()), vmap)(weight, indices, grads)
    wanted = mapped(lambda w, i, g: loops.gradient(g, i, **given), each)(weight, indices, grads)
    exact(found, wanted)

    def loss(weight: Tensor) -> Tensor:
        rows = mapped(lambda w, i, g: tembed.embedding(i, w, **given) * g, vmap)(weight, indices, grads)
        assert isinstance(rows, Tensor)
        return rows.sum()

    exact(grad(loss)(weight), wanted.sum((1, 2)))


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("by", ["calls", "samples"])
@pytest.mark.parametrize("dtype", [torch.bfloat16], ids=str)
def test_sums_of_16_bits_are_of_32(dtype: torch.dtype, by: str, scale: bool, device: str) -> None:
    weight, indices = (
        torch.zeros(2, 3, device=device, dtype=dtype),
        torch.ones(2, 300, dtype=torch.int64, device=device),
    )

    def loss(w: Tensor, i: Tensor) -> Tensor:
        return tembed.embedding(i, w, scale_grad_by_freq=scale).sum()

    if by == "samples":
        found = vmap(grad(loss), (None, 0))(weight, indices)
    else:
        found = grad(lambda w: vmap(loss, (None, 0))(w, indices).sum())(weight)[None]
    number = (1 if scale else 300) * (2 if by == "calls" else 1)
    assert found.tolist() == [[[0.0] * 3, [float(number)] * 3]] * len(found)
