"""Lookups under vmap: any dimension, any type, wherever tables and indices come from."""

from typing import Any

import loops
import pytest
import torch
from loops import CALLS, INDICES, D, N, V, exact, loop
from torch.func import grad, vmap

import tembed

GIVEN: dict[str, Any] = {"padding_idx": 2, "scale_grad_by_freq": True}


@pytest.mark.parametrize(("w", "i"), [(w, i) for w in (None, 0, 1, 2) for i in (None, 0, 1)][1:])
def test_any_dimension_is_mapped_and_lookups_are_exact(w: int | None, i: int | None, device: str) -> None:
    dims = w, i
    weight = torch.randn(CALLS, V, D, device=device).movedim(0, w) if w is not None else torch.randn(V, D).to(device)
    indices = INDICES.to(device, torch.int32)[..., None].expand(CALLS, N, 2)
    indices = indices.movedim(0, i) if i is not None else indices[0]
    wanted = loop(lambda w, i: w[i.long()], dims, weight, indices)
    for out_dim in (0, 1, -1):
        found = vmap(lambda w, i: tembed.embedding(i, w), dims, out_dim)(weight, indices)
        assert torch.equal(found, wanted.movedim(0, out_dim))
    found = vmap(lambda w, i: tembed.embedding(i, w, scale_grad_by_freq=True), dims)(weight, indices)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64", "bool", "uint8", "complex64", "complex128"])
def test_tables_of_any_type(dtype: str, device: str) -> None:
    weight = torch.randint(0, 2, (CALLS, V, D), device=device).to(getattr(torch, dtype))
    indices = INDICES.to(device)
    for dims in ((None, 0), (0, None), (0, 0)):
        args = weight if dims[0] == 0 else weight[0], indices if dims[1] == 0 else indices[0]
        found = vmap(lambda w, i: tembed.embedding(i, w), dims)(*args)
        assert torch.equal(found, loop(lambda w, i: w[i], dims, *args))


def test_chunks_of_a_map(device: str) -> None:
    weight, indices = loops.table(device), INDICES.to(device).view(4, 2)
    one = grad(lambda w, i: tembed.embedding(i, w, **GIVEN).sum())
    wanted = loop(lambda _, i: loops.gradient(torch.ones(2, D, device=device), i, **GIVEN), (None, 0), weight, indices)
    exact(vmap(one, (None, 0), chunk_size=3)(weight, indices), wanted)


def test_a_table_made_within_a_map_and_indices_computed_there(device: str) -> None:
    weight, indices = loops.table(device), INDICES.to(device)
    found = vmap(lambda i: tembed.embedding((i + 1) % V, weight * i[0], **GIVEN))(indices)
    exact(found, loop(lambda i: (weight * i[0])[(i + 1) % V], (0,), indices))


@pytest.mark.parametrize("given", [{}, GIVEN, {"max_norm": 1.0}], ids=["plain", "padding and scale", "max_norm"])
def test_inference_mode(given: dict[str, Any], device: str) -> None:
    with torch.inference_mode():
        weight, indices = loops.table(device), INDICES.to(device)
        out = vmap(lambda i: tembed.embedding(i, weight, **given))(indices)
        assert out.is_inference()
        assert torch.equal(out, weight[indices])
