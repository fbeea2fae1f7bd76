"""Slots of launches: they go round, and what the host remembers of them does not grow."""

import pytest
import torch
from deferred import forget_devices, told

from tembed import reports, slots
from tembed.kernels import WORDS


def test_slots_go_round_and_nothing_grows(deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_devices(monkeypatch, SLOTS=4)
    monkeypatch.setattr(reports, "KINDS", 3)
    weight, indices = torch.ones(3, 2, device=deferring), torch.tensor([1], device=deferring)
    memory, got = slots.memory_of(weight), []
    assert memory is not None
    for number, captured in enumerate((False, True) * 9):
        memory.capturing = lambda captured=captured: captured  # type: ignore[misc]
        report = reports.check(indices.expand(number + 1), 3, weight)
        assert report is not None
        assert len(memory.kinds) <= 4
        got.append(report[1])
    assert got[::2] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert got[1::2] == [4, 5, 6, 7, 4, 5, 6, 7, 4]
    assert len(memory.launches) == 8


def test_a_launch_that_lost_its_slot_is_told_of_without_a_shape(deferring: str) -> None:
    """As one in a graph that is replayed, after as many captures as there are slots."""
    indices = torch.tensor([1, 2], device=deferring)
    report = reports.check(indices, 6)
    assert report is not None
    memory, slot = slots.memories[indices.get_device()], report[1]
    for words in ((8, 70, 6), (1, 70, 4)):
        memory.words[1 + slot * WORDS :][:WORDS] = torch.tensor(words)
        text = told()
        assert text.startswith(
            f"index out of range in self: index 70 at position [{words[0] - 1}] of a flattened input"
        )
        assert f"in a table of {words[2]} rows; found" in text
