import math

import numpy as np
import pytest
import torch

import tembed
from tembed.parity import oracle
from tembed.parity.cases import DISTRIBUTIONS, LAYOUTS, make_indices

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
NORMS = (2.0, 1.0, 3.0, 0.5, math.inf, -math.inf, 0.0, -1.0, 2.5)
GENERATOR = torch.Generator()


def between(norms: np.ndarray) -> float:
    """A max_norm in the middle of the widest gap between norms, so that rounding cannot put a row across it."""
    ordered = np.unique(norms[np.isfinite(norms)])
    if len(ordered) == 1:
        return float(ordered[0]) / 2
    widest = int(np.argmax(np.diff(ordered)))
    return float(ordered[widest] + ordered[widest + 1]) / 2


def tolerance(dtype: torch.dtype, D: int, p: float) -> float:
    """Relative error of a scaled element: the norm's own, and the roundings of norm, factor and product.

    A sum of D terms is off by D roundoffs; |x|^p by way of exp2 and log2 by a few more for each unit of
    |p log2 x|, here below 40, which the p-th root divides again.
    """
    name = str(dtype).removeprefix("torch.")
    power = 0 if p in (0, 1, 2) or math.isinf(p) else 40 / min(1.0, abs(p))
    return oracle.ROUNDOFF[oracle.ACCUMULATOR[name]] * (D + 4 + power) * 2 + 3.1 * oracle.ROUNDOFF[name]


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_max_norm_matches_the_oracle(p: float, dtype: torch.dtype, distribution: str, device: str) -> None:
    V, D = 10, 12
    scales = torch.linspace(0.2, 3, V)[:, None]
    weight = (torch.randn(V, D) * scales).to(dtype).to(device)
    if p == 0:
        weight[torch.rand(V, D, device=device) < 0.4] = 0
    indices = make_indices(distribution, (5, 6), V, GENERATOR.manual_seed(3)).to(device)
    before = weight.double().cpu().numpy().copy()
    max_norm = between(oracle.norms(before[np.unique(indices.cpu())], p))
    out = tembed.embedding(indices, weight, max_norm=max_norm, norm_type=p)
    expected = oracle.renorm(before, indices.cpu().numpy(), max_norm, p)
    after = weight.double().cpu().numpy()
    untouched = (expected == before).all(1)
    assert (after[untouched] == before[untouched]).all()
    small = oracle.UNDERFLOW[str(dtype).removeprefix("torch.")]
    np.testing.assert_allclose(after, expected, rtol=tolerance(dtype, D, p), atol=2 * small)
    assert torch.equal(out, weight[indices])


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_max_norm_rounds_norm_and_factor_as_the_cpu_does(p: float, dtype: torch.dtype, device: str) -> None:
    """Rows of small integers, whose norms before rounding do not depend on the order of the sum."""
    weight = torch.randint(-9, 10, (200, 12)).to(dtype)
    indices = torch.arange(200)
    ours = weight.to(device)
    tembed.embedding(indices.to(device), ours, max_norm=3.3, norm_type=p)
    torch.embedding_renorm_(weight, indices, 3.3, p)
    assert torch.equal(ours.cpu(), weight)


@pytest.mark.parametrize(("D", "layout"), [(1, "contiguous"), (300, "contiguous"), (1100, "padded rows")])
@pytest.mark.parametrize("p", [2.0, math.inf, -math.inf, 0.5])
def test_max_norm_of_rows_of_every_length(D: int, layout: str, p: float, device: str) -> None:
    weight = LAYOUTS[layout]((torch.randn(6, D, dtype=torch.float64) * torch.arange(1, 7)[:, None]).to(device))
    indices = torch.tensor([5, 1, 5, 0], device=device)
    before = weight.cpu().numpy().copy()
    max_norm = between(oracle.norms(before[[0, 1, 5]], p))
    out = tembed.embedding(indices, weight, max_norm=max_norm, norm_type=p)
    expected = oracle.renorm(before, indices.cpu().numpy(), max_norm, p)
    np.testing.assert_allclose(weight.cpu().numpy(), expected, rtol=tolerance(torch.float64, D, p))
    assert not np.array_equal(expected, before)
    assert torch.equal(out, weight[indices])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_max_norm_writes_through_to_a_strided_table(layout: str, device: str) -> None:
    weight = LAYOUTS[layout](torch.randn(6, 8, device=device) * 5)
    storage = weight.data_ptr()
    tembed.embedding(torch.tensor([1, 1, 4], device=device), weight, max_norm=0.5)
    assert weight.data_ptr() == storage
    norms = weight.norm(dim=1)
    torch.testing.assert_close(norms[[1, 4]], torch.full((2,), 0.5, device=device))
    assert (norms[[0, 2, 3, 5]] > 1).all()


def test_max_norm_scales_a_row_once_however_often_it_is_looked_up(device: str) -> None:
    weight = torch.full((2, 4), 3.0, device=device)
    tembed.embedding(torch.zeros(100, dtype=torch.int64, device=device), weight, max_norm=1.0)
    once = torch.full((2, 4), 3.0, device=device)
    tembed.embedding(torch.zeros(1, dtype=torch.int64, device=device), once, max_norm=1.0)
    assert torch.equal(weight, once)
    torch.testing.assert_close(weight[0], torch.full((4,), 0.5, device=device))


VALUES = [
    (0, 0.0), (False, 0.0), (-1.0, -1.0), (True, 1.0), (math.inf, None), (math.nan, None), (1e30, None),
]  # fmt: skip


@pytest.mark.parametrize(("max_norm", "norm"), VALUES, ids=str)
def test_max_norm_takes_every_number(max_norm: float, norm: float | None, device: str) -> None:
    weight = torch.tensor([[3.0, 4.0], [6.0, 8.0]], device=device)
    before = weight.clone()
    tembed.embedding(torch.tensor([0], device=device), weight, max_norm=max_norm)
    expected = before[0] if norm is None else before[0] / 5 * norm
    torch.testing.assert_close(weight[0], expected)
    assert torch.equal(weight[1], before[1])


def test_norm_type_nan_never_renorms(device: str) -> None:
    weight = torch.randn(3, 4, device=device)
    before = weight.clone()
    tembed.embedding(torch.tensor([0, 1], device=device), weight, max_norm=0.1, norm_type=math.nan)
    assert torch.equal(weight, before)


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf, 3.0])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_max_norm_of_special_rows(p: float, dtype: torch.dtype, device: str) -> None:
    nan, inf = math.nan, math.inf
    weight = torch.tensor([[nan, 9.0, 1.0], [0.0, -0.0, 0.0], [inf, 2.0, -3.0], [2.0, -inf, inf]], dtype=dtype).to(
        device
    )
    before = weight.clone()
    tembed.embedding(torch.arange(4, device=device), weight, max_norm=1.0, norm_type=p)
    wide = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    assert torch.equal(weight[:2].view(wide), before[:2].view(wide)), "NaN and zero rows stay, bit for bit"
    expected = torch.tensor([[nan, 0.0, 0.0], [0.0, nan, nan]], dtype=dtype, device=device)
    torch.testing.assert_close(weight[2:].abs(), expected, equal_nan=True, rtol=0, atol=0)


def test_max_norm_zeroes_a_half_precision_row_whose_norm_overflows(device: str) -> None:
    weight = torch.full((2, 4), 6e4, dtype=torch.float16, device=device)
    out = tembed.embedding(torch.tensor([1], device=device), weight, max_norm=1.0)
    assert not out.any()
    assert not weight[1].any()
    assert weight[0].all()


@pytest.mark.parametrize("N", [0, 1, 6])
@pytest.mark.parametrize("max_norm", [1e9, 0.01])
@pytest.mark.parametrize("grad", [False, True])
def test_max_norm_counts_as_one_change_in_place(N: int, max_norm: float, grad: bool, device: str) -> None:
    weight = torch.randn(5, 4, device=device, requires_grad=grad)
    version = weight._version
    tembed.embedding(torch.zeros(N, dtype=torch.int64, device=device), weight, max_norm=max_norm)
    assert weight._version == version + 1
    with torch.no_grad():
        tembed.embedding(torch.zeros(N, dtype=torch.int64, device=device), weight, max_norm=max_norm)
    assert weight._version == version + 2


def test_max_norm_breaks_a_graph_that_saved_the_weight_before(device: str) -> None:
    weight = torch.randn(5, 4, device=device, requires_grad=True)
    square = weight**2
    tembed.embedding(torch.tensor([0], device=device), weight, max_norm=1e9)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.sum().backward()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_max_norm_lets_the_gradient_straight_through(sparse: bool, scale: bool, device: str) -> None:
    weight = torch.randn(5, 4, device=device) * 9
    indices = torch.tensor([[0, 3, 3], [2, 2, 2]], device=device)
    grad_output = torch.randn(2, 3, 4, device=device)
    grads = []
    for max_norm in (None, 0.5):
        leaf = weight.clone().requires_grad_()
        out = tembed.embedding(indices, leaf, 2, max_norm, sparse=sparse, scale_grad_by_freq=scale)
        grads.append(torch.autograd.grad(out, leaf, grad_output)[0].to_dense())
    assert torch.equal(grads[0], grads[1])


@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "eval", "frozen", "inference tensor"])
def test_max_norm_changes_the_table_whatever_the_mode(how: str, device: str) -> None:
    with torch.inference_mode(how == "inference tensor"):
        source = torch.full((3, 4), 2.0, device=device)
        module = tembed.Embedding.from_pretrained(source, freeze=how == "frozen", max_norm=1.0, padding_idx=1)
    indices = torch.tensor([1], device=device)
    if how == "no_grad":
        with torch.no_grad():
            module(indices)
    elif how == "inference_mode":
        with torch.inference_mode():
            module(indices)
    else:
        module.train(how != "eval")(indices)
    expected = torch.full((4,), 0.5, device=device)
    torch.testing.assert_close(source[1], expected, msg="the padding row and the source are included")
    assert (source[[0, 2]] == 2).all()


def test_max_norm_of_a_table_with_equal_rows_in_one_place(device: str) -> None:
    weight = torch.full((1, 4), 2.0, device=device)
    tembed.embedding(torch.tensor([0, 2], device=device), weight.expand(3, 4), max_norm=1.0)
    torch.testing.assert_close(weight, torch.full((1, 4), 0.5, device=device))


def test_max_norm_of_a_table_expanded_along_its_rows_needs_no_row_to_be_over(device: str) -> None:
    weight = torch.full((4, 1), 2.0, device=device).expand(4, 3)
    version = weight._version
    out = tembed.embedding(torch.tensor([1, 1], device=device), weight, max_norm=10.0)
    assert torch.equal(out, weight[:2])
    assert weight._version == version + 1
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory"):
        tembed.embedding(torch.tensor([1, 1], device=device), weight, max_norm=1.0)
    assert (weight == 2).all()


def test_max_norm_of_complex_rows(device: str) -> None:
    weight = torch.tensor([[3 + 4j, 0], [0.1j, 0]], dtype=torch.complex64, device=device)
    tembed.embedding(torch.tensor([0, 1], device=device), weight, max_norm=1.0)
    torch.testing.assert_close(weight, torch.tensor([[0.6 + 0.8j, 0], [0.1j, 0]], dtype=torch.complex64, device=device))


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_reference_for_other_devices_agrees_with_torchs_on_the_cpu(p: float, dtype: torch.dtype) -> None:
    """The branch that devices without kernels take, run on the CPU by way of a stand-in for `is_cpu`."""
    from tembed import reference

    class Elsewhere(torch.Tensor):
        is_cpu = False

    weight = (torch.randn(10, 7) * torch.linspace(0.2, 3, 10)[:, None]).to(dtype)
    indices = make_indices("zipf", (9,), 10, GENERATOR.manual_seed(1))
    max_norm = between(oracle.norms(weight.double().numpy()[indices.unique()], p))
    stock = weight.clone()
    torch.embedding_renorm_(stock, indices, max_norm, p)
    reference.renorm_(weight.as_subclass(Elsewhere), indices, max_norm, p)
    torch.testing.assert_close(weight, stock, rtol=tolerance(dtype, 7, p), atol=0)
    expanded = torch.full((4, 1), 2.0, dtype=dtype).expand(4, 3).as_subclass(Elsewhere)
    reference.renorm_(expanded, indices % 4, 100.0, p)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        reference.renorm_(expanded, indices % 4, 0.1, p)
