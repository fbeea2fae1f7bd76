"""DDP and FSDP: each process has a part of the batch."""

import torch
from distributed_model import OPTIMIZERS, Model, compare, share, train, trained_alone
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adagrad, SparseAdam
from worlds import Scenario, World, scenario

SCENARIOS: list[Scenario] = []


@scenario(SCENARIOS)
def ddp_trains_as_one_process(world: World) -> None:
    for make in OPTIMIZERS.values():
        for how in ({}, {"static_graph": True}, {"gradient_as_bucket_view": True}):
            model = DistributedDataParallel(Model(padding_idx=2), **how)
            train(model, make(model.parameters()), share(world))
            compare(model, trained_alone(make, padding_idx=2))


@scenario(SCENARIOS)
def ddp_sums_sparse_gradients_and_leaves_them_coalesced(world: World) -> None:
    for make in (lambda p: SGD(p, 0.3), lambda p: Adagrad(p, 0.2), lambda p: SparseAdam([*p][:1], 0.05)):
        for how in ({}, {"static_graph": True}):
            model = DistributedDataParallel(Model(padding_idx=2, sparse=True), **how)
            train(model, make(model.parameters()), share(world))
            compare(model, trained_alone(make, padding_idx=2, sparse=True))
            grad = model.module.table.weight.grad
            assert grad.is_sparse
            assert grad.is_coalesced()


@scenario(SCENARIOS)
def fsdp_trains_as_one_process_by_layers_and_tied(world: World) -> None:
    mesh = init_device_mesh("cpu", (world.size,))
    for make in OPTIMIZERS.values():
        for tied, layers, again in ((False, True, True), (False, False, False), (True, False, True)):
            model = Model(tied=tied, padding_idx=2)
            for layer in (model.table, model.inner) if layers else ():
                fully_shard(layer, mesh=mesh, reshard_after_forward=again)
            fully_shard(model, mesh=mesh, reshard_after_forward=again)
            train(model, make(model.parameters()), share(world))
            assert model.table.weight.grad.placements == (Shard(0),)
            compare(model, trained_alone(make, tied=tied, padding_idx=2))


@scenario(SCENARIOS)
def fsdp_looks_up_in_the_type_of_mixed_precision(world: World) -> None:
    mesh, seen = init_device_mesh("cpu", (world.size,)), []
    model = Model(padding_idx=2)
    model.table.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in (model.table, model):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    train(model, OPTIMIZERS["SGD"](model.parameters()), share(world))
    assert set(seen) == {torch.bfloat16}
    assert model.table.weight.dtype == torch.float64
    compare(model, trained_alone(OPTIMIZERS["SGD"], padding_idx=2), rtol=0.02)
