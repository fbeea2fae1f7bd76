"""Bad indices on accelerators, looked up there, and what is told of them afterwards."""

from collections.abc import Callable

import pytest
import torch

import tembed
from tembed import reports

EARLIER = "found on {}.* by an earlier lookup, whose row was zeros"
BAD = [[0, 5], [9, -1]]
TOLD = r"index 9 at position \[1, 0\] of an input of shape \[2, 2\], in a table of 6 rows"


def lookup(device: str, indices: object = BAD, V: int = 6, **options: object) -> torch.Tensor:
    return tembed.embedding(torch.tensor(indices, device=device), torch.ones(V, 3, device=device), **options)  # type: ignore[arg-type]


def told(call: Callable[[], object] = tembed.check_indices) -> str:
    with pytest.raises(IndexError) as caught:
        call()
    return str(caught.value)


def settle(device: str) -> None:
    """The device has done what it was given."""
    if device != "cpu":
        torch.accelerator.synchronize()


def nothing_arrived(tensor: torch.Tensor) -> None:
    """As if the host were ahead of the device."""
    settle(tensor.device.type)
    reports._memories[tensor.get_device()].view[0] = 0
