"""What lookups of DTensors raise: bad indices, at the call or later, and what cannot be done."""

from typing import Any

import torch
from scenarios_dtensors import COLUMNS, ROWS, R, spread
from scenarios_placements import inputs
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Shard
from worlds import Scenario, World, scenario

import tembed
from tembed import modes

SCENARIOS: list[Scenario] = []


@scenario(SCENARIOS)
def a_bad_index_raises_in_all_processes_that_have_it(world: World) -> None:
    mesh = init_device_mesh("cpu", (world.size,))
    table, indices, _ = inputs(11, 6)
    indices = indices[: world.size]
    indices[-1, 2] = 11
    last = world.rank == world.size - 1
    for its, where, max_norm, everywhere in (
        (ROWS, R, 1.0, True),
        (COLUMNS, Shard(0), None, True),
        (R, Shard(0), 1.0, True),
        (R, Shard(0), None, False),
    ):
        weight, message = spread(table, mesh, its), ""
        try:
            tembed.embedding(spread(indices, mesh, where), weight, max_norm=max_norm)
        except IndexError as error:
            message = str(error)
        assert ("index 11 at position" in message) == (everywhere or last), (its, where, message)
        assert "in a table of 11 rows" in message or not message
        assert torch.equal(weight.full_tensor(), table)


@scenario(SCENARIOS, sizes=(2,), interpreted=True)
def kernels_report_bad_indices_of_two_processes(world: World) -> None:
    """As on accelerators: later, where they are in what the process looked up."""
    mesh = init_device_mesh("cpu", (world.size,))
    table, indices, _ = inputs(11, 6)
    indices = indices[: world.size]
    indices[-1, 2] = 11
    whole, part = (
        f"[1, 2] of an input of shape {[*indices.shape]}",
        f"[0, 2] of an input of shape [1, {len(indices[0])}]",
    )
    modes.CPU_RAISES = False
    try:
        for its, where, max_norm, expected in (
            (ROWS, R, None, whole),
            (ROWS, R, 1.0, whole),
            (COLUMNS, Shard(0), None, whole),
            (R, Shard(0), 1.0, whole),
            (R, Shard(0), None, part if world.rank == 1 else ""),
        ):
            message = ""
            tembed.embedding(spread(indices, mesh, where), spread(table, mesh, its), max_norm=max_norm)
            try:
                tembed.check_indices()
            except IndexError as error:
                message = str(error)
            assert (expected in message and message.count("index 11 at") == 1) if expected else not message, message
    finally:
        modes.CPU_RAISES = True


def refusal(kind: type[Exception], call: Any) -> str:
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"{kind.__name__} was to be raised")


@scenario(SCENARIOS)
def what_cannot_be_done_is_refused_in_words(world: World) -> None:
    mesh = init_device_mesh("cpu", (world.size,))
    table, indices, _ = inputs(11, 6)
    at, weight = spread(indices, mesh, R), spread(table, mesh, ROWS).requires_grad_()
    assert "cannot be sparse" in refusal(NotImplementedError, lambda: tembed.embedding(at, weight, sparse=True))
    with torch.no_grad():
        assert torch.equal(tembed.embedding(at, weight, sparse=True).full_tensor(), table[indices])
    assert "mixed torch.Tensor and DTensor" in refusal(RuntimeError, lambda: tembed.embedding(indices, weight))
    terms = DTensor.from_local(table, mesh, [Partial()])
    message = refusal(NotImplementedError, lambda: tembed.embedding(at, terms, max_norm=1.0))
    assert "Partial(sum)" in message
    wrong = DTensor.from_local(torch.zeros(7, 6), mesh, [ROWS], shape=torch.Size((11, 6)), stride=(6, 1))
    assert "as torch.chunk splits" in refusal(RuntimeError, lambda: tembed.embedding(at, wrong))
    assert "Padding_idx" in refusal(AssertionError, lambda: tembed.embedding(at, weight, padding_idx=11))
