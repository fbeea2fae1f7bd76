import pytest
import torch

from tembed.kernels.renorm import renorm_rows


def renormed(weight: torch.Tensor, indices: torch.Tensor, max_norm: float, p: float = 2.0) -> torch.Tensor:
    out = weight.new_empty(len(indices), weight.shape[1])
    over = torch.empty(len(indices), dtype=torch.int8, device=weight.device)
    renorm_rows(weight, indices, out, over, max_norm, p)
    return out


@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
def test_renorm_rows_leaves_bad_indices_out(index_dtype: torch.dtype, device: str) -> None:
    backing = torch.full((8, 4), 7.0, device=device)
    weight = backing[2:6]
    lowest, highest = torch.iinfo(index_dtype).min, torch.iinfo(index_dtype).max
    indices = torch.tensor([-1, 4, 1, lowest, highest], dtype=index_dtype, device=device)
    out = renormed(weight, indices, 1.0)
    torch.testing.assert_close(out[2], torch.full((4,), 0.5, device=device))
    assert not out[[0, 1, 3, 4]].any()
    untouched = torch.ones(8, dtype=torch.bool)
    untouched[3] = False
    assert (backing[untouched] == 7).all()


def test_renorm_rows_reads_strided_and_expanded_indices(device: str) -> None:
    weight = torch.randn(9, 5, device=device) * 9
    once = weight.clone()
    strided = torch.arange(9, device=device)[::2]
    assert torch.equal(renormed(weight, strided, 1.0), weight[strided])
    renormed(once, strided.contiguous(), 1.0)
    assert torch.equal(weight, once)
    expanded = torch.tensor(3, device=device).expand(40)
    assert torch.equal(renormed(weight, expanded, 1.0), weight[expanded])


def test_renorm_rows_compares_float64_rows_with_a_float64_limit(device: str) -> None:
    """A limit that float32 would round up to the norm."""
    limit = 1.0 - 1e-12
    weight = torch.tensor([[1.0], [1.0 - 1e-11]], dtype=torch.float64, device=device)
    renormed(weight, torch.tensor([0, 1], device=device), limit)
    assert weight[0].item() == limit / (1 + 1e-7)
    assert weight[1].item() == 1.0 - 1e-11


def test_renorm_rows_launches_nothing_for_empty_input(device: str) -> None:
    weight = torch.randn(3, 4, device=device)
    assert renormed(weight, torch.empty(0, dtype=torch.int64, device=device), 0.1).shape == (0, 4)
