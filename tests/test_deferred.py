"""Bad indices on accelerators: their rows are zeros, and a later call raises all that one on the CPU would say."""

import pytest
import torch
from deferred import BAD, EARLIER, TOLD, lookup, settle, told

import tembed
from tembed.parity.instruments.launches import waits


@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}, {"max_norm": float("nan")}], ids=str)
def test_the_bad_row_is_zeros_and_the_next_lookup_raises(options: dict[str, float], deferring: str) -> None:
    out = lookup(deferring, **options)
    assert out[0].any(-1).all()
    assert not out[1].any()
    settle(deferring)
    with pytest.raises(IndexError, match=f"^index out of range in self: {TOLD}; {EARLIER.format(deferring)}$"):
        lookup(deferring, [0])
    assert lookup(deferring, [0]).all()
    tembed.check_indices()


def test_the_backward_raises_before_anything_is_accumulated(deferring: str) -> None:
    module = tembed.Embedding(6, 3, device=deferring)
    out = module(torch.tensor(BAD, device=deferring))
    settle(deferring)
    with pytest.raises(IndexError, match=TOLD):
        out.sum().backward()
    assert module.weight.grad is None


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_a_bad_index_has_no_part_in_gradients_and_counts(sparse: bool, scale: bool, deferring: str) -> None:
    weight = torch.ones(6, 3, device=deferring, requires_grad=True)
    indices = torch.tensor([1, 6, 1, -1, 4], device=deferring)
    out = tembed.embedding(indices, weight, scale_grad_by_freq=scale, sparse=sparse)
    assert "index 6 at position [1]" in told()
    out.sum().backward()
    assert weight.grad is not None
    row = [0, 1 if scale else 2, 0, 0, 1, 0]
    assert torch.equal(weight.grad.to_dense().cpu(), torch.tensor(row).view(6, 1).expand(6, 3).float())


def test_max_norm_leaves_a_table_alone_but_for_good_rows(deferring: str) -> None:
    weight = torch.full((4, 2), 9.0, device=deferring)
    tembed.embedding(torch.tensor([1, 7], device=deferring), weight, max_norm=1.0)
    assert "index 7 at position [1]" in told()
    assert torch.equal(weight[[0, 2, 3]].cpu(), torch.full((3, 2), 9.0))
    assert weight[1].norm() <= 1.0


@pytest.mark.parametrize(
    ("indices", "position", "index"),
    [(9, "[]", 9), ([[[0, 1]], [[2, -3]]], "[1, 0, 1]", -3), ([6], "[0]", 6)],
    ids=["0-d", "3-d", "1-d"],
)
def test_positions_have_the_dimensions_of_the_input(indices: object, position: str, index: int, deferring: str) -> None:
    lookup(deferring, indices)
    assert f"index {index} at position {position} of an input of shape" in told()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int16, torch.complex128, torch.complex64, torch.float8_e4m3fn])
def test_tables_of_every_dtype_report_once(dtype: torch.dtype, deferring: str) -> None:
    weight = torch.ones(6, 3, device=deferring).to(dtype)
    for table in (weight, weight[:, :0]):
        tembed.embedding(torch.tensor(BAD, device=deferring), table)
        assert told().count("index 9") == 1
        tembed.check_indices()


def test_a_lazy_negative_table_reports(deferring: str) -> None:
    table = torch.ones(6, 3, device=deferring, dtype=torch.complex64).conj().imag
    assert table.is_neg()
    tembed.embedding(torch.tensor(BAD, device=deferring), table)
    assert told().count("index 9") == 1


def test_derivatives_report_nothing_of_their_own(deferring: str) -> None:
    weight = torch.ones(6, 3, device=deferring, dtype=torch.float64, requires_grad=True)
    indices = torch.tensor(BAD, device=deferring)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(weight, torch.ones_like(weight))
        out = tembed.embedding(indices, dual)
        assert told().count("index 9") == 1
        (grad,) = torch.autograd.grad(out.square().sum(), weight, create_graph=True)
    grad.sum().backward()
    tembed.check_indices()


def test_a_lookup_waits_for_nothing(deferring: str) -> None:
    module = tembed.Embedding(6, 3, device=deferring, max_norm=1.0)
    indices = torch.tensor([[0, 5]], device=deferring)
    module(indices)
    with waits() as found:
        module(indices).sum().backward()
    assert found == []
