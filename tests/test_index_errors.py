"""The mode "immediate": on every device a bad index is what it is on a CPU, whose cases run here once more."""

from collections.abc import Iterator

import pytest
import torch

import tembed
from tembed.parity import peers
from tembed.parity.cases import Case, select

# On an accelerator these hold in this mode only, so that the parity suite asks CPU tables alone.
CASES = [case for case in select("errors") if case.feature.needs == "cpu"]


@pytest.fixture(autouse=True)
def _immediate() -> Iterator[None]:
    with tembed.index_checks("immediate"):
        yield


def test_cases_are_those_about_indices() -> None:
    features = {case.feature.name for case in CASES}
    assert {"index-range", "index-named", "index-changes-nothing", "first-fault-cpu", "no-rows"} <= features


@pytest.mark.skipif(not torch.cuda.is_available(), reason="on a CPU test_parity.py has run them")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_immediate_mode_raises_on_every_device(case: Case, device: str) -> None:
    case.run(peers.find("tembed", device))


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_message_is_as_documented(max_norm: float | None, device: str) -> None:
    indices, weight = torch.tensor([[0, 5], [9, -1]], device=device), torch.ones(6, 3, device=device)
    with pytest.raises(IndexError) as caught:
        tembed.embedding(indices, weight, max_norm=max_norm)
    assert str(caught.value) == (
        "index out of range in self: index 9 at position [1, 0] of an input of shape [2, 2], in a table of 6 rows"
    )


def test_message_for_a_single_index_has_no_position(device: str) -> None:
    with pytest.raises(IndexError, match=r"index -3 at position \[\] of an input of shape \[\], in a table of 6 rows"):
        tembed.embedding(torch.tensor(-3, device=device), torch.ones(6, 3, device=device))
