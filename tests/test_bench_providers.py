"""Providers in their modes: deterministic in both directions, and coalesced where gradients are sparse."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import planted_lookups as planted
import pytest
import torch
import torch.utils.deterministic
from planted_lookups import TINY
from planted_runs import ran
from torch import Tensor

from tembed.bench.backward import SPARSE_BACKWARD
from tembed.bench.documents import failures
from tembed.bench.gradient_gate import check_sparse
from tembed.bench.inputs import make_inputs, with_gradients
from tembed.bench.providers import PROVIDERS, STOCK, stock

OPTIONS: Any = torch.utils.deterministic


def mode() -> tuple[bool, bool, bool]:
    """Whether torch is deterministic, only warns, and fills fresh memory."""
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), warns, OPTIONS.fill_uninitialized_memory


@pytest.fixture(params=[(False, False, True), (True, True, True), (True, False, False)])
def ambient(request: pytest.FixtureRequest) -> Iterator[tuple[bool, bool, bool]]:
    """Modes that torch is in before."""

    def set_mode(its: tuple[bool, bool, bool]) -> None:
        torch.use_deterministic_algorithms(its[0], warn_only=its[1])
        OPTIONS.fill_uninitialized_memory = its[2]

    before = mode()
    set_mode(request.param)
    yield request.param
    set_mode(before)


def test_deterministic_stock_is_so_in_both_directions_and_only_there(ambient: tuple[bool, bool, bool]) -> None:
    modes: list[tuple[bool, bool, bool]] = []

    def watched(weight: Tensor, indices: Tensor, max_norm: float | None, sparse: bool = False) -> Tensor:
        modes.append(mode())
        out = stock(weight, indices, max_norm, sparse)
        out.grad_fn.register_prehook(lambda grads: modes.append(mode()))  # type: ignore[union-attr]
        return out

    its = PROVIDERS["stock deterministic"]
    for name in ("backward", "step:SGD"):
        modes.clear()
        document = ran([name], [replace(its, function=watched), PROVIDERS[STOCK]])
        assert failures(document) == []
        assert len(modes) >= 4
        assert {*modes} == {(True, False, False)}
        assert mode() == ambient
    with pytest.raises(planted.Broken), its.within():
        raise planted.Broken
    assert mode() == ambient


@pytest.mark.parametrize("name", [STOCK, "tembed"])
def test_sparse_backward_gives_a_coalesced_gradient(name: str) -> None:
    inputs = with_gradients(make_inputs(TINY, torch.device("cpu")))
    run = SPARSE_BACKWARD.prepare(PROVIDERS[name].lookup(None, sparse=True), inputs, inputs.indices)
    assert run().is_coalesced()
    assert check_sparse(run, inputs, inputs.indices, True)
