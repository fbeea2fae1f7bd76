"""Tables whose rows are spread over devices, as vocabulary-parallel layers have them; seen from one of two ranks.

The other rank is pretended: what is sent to it is lost, and sums over both are this rank's part. So of outputs, of
gradients and of the table only the rows that lie here, 0 to 2, have numbers to compare.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .. import oracle
from ..cases import feature, product
from ..compare import as_stock, numpy_of, same, same_bits, within
from ..small import check_gradient, expected, gradient
from ..subject import Implementation, Unshown

# Twice the row 0, not the row 1, and two of the other rank's.
LOOKED_UP = torch.tensor([0, 2, 5, 0, 3])
HERE = [0, 1, 3]  # where the rows looked up lie on this rank


@contextmanager
def row_sharded(device: str) -> Iterator[tuple[Any, Any]]:
    """LOOKED_UP on every rank, and a table of 6 rows with 3 on each; the other rank is pretended to be there."""
    if not dist.is_available() or dist.is_initialized():
        raise Unshown("torch.distributed is not there, or in use")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        mesh = init_device_mesh(torch.device(device).type, (2,))
        weight = distribute_tensor(torch.randn(6, 3, device=device), mesh, [Shard(0)])
        yield on_every_rank(LOOKED_UP.to(device), mesh), weight
    finally:
        dist.destroy_process_group()


def on_every_rank(x: Tensor, mesh: Any) -> Any:
    """The tensor, whole on each."""
    from torch.distributed.tensor import Replicate, distribute_tensor

    return distribute_tensor(x, mesh, [Replicate()])


def check_output(out: Any, local: Tensor) -> None:
    """Mismatch unless the lookups in this rank's rows give them."""
    found = out.detach().full_tensor()
    same(tuple(found.shape), (5, 3), "shape of the output")
    same_bits(found[HERE], local[LOOKED_UP[HERE]], "output of this rank's rows")


@feature("transforms", "row-sharded-output")
def row_sharded_output(subject: Implementation) -> None:
    """A lookup in a row-sharded table gives its rows."""
    with row_sharded(subject.device) as (indices, weight):
        check_output(subject.call(indices, weight), weight.to_local())


@feature("transforms", "row-sharded-gradient", deviation=11, cases=product(padding_idx=(None, 2)))
def row_sharded_gradient(subject: Implementation, padding_idx: int | None) -> None:
    """The gradient of a row-sharded table is sharded as the table is, and has the sums of a table in one piece."""
    with row_sharded(subject.device) as (indices, weight):
        out = subject.call(indices, weight.requires_grad_(), padding_idx=padding_idx)
        check_output(out, weight.detach().to_local())
        grad_output = gradient(subject.device, shape=(5,))
        out.backward(on_every_rank(grad_output, weight.device_mesh))
        (placement,), local = weight.grad.placements, weight.grad.to_local()
        wanted = expected(LOOKED_UP, grad_output, padding_idx=padding_idx)[:3]
        check_gradient(local[:3], wanted, "gradient of this rank's rows")
        as_stock(placement.is_replicate() and len(local) == 6, "the gradient is replicated, as stock's is")
        same((placement.is_shard(0), tuple(local.shape)), (True, (3, 3)), "sharded, local shape")


@feature("transforms", "row-sharded-max_norm", claim="bound", deviation=11)
def row_sharded_max_norm(subject: Implementation) -> None:
    """max_norm works on a row-sharded table: the rows looked up are scaled where they lie, and looked up then."""
    with row_sharded(subject.device) as (indices, weight):
        before = numpy_of(weight.to_local())
        try:
            out = subject.call(indices, weight, max_norm=0.01)
        except NotImplementedError as error:
            as_stock("does not have a sharding strategy" in str(error), "is refused, as by stock")
            raise
        local = weight.to_local()
        wanted = oracle.renorm(before, LOOKED_UP[HERE].numpy(), 0.01, 2.0, "float32")
        within(numpy_of(local), wanted.value, wanted.bound, "this rank's rows")
        check_output(out, local)
