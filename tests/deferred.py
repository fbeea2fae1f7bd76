"""Bad indices on accelerators, looked up there, and what is told of them afterwards."""

from collections.abc import Callable

import pytest
import torch

import tembed
from tembed import reports, slots

EARLIER = "found on {}.* by an earlier lookup, whose row was zeros"
BAD = [[0, 5], [9, -1]]
TOLD = r"index 9 at position \[1, 0\] of an input of shape \[2, 2\], in a table of 6 rows"


def lookup(device: str, indices: object = BAD, V: int = 6, **options: object) -> torch.Tensor:
    return tembed.embedding(torch.tensor(indices, device=device), torch.ones(V, 3, device=device), **options)  # type: ignore[arg-type]


def told(call: Callable[[], object] = tembed.check_indices) -> str:
    with pytest.raises(IndexError) as caught:
        call()
    return str(caught.value)


def forget_devices(monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    """As if nothing had been looked up; with other sizes of what is kept for a device."""
    for module in (slots, reports):
        for name, value in {"memories": {}, **sizes}.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(reports, "memories", slots.memories)


def settle(device: str) -> None:
    """The device has done what it was given."""
    if device != "cpu":
        torch.get_device_module(device).synchronize()


def nothing_arrived(tensor: torch.Tensor) -> None:
    """As if the host were ahead of the device."""
    settle(tensor.device.type)
    slots.memories[tensor.get_device()].view[0] = 0
