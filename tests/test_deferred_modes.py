"""The other modes on accelerators, and devices on which no kernel could report."""

import pytest
import torch
from deferred import BAD, forget_devices, lookup, settle, told

import tembed
from tembed import kernels, reports


def test_off_raises_nothing_and_immediate_changes_nothing(deferring: str) -> None:
    with tembed.index_checks("off"):
        assert not lookup(deferring)[1].any()
    tembed.check_indices()
    weight = torch.full((4, 2), 9.0, device=deferring)
    with tembed.index_checks("immediate"), pytest.raises(IndexError, match=r"index 7 at position \[1\]") as caught:
        tembed.embedding(torch.tensor([1, 7], device=deferring), weight, max_norm=1.0)
    assert "earlier" not in str(caught.value)
    assert (weight == 9).all()
    tembed.check_indices()


def test_off_raises_nothing_that_was_reported_before(deferring: str) -> None:
    weight = torch.ones(6, 3, device=deferring, requires_grad=True)
    out = tembed.embedding(torch.tensor(BAD, device=deferring), weight)
    settle(deferring)
    with tembed.index_checks("off"):
        lookup(deferring, [0])
        out.sum().backward()
    assert "index 9" in told()


def test_immediate_raises_what_was_reported_before(deferring: str) -> None:
    lookup(deferring)
    settle(deferring)
    with tembed.index_checks("immediate"):
        assert "by an earlier lookup" in told(lambda: lookup(deferring, [0]))
        lookup(deferring, [0])


def test_where_no_kernel_runs_bad_indices_raise_at_the_call(deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "drives", lambda device_type: False)
    forget_devices(monkeypatch)
    assert "earlier" not in told(lambda: lookup(deferring))
    with tembed.index_checks("off"):
        assert reports.check(torch.tensor([9], device=deferring), 6) is None
