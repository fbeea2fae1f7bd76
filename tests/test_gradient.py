"""Dense and sparse gradients, against the float64 oracle."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tembed
from tembed import kernels
from tembed.parity import oracle
from tembed.parity.cases import DISTRIBUTIONS, LAYOUTS, SHAPES, make_gradient, make_indices
from tembed.parity.interpreter import reversed_programs

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
OPTIONS = [
    {"padding_idx": padding, "scale_grad_by_freq": scale, "sparse": sparse}
    for padding, scale, sparse in itertools.product((None, 3, -1), (False, True), (False, True))
]
GENERATOR = torch.Generator()


def check(
    indices: torch.Tensor, weight: torch.Tensor, grad_output: torch.Tensor, options: dict[str, object]
) -> torch.Tensor:
    """The gradient of weight, compared with the oracle element by element."""
    out = tembed.embedding(indices, weight, **options)  # type: ignore[arg-type]
    (grad,) = torch.autograd.grad(out, weight, grad_output)
    V, D = weight.shape
    padding = options.get("padding_idx")
    padding = padding % V if isinstance(padding, int) else None
    assert grad.dtype == weight.dtype
    assert grad.shape == (V, D)
    expected = oracle.gradient(
        grad_output.detach().double().cpu().resolve_neg().numpy(),
        indices.cpu().long().numpy(),
        V,
        padding,
        bool(options.get("scale_grad_by_freq")),
        str(weight.dtype).removeprefix("torch."),
    )
    if options.get("sparse"):
        check_coalesced(grad, indices, padding)
        dense = grad.to_dense()
    else:
        assert grad.is_contiguous()
        dense = grad
    error = np.abs(dense.double().cpu().numpy() - expected.value)
    assert (error <= expected.bound).all(), f"{float((error - expected.bound).max()):g} over the bound"
    return grad


def check_coalesced(grad: torch.Tensor, indices: torch.Tensor, padding: int | None) -> None:
    rows = indices.unique().long()
    rows = rows[rows != padding] if padding is not None and grad.shape[1] else rows[:0] if not grad.shape[1] else rows
    assert grad.layout == torch.sparse_coo
    assert grad.is_coalesced()
    assert (grad.sparse_dim(), grad.dense_dim()) == (1, 1)
    assert torch.equal(grad._indices(), rows.unsqueeze(0))
    assert grad._values().shape == (len(rows), grad.shape[1])
    assert grad._values().is_contiguous()
    assert not len(rows) or grad._indices().data_ptr() != indices.data_ptr()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradient_matches_the_oracle(
    options: dict[str, object], distribution: str, dtype: torch.dtype, device: str
) -> None:
    weight = torch.randn(8, 5).to(device, dtype).requires_grad_()
    indices = make_indices(distribution, (6, 7), 8, GENERATOR.manual_seed(5)).to(device)
    check(indices, weight, make_gradient((6, 7, 5), dtype, GENERATOR).to(device), options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("padding_idx", [None, 0])
def test_gradient_for_every_shape_of_input(
    shape: tuple[int, ...], index_dtype: torch.dtype, sparse: bool, padding_idx: int | None, device: str
) -> None:
    weight = torch.randn(4, 3, device=device, requires_grad=True)
    indices = make_indices("uniform", shape, 4, GENERATOR).to(device, index_dtype)
    grad_output = make_gradient((*shape, 3), torch.float32, GENERATOR).to(device)
    check(indices, weight, grad_output, {"sparse": sparse, "padding_idx": padding_idx, "scale_grad_by_freq": True})


@pytest.mark.parametrize(
    ("V", "D", "N"), [(1, 1, 40), (2, 5, 70), (5, 0, 6), (130, 1, 20), (3, 140, 33), (40000, 2, 30)]
)
@pytest.mark.parametrize("sparse", [False, True])
def test_gradient_for_every_size(V: int, D: int, N: int, sparse: bool, device: str) -> None:
    weight = torch.randn(V, D, device=device, requires_grad=True)
    indices = make_indices("uniform", (N,), V, GENERATOR).to(device)
    check(indices, weight, make_gradient((N, D), torch.float32, GENERATOR).to(device), {"sparse": sparse})


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_gradient_takes_any_strides_of_weight_indices_and_grad_output(
    layout: str, dims: int, sparse: bool, device: str
) -> None:
    shape = (4, 3, 2)[:dims]
    weight = LAYOUTS[layout](torch.randn(6, 5, device=device)).requires_grad_()
    indices = LAYOUTS[layout](make_indices("zipf", shape, 6, GENERATOR).to(device))
    grad_output = LAYOUTS[layout](make_gradient((*shape, 5), torch.float32, GENERATOR).to(device))
    check(indices, weight, grad_output, {"sparse": sparse})


@pytest.mark.parametrize("sparse", [False, True])
def test_gradient_takes_permuted_expanded_and_negated_grad_output(sparse: bool, device: str) -> None:
    indices = make_indices("zipf", (4, 3, 2), 6, GENERATOR).to(device)
    base = torch.randn(5, 4, 3, 2, device=device)
    variants = (
        base.permute(1, 2, 3, 0),
        base.permute(3, 2, 1, 0).contiguous().permute(2, 1, 0, 3),
        base[:, :1, :1, :1].permute(1, 2, 3, 0).expand(4, 3, 2, 5),
        base[0, 0, 0, 0].expand(4, 3, 2, 5),
        base[:1, :, :1].permute(1, 2, 3, 0).expand(4, 3, 2, 5),
        torch._neg_view(base.permute(1, 2, 3, 0)),
    )
    for grad_output in variants:
        check(indices, torch.randn(6, 5, device=device, requires_grad=True), grad_output, {"sparse": sparse})


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_gradient_ignores_what_stands_in_padded_positions(sparse: bool, dtype: torch.dtype, device: str) -> None:
    weight = torch.randn(4, 3, device=device, dtype=dtype, requires_grad=True)
    indices = torch.tensor([1, 2, 1, 0, 1], device=device)
    grad_output = torch.randn(5, 3, device=device, dtype=dtype)
    grad_output[indices == 1] = float("nan")
    out = tembed.embedding(indices, weight, padding_idx=1, sparse=sparse)
    (grad,) = torch.autograd.grad(out, weight, grad_output)
    assert torch.equal(grad.to_dense()[indices[[1, 3]]], grad_output[[1, 3]])
    assert not grad.to_dense()[[1, 3]].any()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("sparse", [False, True])
def test_gradient_sums_a_thousand_ones_to_a_thousand(dtype: torch.dtype, sparse: bool, device: str) -> None:
    weight = torch.randn(3, 2, device=device, dtype=dtype, requires_grad=True)
    tembed.embedding(torch.ones(1000, dtype=torch.int64, device=device), weight, sparse=sparse).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad.to_dense()[:, 0].cpu().float(), torch.tensor([0.0, 1000.0, 0.0]))


@pytest.mark.parametrize("sparse", [False, True])
def test_gradient_is_bitwise_repeatable(sparse: bool, device: str) -> None:
    weight = torch.randn(5, 6, device=device, requires_grad=True)
    indices = make_indices("zipf", (200,), 5, GENERATOR).to(device)
    grad_output = torch.randn(200, 6, device=device)
    results = []
    for order in (nullcontext, reversed_programs if kernels.interpreted() else nullcontext):
        with order():
            out = tembed.embedding(indices, weight, sparse=sparse)
            results.append(torch.autograd.grad(out, weight, grad_output)[0].to_dense())
    assert torch.equal(results[0], results[1])


@pytest.mark.parametrize("sparse", [False, True])
def test_gradient_of_a_list_of_padding_is_nothing(sparse: bool, device: str) -> None:
    weight = torch.randn(4, 3, device=device, requires_grad=True)
    indices = torch.full((5,), 2, device=device)
    check(indices, weight, torch.randn(5, 3, device=device), {"sparse": sparse, "padding_idx": 2})


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, object]:
    """A table, a shape of indices, strides for each tensor, and options."""
    V = draw(st.integers(1, 40))
    return {
        "V": V,
        "D": draw(st.integers(0, 40)),
        "shape": tuple(draw(st.lists(st.integers(0, 6), max_size=3))),
        "distribution": draw(st.sampled_from(DISTRIBUTIONS)),
        "dtype": draw(st.sampled_from(FLOATS)),
        "index_dtype": draw(st.sampled_from([torch.int32, torch.int64])),
        "layouts": draw(st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 3)),
        "seed": draw(st.integers(0, 2**20)),
        "options": {
            "padding_idx": draw(st.none() | st.integers(-V, V - 1)),
            "scale_grad_by_freq": draw(st.booleans()),
            "sparse": draw(st.booleans()),
        },
    }


def check_configuration(c: dict, device: str) -> None:
    generator = GENERATOR.manual_seed(c["seed"])
    on_weight, on_indices, on_gradient = (LAYOUTS[name] for name in c["layouts"])
    weight = on_weight(torch.randn(c["V"], c["D"], generator=generator).to(device, c["dtype"]))
    indices = on_indices(make_indices(c["distribution"], c["shape"], c["V"], generator).to(device, c["index_dtype"]))
    grad_output = on_gradient(make_gradient((*c["shape"], c["D"]), c["dtype"], generator).to(device))
    assert torch.equal(tembed.embedding(indices, weight, **c["options"]), weight[indices.long()])
    check(indices, weight.requires_grad_(), grad_output, c["options"])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(c=configurations())
def test_forward_and_gradient_of_any_configuration(c: dict, device: str) -> None:
    check_configuration(c, device)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(c=configurations())
def test_forward_and_gradient_of_thousands_of_configurations(c: dict, device: str) -> None:
    check_configuration(c, device)
