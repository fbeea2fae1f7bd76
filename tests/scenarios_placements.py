"""Lookups in tables and by indices that are placed in every way, against the same on one process."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_tensor
from worlds import Scenario, World, scenario

import tembed

SCENARIOS: list[Scenario] = []
R, ROWS, COLUMNS = Replicate(), Shard(0), Shard(1)
Placements = tuple[tuple[Placement, ...], tuple[Placement, ...]]


def meshes(world: World) -> Iterator[DeviceMesh]:
    """All processes in a row, and four as a square."""
    yield init_device_mesh("cpu", (world.size,))
    if world.size == 4:
        yield init_device_mesh("cpu", (2, 2))


def settings(mesh: DeviceMesh, every: bool = False) -> Iterator[Placements]:
    """Placements of a table and of indices: each pair of them in each dimension of the mesh, or every combination."""
    pairs = list(itertools.product((ROWS, COLUMNS, R), (R, Shard(0), Shard(1))))
    combined = itertools.product(pairs, repeat=mesh.ndim)
    if not every and mesh.ndim == 2:
        combined = ((pair, pairs[(2 * i + 1) % len(pairs)]) for i, pair in enumerate(pairs))
    for chosen in combined:
        table, indices = zip(*chosen, strict=True)
        yield table, indices


def inputs(V: int, D: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """A table, indices and a gradient, of whole numbers: sums of them are exact."""
    table = torch.randint(-8, 8, (V, D)).to(dtype)
    indices = torch.randint(0, V, (5, 3))
    indices[1] = V - 1
    return table, indices, torch.randint(-8, 8, (5, 3, D)).to(dtype)


def both(
    mesh: DeviceMesh,
    placements: Placements,
    tensors: tuple[Tensor, Tensor, Tensor],
    **options: Any,
) -> tuple[list[Tensor], list[Tensor], DTensor]:
    """Lookup, gradient, gradient of that and table, on one process and on all; and the gradient's DTensor."""
    its, where = placements
    table, indices, grad_output = tensors
    alone = table.clone().requires_grad_()
    spread = distribute_tensor(table.clone(), mesh, its, src_data_rank=None).requires_grad_()
    results = []
    for weight, at, grad in (
        (alone, indices, grad_output.clone()),
        (
            spread,
            distribute_tensor(indices, mesh, where, src_data_rank=None),
            distribute_tensor(grad_output.clone(), mesh, [R] * mesh.ndim, src_data_rank=None),
        ),
    ):
        grad.requires_grad_()
        out = tembed.embedding(at, weight, **options)
        (first,) = torch.autograd.grad(out, weight, grad, create_graph=True)
        (second,) = torch.autograd.grad(first, grad, weight.detach())
        results.append([out, first, second, weight.detach()])
    return results[0], [x.full_tensor() for x in results[1]], results[1][1]


def check(mesh: DeviceMesh, placements: Any, tensors: Any, exact: bool = True, **options: Any) -> None:
    expected, found, grad = both(mesh, placements, tensors, **options)
    for name, ours, theirs in zip(("lookup", "gradient", "second gradient", "table"), found, expected, strict=True):
        where = f"{name}: {mesh} {placements} {options}"
        torch.testing.assert_close(
            ours, theirs, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6, msg=lambda m, w=where: f"{w}\n{m}"
        )
    assert grad.placements == placements[0], (grad.placements, placements)


@scenario(SCENARIOS)
def every_placement_of_table_and_indices_gives_what_one_process_gives(world: World) -> None:
    for mesh in meshes(world):
        for placements in settings(mesh, every=True):
            check(mesh, placements, inputs(11, 6), padding_idx=3)


@scenario(SCENARIOS)
def parts_of_no_rows_and_no_columns_have_their_place(world: World) -> None:
    for mesh in meshes(world):
        for placements in settings(mesh):
            check(mesh, placements, inputs(world.size + 1, world.size - 1))
    mesh = init_device_mesh("cpu", (world.size,))
    for placements in settings(mesh):
        check(mesh, placements, inputs(1, 1), padding_idx=0)


@scenario(SCENARIOS)
def scale_grad_by_freq_divides_by_the_lookups_of_all_processes(world: World) -> None:
    for mesh in meshes(world):
        for placements in settings(mesh):
            check(mesh, placements, inputs(6, 4), exact=False, scale_grad_by_freq=True, padding_idx=2)


@scenario(SCENARIOS)
def max_norm_changes_rows_in_all_processes_that_have_them(world: World) -> None:
    for mesh in meshes(world):
        for placements in settings(mesh):
            check(mesh, placements, inputs(11, 6), exact=False, max_norm=6.0)
    mesh = init_device_mesh("cpu", (world.size,))
    for p in (0.0, 1.0, 2.5, -1.0, torch.inf, -torch.inf):
        for D in (1, 6):
            check(mesh, ((COLUMNS,), (R,)), inputs(5, D), exact=False, max_norm=0.75, norm_type=p)
            check(mesh, ((ROWS,), (Shard(0),)), inputs(5, D), exact=False, max_norm=0.75, norm_type=p)


@scenario(SCENARIOS)
def every_dtype_of_tables_and_indices_is_looked_up(world: World) -> None:
    mesh = init_device_mesh("cpu", (world.size,))
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        for placements in settings(mesh):
            table, indices, grad_output = inputs(9, 5, dtype)
            check(mesh, placements, (table, indices.int(), grad_output), padding_idx=-1)
