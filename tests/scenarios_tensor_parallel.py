"""Tables split over processes by torch's plans for tensor parallelism, also among parts of the batch, and saved."""

from typing import Any

import torch
from distributed_model import (
    LENGTH,
    OPTIMIZERS,
    STEPS,
    D,
    Make,
    Model,
    V,
    batches,
    compare,
    share,
    train,
    trained_alone,
    whole,
)
from torch import nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module
from torch.optim import AdamW, Optimizer
from worlds import Scenario, World, scenario

import tembed

SCENARIOS: list[Scenario] = []


def by_rows() -> ParallelStyle:
    return RowwiseParallel(input_layouts=Replicate())


def by_rows_gathering_indices() -> ParallelStyle:
    return RowwiseParallel(input_layouts=Shard(0))


def by_columns() -> ParallelStyle:
    return ColwiseParallel(output_layouts=Replicate())


def parallel(mesh: DeviceMesh, style: Any, **options: Any) -> Model:
    """The model with a table that is split."""
    model = Model(**options)
    parallelize_module(model, mesh, {"table": style()})
    return model


@scenario(SCENARIOS)
def tensor_parallel_tables_train_as_one_process(world: World) -> None:
    mesh = init_device_mesh("cpu", (world.size,))
    for style in (by_rows, by_rows_gathering_indices, by_columns):
        for make in OPTIMIZERS.values():
            for options in ({"padding_idx": 2}, {"max_norm": 1.5}, {"scale_grad_by_freq": True}):
                model = parallel(mesh, style, **options)
                its = share(world) if style is by_rows_gathering_indices else whole
                train(model, make(model.parameters()), its=its)
                assert model.table.weight.grad.placements == model.table.weight.placements
                compare(model, trained_alone(make, **options))


@scenario(SCENARIOS, sizes=(4,))
def tensor_parallel_by_data_parallel_trains_as_one_process(world: World) -> None:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    data = World(mesh["data"].get_local_rank(), 2, world.directory)
    for style in (by_rows, by_columns):
        for make in OPTIMIZERS.values():
            model = parallel(mesh["tensor"], style, padding_idx=2)
            for layer in (model.table, model):
                fully_shard(layer, mesh=mesh["data"])
            train(model, make(model.parameters()), share(data))
            grad = model.table.weight.grad
            assert grad.placements == model.table.weight.placements
            assert grad._local_tensor.numel() < V * D / 2
            compare(model, trained_alone(make, padding_idx=2))


def steps(weight: nn.Parameter, optimizer: Optimizer, look_up: Any, place: Any) -> None:
    """Training of a table alone, on a sum, for the mean of what is split unevenly is another."""
    for indices, factors in batches():
        optimizer.zero_grad()
        (look_up(indices, weight) * place(factors)).square().sum().mul(0.01).backward()
        optimizer.step()


@scenario(SCENARIOS)
def tables_that_are_dtensors_train_as_one_process(world: World) -> None:
    mesh = init_device_mesh("cpu", (world.size,))
    makes: dict[str, Make] = {**OPTIMIZERS, "fused AdamW": lambda p: AdamW(p, 0.05, fused=True)}
    start = torch.randn(V, D, dtype=torch.float64)
    whole_, rows, columns, sequence = Replicate(), Shard(0), Shard(1), Shard(1)
    for make in makes.values():
        expected = nn.Parameter(start.clone())
        steps(expected, make([expected]), nn.functional.embedding, whole)
        for its, where in ((rows, whole_), (columns, whole_), (whole_, rows), (rows, rows), (whole_, sequence)):

            def look_up(indices: torch.Tensor, weight: torch.Tensor, where: Any = where) -> torch.Tensor:
                out = tembed.embedding(distribute_tensor(indices, mesh, [where]), weight)
                return out.redistribute(placements=[sequence])

            weight = nn.Parameter(distribute_tensor(start.clone(), mesh, [its]))
            steps(weight, make([weight]), look_up, lambda factors: distribute_tensor(factors, mesh, [sequence]))
            assert weight.grad.placements == (its,)
            torch.testing.assert_close(weight.full_tensor(), expected.detach(), rtol=1e-9, atol=1e-9)
    assert LENGTH % world.size, "the sequence was to be split unevenly"


SAVED_AFTER = 2
LOADED_AS = {4: by_rows, 2: by_columns}


@scenario(SCENARIOS, sizes=(4,))
def a_checkpoint_is_saved(world: World) -> None:
    model = parallel(init_device_mesh("cpu", (world.size,)), by_rows)
    optimizer = OPTIMIZERS["AdamW"](model.parameters())
    train(model, optimizer, end=SAVED_AFTER)
    its, state = get_state_dict(model, optimizer)
    checkpoint.save({"model": its, "optimizer": state}, checkpoint_id=world.directory / "checkpoint")


@scenario(SCENARIOS, sizes=(2,))
def a_checkpoint_of_more_processes_and_another_placement_is_trained_on(world: World) -> None:
    load_and_compare(parallel(init_device_mesh("cpu", (world.size,)), by_columns, seed=2), world.directory)


def load_and_compare(model: Model, directory: Any) -> None:
    """Trains on from the checkpoint, in a model that began with other values."""
    optimizer = OPTIMIZERS["AdamW"](model.parameters())
    its, state = get_state_dict(model, optimizer)
    loaded = {"model": its, "optimizer": state}
    checkpoint.load(loaded, checkpoint_id=directory / "checkpoint")
    set_state_dict(model, optimizer, model_state_dict=loaded["model"], optim_state_dict=loaded["optimizer"])
    train(model, optimizer, start=SAVED_AFTER, end=STEPS)
    compare(model, trained_alone(OPTIMIZERS["AdamW"]))
