"""Tables whose rows are spread over devices, as vocabulary-parallel layers have them; seen from one of two ranks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from ..cases import feature
from ..compare import as_stock, same
from ..subject import Implementation, Unshown


@contextmanager
def row_sharded(device: str) -> Iterator[tuple[Any, Any]]:
    """Indices on every rank, and a table of 6 rows with 3 on each; the other rank is pretended to be there."""
    if not dist.is_available() or dist.is_initialized():
        raise Unshown("torch.distributed is not there, or in use")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        mesh = init_device_mesh(torch.device(device).type, (2,))
        weight = distribute_tensor(torch.randn(6, 3, device=device), mesh, [Shard(0)])
        yield distribute_tensor(torch.tensor([0, 1, 2, 5], device=device), mesh, [Replicate()]), weight
    finally:
        dist.destroy_process_group()


@feature("transforms", "row-sharded-gradient", deviation=11)
def row_sharded_gradient(subject: Implementation) -> None:
    """The gradient of a row-sharded table is sharded as the table is."""
    with row_sharded(subject.device) as (indices, weight):
        subject.call(indices, weight.requires_grad_()).sum().backward()
        (placement,) = weight.grad.placements
        as_stock(placement.is_replicate(), "the gradient is replicated, as stock's is")
        same((placement.is_shard(0), tuple(weight.grad.to_local().shape)), (True, (3, 3)), "sharded, local shape")


@feature("transforms", "row-sharded-max_norm", deviation=11)
def row_sharded_max_norm(subject: Implementation) -> None:
    """max_norm works on a row-sharded table."""
    with row_sharded(subject.device) as (indices, weight):
        before = weight.to_local().clone()
        try:
            subject.call(indices, weight, max_norm=0.01)
        except NotImplementedError as error:
            as_stock("does not have a sharding strategy" in str(error), "is refused, as by stock")
            raise
        scaled = (weight.to_local() != before).any(1).tolist()
        same(scaled, [True, True, True], "local rows scaled")
