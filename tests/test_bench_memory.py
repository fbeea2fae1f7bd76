"""A gradient takes little memory beyond itself, of whatever size, by whatever strides."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from conftest import DEVICE
from torch import Tensor

from tembed import kernels, ops
from tembed.bench.memory import taken_by

by_kernels = pytest.mark.skipif(not kernels.drives(DEVICE), reason="the reference takes what torch's operations do")
V = 300
MOST = 1 << 20  # lookups that are cut into the longest chunks


class Nothing:
    """Stands for a kernel, and computes nothing."""

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return lambda *args, **options: None


@pytest.fixture
def _no_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the interpreter launches that sum do nothing, as what they are given is all that is asked."""
    if kernels.interpreted():
        from tembed.kernels import reduce

        for name in [name for name in vars(reduce) if name.endswith("_kernel")]:
            monkeypatch.setattr(reduce, name, Nothing())


def faults_of(grad_output: Tensor, sparse: bool, hot: bool = False) -> list[str]:
    shape = grad_output.shape[:-1]
    indices = torch.full(shape, 7, device=DEVICE) if hot else torch.randint(V, shape, device=DEVICE)
    found, taken = taken_by(partial(ops.gradient, indices=indices, V=V, padding_idx=-1, scale=False, sparse=sparse),
                            grad_output)  # fmt: skip
    assert found.shape == (V, grad_output.shape[-1])
    assert taken.beyond > 0
    return list(taken.faults())


@by_kernels
@pytest.mark.usefixtures("_no_sums")
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("D", [16, 300, 16_384])
@pytest.mark.parametrize(("N", "lookups"), [(200, 200), (5000, 5000), (5000, MOST)], ids=["few", "many", "most"])
def test_gradients_take_little_beyond_themselves(
    N: int, lookups: int, D: int, dtype: torch.dtype, sparse: bool
) -> None:
    from tembed.bench.stand_in import handled_as

    with handled_as(lookups):
        assert faults_of(torch.ones(1, dtype=dtype, device=DEVICE).expand(N, D), sparse) == []


@by_kernels
@pytest.mark.usefixtures("_no_sums")
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("N", [200, 5000])
def test_hot_rows_take_no_more(N: int, dtype: torch.dtype, sparse: bool) -> None:
    assert faults_of(torch.ones(N, 64, dtype=dtype, device=DEVICE), sparse, hot=True) == []


# Of N lookups in rows of ten.
FORMS: dict[str, Callable[[int, int], Tensor]] = {
    "contiguous": lambda N, D: torch.ones(N // 10, 10, D, device=DEVICE),
    "expanded rows": lambda N, D: torch.ones(N // 10, 1, D, device=DEVICE).expand(-1, 10, -1),
    "every other row": lambda N, D: torch.ones(N // 10, 20, D, device=DEVICE)[:, ::2],
    "transposed": lambda N, D: torch.ones(10, N // 10, D, device=DEVICE).transpose(0, 1),
    "columns first": lambda N, D: torch.ones(D, N // 10, 10, device=DEVICE).permute(1, 2, 0),
    "every other column": lambda N, D: torch.ones(N // 10, 10, 2 * D, device=DEVICE)[..., ::2],
}


@by_kernels
@pytest.mark.usefixtures("_no_sums")
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("N", [200, 5000])
def test_strides_are_not_copied_away(N: int, form: Callable[[int, int], Tensor], sparse: bool) -> None:
    assert faults_of(form(N, 300), sparse) == []


@by_kernels
@pytest.mark.usefixtures("_no_sums")
def test_the_copy_that_three_strides_need_is_noticed() -> None:
    grad_output = torch.ones(10, 10, 10, 10, 64, device=DEVICE).permute(1, 3, 0, 2, 4)
    assert faults_of(grad_output, sparse=False) != []


@pytest.mark.skipif(not kernels.installed(), reason="needs Triton")
def test_a_few_lookups_are_handled_as_many_within_only() -> None:
    from tembed.bench.stand_in import handled_as, regime

    few, most = regime(10), regime(MOST)
    assert (few.partition(",")[0], most.partition(",")[0]) == ("few", "many")
    with handled_as(MOST):
        assert regime(10) == most
    with handled_as(10):
        assert regime(10) == few
    assert regime(MOST) == most
