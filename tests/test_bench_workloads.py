"""The workloads, and the indices of each distribution."""

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from tembed.bench.indices import EXPONENT, draw
from tembed.bench.workloads import DISTRIBUTIONS, SUITES, Workload, select

WORKLOAD = Workload("mine", "x", 1000, 8, (40, 500), "fp32", "uniform")


def drawn(distribution: str, seed: int = 0, **more: object) -> Tensor:
    return draw(replace(WORKLOAD, distribution=distribution, **more), Generator().manual_seed(seed))  # type: ignore[arg-type]


def test_names_are_unique_and_every_suite_is_chosen_but_quick() -> None:
    every = select([], [])
    assert len({w.name for w in every}) == len(every) == sum(len(s) for n, s in SUITES.items() if n != "quick")
    assert set(SUITES["quick"]) < set(every)
    assert len(set(SUITES["quick"])) == 12
    assert select(["kg", "quick"], ["kg/*"]) == [*SUITES["kg"]]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("V", [2, 3, 1000, 200_000])
def test_indices_are_rows_of_the_table_and_the_same_for_a_seed(distribution: str, V: int) -> None:
    indices = drawn(distribution, V=V)
    assert indices.shape == (40, 500)
    assert indices.dtype == torch.int64
    assert indices.min() >= 0
    assert indices.max() < V
    assert torch.equal(indices, drawn(distribution, V=V))
    if V > 3:
        assert not torch.equal(indices, drawn(distribution, seed=1, V=V))


def test_hot_is_one_row_and_sorted_ascends() -> None:
    assert drawn("hot").unique().numel() == 1
    flat = drawn("sorted").reshape(-1)
    assert torch.equal(flat, flat.sort().values)
    assert flat.unique().numel() > 990


def test_uniform_has_every_row_about_as_often() -> None:
    counts = torch.bincount(drawn("uniform").reshape(-1), minlength=1000)
    assert counts.max() < 20 + 6 * 20**0.5


def test_zipf_has_frequencies_that_fall_with_the_rank() -> None:
    counts = torch.bincount(drawn("zipf", shape=(200_000,)), minlength=1000).double()
    wanted = torch.arange(1, 1001).double().pow(-EXPONENT)
    wanted *= 200_000 / wanted.sum()
    found = counts.sort(descending=True).values
    # the most frequent are in order, each within six standard deviations
    assert ((found[:20] - wanted[:20]).abs() < 6 * wanted[:20].sqrt()).all()
    assert counts.argmax() != 0, "the most frequent row lies anywhere"


def test_text_repeats_words_and_runs_on_from_its_beginning() -> None:
    flat = drawn("text", V=100_000, shape=(200_000,)).reshape(-1)
    counts = torch.bincount(flat).sort(descending=True).values
    assert counts[0] > 20 * counts[200] > 0
    assert 500 < flat.unique().numel() < 20_000


def test_bytes_are_indices_rows_and_output() -> None:
    assert WORKLOAD.bytes() == 20_000 * (8 + 2 * 8 * 4)
    assert WORKLOAD.bytes(unique=7) == 20_000 * (8 + 8 * 4) + 7 * 8 * 4


def test_scaled_has_fewer_rows_and_lookups_and_as_many_columns() -> None:
    small = WORKLOAD.scaled(10)
    assert (small.V, small.D, small.N, small.dtype) == (100, 8, 2000, "fp32")
    tiny = WORKLOAD.scaled(1e9)
    assert (tiny.V, tiny.N) == (2, 1)
