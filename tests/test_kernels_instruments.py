"""tembed under every instrument: nothing is found, and no order of programs changes a bit."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import tembed
from tembed import kernels, ops
from tembed.kernels import tiles
from tembed.kernels.regimes import pick_regime
from tembed.kernels.tiles import pick_chunk, pick_tile
from tembed.parity.inputs import LAYOUTS, make_indices
from tembed.parity.instruments import INSTRUMENTS, ORDERS, stacked
from tembed.parity.instruments.bounds import OutOfBounds
from tembed.parity.instruments.order import interleaved_programs, reversed_programs, shuffled_programs
from tembed.parity.instruments.races import Race

pytest.importorskip("greenlet", reason="programs are interleaved by greenlet")
interpreted = pytest.mark.skipif(not kernels.interpreted(), reason="needs Triton's interpreter")


def launchers() -> ModuleType:
    return import_module("tembed.kernels.launchers")


@dataclass(frozen=True)
class Problem:
    """N lookups in a table [V, D]; `outside` puts indices in that no row has."""

    distribution: str
    N: int
    V: int
    D: int
    dtype: torch.dtype = torch.float32
    layout: str = "contiguous"
    padding_idx: int = -1
    scale: bool = False
    outside: bool = False


# Chunks are 4 lookups long, and more than 8 of them are merged before they are walked along: one chunk, a border
# crossed, no level of merging, one and two; the kernels' tiles of rows and of columns are crossed too.
PROBLEMS = (
    Problem("zipf", 3, 6, 5, scale=True),
    Problem("hot", 70, 9, 40, dtype=torch.bfloat16, layout="padded rows"),
    Problem("uniform", 1100, 50, 1, padding_idx=3, outside=True),
    Problem("zipf", 140, 30, 40, padding_idx=0, scale=True, layout="transposed"),
    Problem("boundary", 33, 12, 260, scale=True, outside=True),
    Problem("sorted", 40, 20, 130, layout="every second column"),
    Problem("uniform", 9, 90, 16, scale=True),
    Problem("hot", 10, 4, 3),
    Problem("hot", 37, 4, 3),
)


CHUNK, WALKED, FEW = 4, 8, 100


@pytest.fixture(autouse=True)
def _small_regimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few lookups and many, on a scale for the interpreter."""
    monkeypatch.setattr(tiles, "CHUNKS", ((1 << 40, CHUNK),))
    monkeypatch.setattr(tiles, "FEW", FEW)
    monkeypatch.setattr(tiles, "WALKED", WALKED)


def test_problems_cross_the_borders_of_regimes_of_chunks_and_of_programs() -> None:
    assert {pick_chunk(problem.N) for problem in PROBLEMS} == {CHUNK}
    regimes = [pick_regime(p.N, p.V, p.D, p.dtype.itemsize) for p in PROBLEMS]
    assert {(its.levels, its.walks) for its in regimes} >= {(0, False), (0, True), (1, False), (1, True)}
    assert {its.ranked for its in regimes} == {its.fill for its in regimes} == {False, True}
    sums = [(p, pick_tile("sum", p.D, p.dtype.itemsize)) for p in PROBLEMS]
    assert any(tile.rows < -(-p.N // CHUNK) for p, tile in sums)
    assert any(tile.columns < p.D and p.scale for p, tile in sums)


@dataclass(frozen=True)
class Inputs:
    weight: Tensor
    indices: Tensor
    grad_output: Tensor


@cache
def inputs(problem: Problem) -> Inputs:
    generator = torch.Generator().manual_seed(problem.N)
    indices = make_indices(problem.distribution, (problem.N,), problem.V, generator)
    if problem.outside:
        indices[::7] = -1
        indices[3::11] = problem.V
    shape, layout = (problem.N, problem.D), LAYOUTS[problem.layout]
    weight = torch.randn(problem.V, problem.D, generator=generator).to(problem.dtype)
    return Inputs(layout(weight), indices, layout(torch.randn(shape, generator=generator).to(problem.dtype)))


def through_autograd(problem: Problem, sparse: bool) -> dict[str, Tensor]:
    """The lookup, the table's gradient and the gradient of that, by the public function."""
    given = inputs(problem)
    weight, grad_output = given.weight.detach().requires_grad_(), given.grad_output.detach().requires_grad_()
    padding_idx = problem.padding_idx if problem.padding_idx >= 0 else None
    options = {"padding_idx": padding_idx, "scale_grad_by_freq": problem.scale, "sparse": sparse}
    out = tembed.embedding(given.indices, weight, **options)
    (grad,) = torch.autograd.grad(out, weight, grad_output, create_graph=True)
    (double,) = torch.autograd.grad(grad, grad_output, given.weight.to_sparse() if sparse else given.weight)
    return {"out": out, "gradient": grad.to_dense(), "double backward": double}


def through_ops(problem: Problem, sparse: bool) -> dict[str, Tensor]:
    """The same where indices are outside, at which the public function raises on a CPU."""
    given = inputs(problem)
    grad = ops.gradient(given.grad_output, given.indices, problem.V, problem.padding_idx, problem.scale, sparse)
    double = ops.gradient_of_gradient(given.weight, given.indices, problem.padding_idx, problem.scale)
    return {"out": ops.lookup(given.weight, given.indices), "gradient": grad.to_dense(), "double backward": double}


def results(problem: Problem) -> dict[str, Tensor]:
    given = inputs(problem)
    found = {}
    run = through_ops if problem.outside else through_autograd
    for sparse in (False, True):
        found |= {f"{name}, sparse={sparse}": x.detach() for name, x in run(problem, sparse).items()}
    table = LAYOUTS[problem.layout](given.weight.clone())
    norm = float(given.weight.float().norm(dim=1).median())
    found["max_norm"] = ops.renorm_lookup(table, given.indices, norm, 2.0)
    found["max_norm's table"] = table
    return found


plain = cache(results)
SEEDS = 3
CONDITIONS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "reversed": reversed_programs,
    **{f"shuffled {seed}": lambda seed=seed: shuffled_programs(seed) for seed in range(SEEDS)},
    **{f"interleaved {seed}": lambda seed=seed: interleaved_programs(seed) for seed in range(SEEDS)},
    "poison, races, bounds": lambda: stacked(["poison", "races", "bounds"]),
}


def cases() -> Iterator[Any]:
    """Every problem under every condition; of other seeds than one for each problem, slow."""
    for k, problem in enumerate(PROBLEMS):
        for name in CONDITIONS:
            often = not name[-1].isdigit() or name.endswith(str(k % SEEDS))
            yield pytest.param(
                name,
                problem,
                marks=() if often else pytest.mark.slow,
                id=f"{name}-{problem.distribution}-{problem.N}-{problem.D}",
            )


def check(problem: Problem, condition: AbstractContextManager[object]) -> None:
    """The same bits under the condition, all of them finite numbers."""
    expected = plain(problem)
    with condition:
        found = results(problem)
    assert [name for name, x in found.items() if not torch.equal(x, expected[name])] == []
    assert all(x.isfinite().all() for x in found.values())


@interpreted
@pytest.mark.parametrize(("condition", "problem"), cases())
def test_results_are_the_same_bits_and_nothing_is_found(condition: str, problem: Problem) -> None:
    check(problem, CONDITIONS[condition]())


@interpreted
@pytest.mark.parametrize("order", ORDERS)
def test_instruments_work_together(order: str) -> None:
    check(PROBLEMS[0], stacked(["bounds", "races", order, "poison"]))


def test_stacked_refuses_unknown_names_and_two_orders() -> None:
    assert set(ORDERS) < set(INSTRUMENTS)
    with pytest.raises(ValueError, match=r"no instrument is called rases; there are .*races"), stacked(["rases"]):
        pass
    with pytest.raises(ValueError, match="one order at a time: reversed, shuffled"), stacked(["shuffled", "reversed"]):
        pass


def store_past_the_end(keys: Tensor, order: Tensor, grad: Tensor, out: Tensor, scale: bool, fill: bool) -> None:
    """An output that is one row, expanded, is no place for four."""
    launchers().gather_rows(grad, order, out[:1].expand(4, 6))


def store_to_overlapping_rows(keys: Tensor, order: Tensor, grad: Tensor, out: Tensor, scale: bool, fill: bool) -> None:
    """Each row begins at the second element of the row before it."""
    launchers().renorm_rows(grad.as_strided((4, 6), (1, 1)), order, out, order.to(torch.int32), 0.1, 2.0)


WRONG = {
    "bounds": (store_past_the_end, OutOfBounds, "gather_rows_kernel.*store outside out_ptr"),
    "races": (store_to_overlapping_rows, Race, "write_back_rows_kernel.*different values to weight_ptr"),
}


@interpreted
@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("order", [None, *ORDERS])
def test_a_finding_in_tembeds_backward_reaches_the_caller(
    name: str, order: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, finding, message = WRONG[name]
    weight = torch.randn(4, 6, requires_grad=True)
    out = tembed.embedding(torch.tensor([0, 1, 2, 3]), weight)
    monkeypatch.setattr(launchers(), "sum_runs", wrong)
    with pytest.raises(finding, match=message), stacked([name, *([order] if order else [])]):
        out.backward(torch.randn(4, 6))


def run(program: str, interpret: bool) -> list[str]:
    """What a fresh process prints, in words."""
    environment = {**os.environ, "TRITON_INTERPRET": str(int(interpret))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_instruments_say_that_they_need_the_interpreter() -> None:
    program = """
import torch
from tembed.parity.instruments import INSTRUMENTS, stacked
for name in INSTRUMENTS:
    try:
        with stacked([name]):
            print(name, bool(torch.empty(1).isnan()))
    except RuntimeError as error:
        print(name, "TRITON_INTERPRET=1" in str(error))
"""
    assert run(program, interpret=False) == [word for name in INSTRUMENTS for word in (name, "True")]


# in another process, because in this one lanes are poisoned all the time
def test_instruments_leave_the_interpreter_as_it_was() -> None:
    program = """
from triton.runtime.interpreter import GridExecutor, InterpreterBuilder
from tembed.parity.instruments import INSTRUMENTS, stacked
state = lambda: (dict(vars(InterpreterBuilder)), dict(vars(GridExecutor)))
before = state()
for name in INSTRUMENTS:
    try:
        with stacked([name, "bounds"]):
            print(state() != before)
            raise KeyError
    except KeyError:
        print(state() == before)
"""
    assert run(program, interpret=True) == ["True", "True"] * len(INSTRUMENTS)
