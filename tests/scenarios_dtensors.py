"""What else can be said of lookups of DTensors: modules, what is sent, placements, what compilers make of them."""

from typing import Any

import torch
from scenarios_placements import inputs
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.placement_types import _StridedShard
from torch.nn import functional as F
from worlds import Scenario, World, scenario

import tembed

SCENARIOS: list[Scenario] = []
R, ROWS, COLUMNS = Replicate(), Shard(0), Shard(1)


def spread(tensor: Tensor, mesh: DeviceMesh, *placements: Any) -> DTensor:
    return distribute_tensor(tensor.clone(), mesh, placements, src_data_rank=None)


def split_module(mesh: DeviceMesh, where: Any, V: int, D: int, **options: Any) -> tuple[nn.Module, nn.Module]:
    """torch's own, and one of ours with the same values and a table that is split."""
    alone = nn.Embedding(V, D, **options)
    module = tembed.Embedding(V, D, **options)
    module.load_state_dict(alone.state_dict())

    def split(name: str, child: nn.Module, mesh: DeviceMesh) -> None:
        child.weight = nn.Parameter(spread(child.weight.detach(), mesh, where))

    return alone, distribute_module(module, mesh, split)


@scenario(SCENARIOS)
def modules_learn_to_classify_as_on_one_process(world: World) -> None:
    """After torch's own test of embeddings that are DTensors: by rows and by columns, of odd sizes, with padding."""
    mesh = init_device_mesh("cpu", (world.size,))
    for where in (ROWS, COLUMNS):
        for shape, V, D, options in (
            ((4, 2), 17, 12, {}),
            ((6, 7, 6), 12, 22, {}),
            ((10, 5, 3), 9, 15, {"padding_idx": -1}),
            ((3, 2, 2, 5), 16, 34, {"padding_idx": 12}),
            ((8,), 50, 10, {"padding_idx": 0}),
        ):
            alone, module = split_module(mesh, where, V, D, **options)
            indices, classes = torch.randint(0, V, shape), torch.randint(0, D, shape)
            out = module(spread(indices, mesh, R))
            assert torch.equal(out.full_tensor(), alone(indices))
            F.cross_entropy(out.full_tensor().view(-1, D), classes.view(-1)).backward()
            F.cross_entropy(alone(indices).view(-1, D), classes.view(-1)).backward()
            assert module.weight.grad.placements == (where,)
            torch.testing.assert_close(module.weight.grad.full_tensor(), alone.weight.grad)
            assert torch.equal(tembed.embedding(spread(indices, mesh, R), module.weight).full_tensor(), alone(indices))


@scenario(SCENARIOS)
def tables_of_several_sizes_share_indices(world: World) -> None:
    mesh = init_device_mesh("cpu", (world.size,))
    modules = [split_module(mesh, ROWS, V, 6) for V in (23, 7, 40)]
    indices = torch.randint(0, 7, (5, 4))
    outs = [module(spread(indices, mesh, R)) for _, module in modules]
    for (alone, _), out in zip(modules, outs, strict=True):
        assert out.placements == (Partial(),)
        assert torch.equal(out.full_tensor(), alone(indices))


@scenario(SCENARIOS)
def nothing_is_sent_but_what_has_to_be(world: World) -> None:
    """Sums of what was looked up by rows; indices split as the table is; the gradient of a table that all have."""
    mesh = init_device_mesh("cpu", (world.size,))
    table, indices, grad_output = inputs(11, 8)
    for its, where, max_norm, sent in (
        (ROWS, R, None, [{}, {"all_reduce": 1}, {}]),
        (ROWS, R, 1.0, [{}, {"all_reduce": 1}, {}]),
        (COLUMNS, R, None, [{}, {"all_gather_into_tensor": 1}, {}]),
        (R, R, None, [{}, {}, {}]),
        (R, Shard(0), None, [{}, {"all_gather_into_tensor": 1}, {"all_reduce": 1}]),
        (ROWS, Shard(0), None, [{"all_gather_into_tensor": 1}, {"all_reduce": 1}, {}]),
    ):
        weight, at = spread(table, mesh, its).requires_grad_(), spread(indices, mesh, where)
        grad, found = spread(grad_output, mesh, R), []
        with CommDebugMode() as mode:
            out = tembed.embedding(at, weight, max_norm=max_norm)
        found.append(mode)
        with CommDebugMode() as mode:
            out = out.redistribute(placements=[R])
        found.append(mode)
        with CommDebugMode() as mode:
            out.backward(grad)
        found.append(mode)
        counts = [{op.__name__: n for op, n in mode.get_comm_counts().items()} for mode in found]
        assert counts == sent, (its, where, counts)


@scenario(SCENARIOS)
def other_placements_are_brought_to_one_that_can_be_looked_up_in(world: World) -> None:
    table, indices, grad_output = inputs(8, 6)
    mesh = init_device_mesh("cpu", (world.size,))
    terms = DTensor.from_local(table if world.rank == 0 else torch.zeros_like(table), mesh, [Partial()])
    at = DTensor.from_local(indices if world.rank == 0 else torch.zeros_like(indices), mesh, [Partial()])
    cases = [(terms, at), (terms, spread(indices, mesh, Shard(1))), (spread(table, mesh, ROWS), at)]
    if world.size == 4:
        square = init_device_mesh("cpu", (2, 2))
        strided = spread(table, square, _StridedShard(0, split_factor=2), ROWS)
        cases += [(strided, spread(indices, square, R, Shard(0)))]
    expected = table.clone().requires_grad_()
    F.embedding(indices, expected, padding_idx=3).backward(grad_output)
    for weight, its in cases:
        weight.requires_grad_()
        out = tembed.embedding(its, weight, padding_idx=3)
        assert torch.equal(out.full_tensor(), table[indices])
        grad_out = spread(grad_output, weight.device_mesh, *[R] * weight.device_mesh.ndim)
        (grad,) = torch.autograd.grad(out, weight, grad_out)
        assert torch.equal(grad.full_tensor(), expected.grad)


@scenario(SCENARIOS)
def max_norm_counts_as_one_change(world: World) -> None:
    mesh = init_device_mesh("cpu", (world.size,))
    table, indices, _ = inputs(11, 6)
    for its, where in ((ROWS, R), (COLUMNS, R), (R, Shard(0))):
        weight, at = spread(table, mesh, its).requires_grad_(), spread(indices, mesh, where)
        before = weight._version
        tembed.embedding(at, weight, max_norm=1.0)
        assert weight._version == before + 1
        with torch.inference_mode():
            tembed.embedding(at, weight, max_norm=0.5)
        assert weight._version == before + 2


@scenario(SCENARIOS, sizes=(2,))
def compiled_lookups_are_torchs_own(world: World) -> None:
    mesh = init_device_mesh("cpu", (world.size,))
    table, indices, grad_output = inputs(11, 6)
    weight = spread(table, mesh, ROWS).requires_grad_()

    def call(at: Tensor, weight: Tensor) -> Tensor:
        return tembed.embedding(at, weight, padding_idx=2).redistribute(placements=[R])

    out = torch.compile(call, fullgraph=True, backend="aot_eager")(spread(indices, mesh, R), weight)
    out.backward(spread(grad_output, mesh, R))
    expected = table.clone().requires_grad_()
    F.embedding(indices, expected, padding_idx=2).backward(grad_output)
    assert torch.equal(out.full_tensor(), table[indices])
    assert torch.equal(weight.grad.full_tensor(), expected.grad)


@scenario(SCENARIOS, sizes=(2,), interpreted=True)
def kernels_look_up_in_rows_of_two_processes(world: World) -> None:
    """In the interpreter: two steps of training by rows, with all that an embedding can do."""
    mesh = init_device_mesh("cpu", (world.size,))
    for options in ({"padding_idx": 1}, {"max_norm": 1.0, "scale_grad_by_freq": True}):
        alone, module = split_module(mesh, ROWS, 5, 3, **options)
        indices = torch.tensor([[0, 4, 4], [1, 2, 4]])
        for _ in range(2):
            for its, at in ((alone, indices), (module, spread(indices, mesh, R))):
                out = its(at)
                (out.full_tensor() if isinstance(out, DTensor) else out).square().sum().backward()
                torch.optim.SGD(its.parameters(), 0.1).step()
                its.zero_grad()
        torch.testing.assert_close(module.weight.full_tensor(), alone.weight.detach())
