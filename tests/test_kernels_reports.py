"""Launches report the first bad index, if there is one: exactly, whatever the order of programs, without a race."""

from collections.abc import Callable

import pytest
import torch

from tembed import kernels
from tembed.kernels import WORDS, Report
from tembed.kernels.gather import gather_rows
from tembed.kernels.renorm import renorm_rows
from tembed.kernels.reports import mark_bad_indices
from tembed.parity.instruments.bounds import Bounds
from tembed.parity.instruments.hook import observed
from tembed.parity.instruments.order import interleaved_programs, reversed_programs, shuffled_programs
from tembed.parity.instruments.races import Races

Reporting = Callable[[torch.Tensor, torch.Tensor, Report], None]
interpreted = pytest.mark.skipif(not kernels.interpreted(), reason="needs Triton's interpreter")
V = 50


def gather(weight: torch.Tensor, indices: torch.Tensor, report: Report) -> None:
    gather_rows(weight, indices, weight.new_empty(*indices.shape, weight.shape[1]), report=report)


def renorm(weight: torch.Tensor, indices: torch.Tensor, report: Report) -> None:
    out = weight.new_empty(*indices.shape, weight.shape[1])
    targets = torch.empty(indices.numel(), dtype=torch.int32, device=weight.device)
    renorm_rows(weight.clone(), indices, out, targets, 1.0, 2.0, report=report)


def mark(weight: torch.Tensor, indices: torch.Tensor, report: Report) -> None:
    mark_bad_indices(indices, indices.new_empty(indices.shape), report[2], report)


LAUNCHES: dict[str, Reporting] = {"gather": gather, "renorm": renorm, "mark": mark}
every_launch = pytest.mark.parametrize("launch", LAUNCHES.values(), ids=LAUNCHES)


def memory(device: str, slots: int = 5) -> torch.Tensor:
    return torch.zeros(1 + slots * WORDS, dtype=torch.int64, device=device)


def problem(
    N: int, bad: dict[int, int], device: str, D: int = 6, dtype: torch.dtype = torch.int64
) -> tuple[torch.Tensor, torch.Tensor]:
    indices = torch.randint(0, V, (N,), dtype=dtype)
    for position, index in bad.items():
        indices[position] = index
    return torch.randn(V, D, device=device), indices.to(device)


@every_launch
@pytest.mark.parametrize("D", [1, 6, 300, 1030])
@pytest.mark.parametrize(
    ("N", "bad"),
    [
        (1, {0: -1}),
        (3, {2: V}),
        (700, {0: V, 1: -1, 699: -7}),
        (700, {699: -7}),
        (700, {513: V + 1, 514: -1, 600: V}),
        (700, {255: -3, 256: V}),
    ],
    ids=["one", "last", "first", "very-last", "later", "border"],
)
def test_the_first_bad_index_is_reported(launch: Reporting, D: int, N: int, bad: dict[int, int], device: str) -> None:
    if D > 6 and N > 3:  # a program has fewer lookups then
        N = 90 if D == 300 else 25
        bad = {position % N: index for position, index in reversed(bad.items())}
    words = memory(device)
    launch(*problem(N, bad, device, D), (words, 3, V))
    first = min(bad)
    expected = memory("cpu")
    expected[0] = 1
    expected[1 + 3 * WORDS :][:WORDS] = torch.tensor([first + 1, bad[first], V])
    assert torch.equal(words.cpu(), expected)


@every_launch
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_values_are_reported_whole(launch: Reporting, dtype: torch.dtype, device: str) -> None:
    for value in (torch.iinfo(dtype).min, torch.iinfo(dtype).max, -1, V):
        words = memory(device)
        launch(*problem(9, {4: value}, device, dtype=dtype), (words, 0, V))
        assert words[:4].tolist() == [1, 5, value, V]


@every_launch
def test_without_a_bad_index_nothing_is_touched(launch: Reporting, device: str) -> None:
    words = torch.full((1 + 5 * WORDS,), -5, device=device)
    launch(*problem(700, {}, device), (words, 3, V))
    assert (words == -5).all()


@every_launch
def test_strided_and_shaped_indices_report_their_flat_position(launch: Reporting, device: str) -> None:
    weight, indices = problem(60, {37: -2}, device)
    spread = torch.stack([indices, torch.full_like(indices, -9)], 1)[:, 0]
    for shaped in (indices.view(3, 20), spread, indices.view(20, 3).t().contiguous().t()):
        words = memory(device)
        launch(weight, shaped, (words, 0, V))
        assert words[:4].tolist() == [1, 38, -2, V]


@pytest.mark.parametrize("launch", [gather, mark], ids=["gather", "mark"])
def test_rows_of_other_parts_are_not_reported(launch: Reporting, device: str) -> None:
    """The table of the launch has 50 rows of 80."""
    for bad, expected in (({3: 79, 5: V}, 0), ({3: 79, 5: 80, 7: -1}, 6)):
        words = memory(device)
        launch(*problem(9, bad, device), (words, 0, 80))
        assert int(words[1]) == expected


def test_a_good_index_that_is_skipped_is_not_reported(device: str) -> None:
    weight, indices = problem(9, {2: 7}, device)
    words = memory(device)
    gather_rows(weight, indices, weight.new_empty(9, 6), skip=7, report=(words, 0, V))
    assert not words.any()


def test_marked_indices_are_copies_with_minus_one(device: str) -> None:
    for dtype in (torch.int32, torch.int64):
        _, indices = problem(2000, {0: V, 1500: -4, 1999: torch.iinfo(dtype).max}, device, dtype=dtype)
        out = torch.empty_like(indices)
        mark_bad_indices(indices, out, V)
        expected = indices.clone()
        expected[[0, 1500, 1999]] = -1
        assert torch.equal(out, expected)


@interpreted
@every_launch
@pytest.mark.parametrize(
    "order", [reversed_programs, shuffled_programs, interleaved_programs], ids=lambda f: f.__name__
)
def test_the_order_of_programs_does_not_matter(launch: Reporting, order: Callable[[], object], device: str) -> None:
    words = memory(device)
    given = problem(400, {300: -1, 200: V, 399: -2, 201: -8}, device, D=70)
    with order():  # type: ignore[attr-defined]
        launch(*given, (words, 2, V))
    assert words[7:10].tolist() == [201, V, V]


@interpreted
@every_launch
def test_reports_are_no_race_and_within_bounds(launch: Reporting, device: str) -> None:
    given = problem(300, {100: -1, 150: V, 299: -2}, device, D=70)
    for instrument in (Races(identical_stores=True), Bounds()):
        words = memory(device, 1)
        with observed(instrument):
            launch(*given, (words, 0, V))
        assert words.tolist() == [1, 101, -1, V]


@interpreted
def test_a_slot_that_tells_of_an_index_before_stays(device: str) -> None:
    """That of a launch which nobody has asked for since, in a graph that is replayed."""
    words = memory(device, 1)
    for earlier, expected in ((2, [2, 99, V]), (590, [501, -1, V])):
        words[1:4] = torch.tensor([earlier, 99, V])
        gather(*problem(600, {500: -1}, device), (words, 0, V))
        assert words[1:4].tolist() == expected
