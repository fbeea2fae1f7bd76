"""Parts of tables and where they lie, on one process; test_distributed.py has the others."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tembed
from tembed import kernels, ops

V, D = 11, 5
CUTS = ([0, 11], [0, 4, 8, 11], [0, 1, 1, 6, 11], [0, 0, 11, 11])
LOWEST = {dtype: torch.iinfo(dtype).min for dtype in (torch.int32, torch.int64)}


def parts(cuts: list[int]) -> Iterator[tuple[int, int]]:
    """The first row of each part, and the first after it."""
    return pairwise(cuts)


def inputs(
    device: str, dtype: torch.dtype, index_dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Whole numbers, whose sums are exact; and indices, among them such as are no row's."""
    weight = torch.randint(-8, 8, (V, D)).to(device, dtype)
    indices = torch.randint(0, V, (7, 6)).to(device, index_dtype)
    lowest = LOWEST[index_dtype]
    indices[0] = torch.tensor([-1, V, lowest, lowest + 3, torch.iinfo(index_dtype).max, V - 1], device=device)
    return weight, indices, torch.randint(-8, 8, (7, 6, D)).to(device, dtype)


@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("index_dtype", LOWEST)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_parts_of_a_table_make_up_what_the_whole_gives(
    dtype: torch.dtype, index_dtype: torch.dtype, cuts: list[int], device: str
) -> None:
    weight, indices, grad_output = inputs(device, dtype, index_dtype)
    found: dict[str, list[torch.Tensor]] = {"out": [], "gradient": [], "scaled": [], "second": []}
    for first, end in parts(cuts):
        its = weight[first:end]
        found["out"].append(ops.lookup(its, indices, first=first))
        found["gradient"].append(ops.gradient(grad_output, indices, end - first, 2, False, False, first))
        found["scaled"].append(ops.gradient(grad_output, indices, end - first, -1, True, False, first))
        found["second"].append(ops.gradient_of_gradient(its, indices, 2, True, first))
    good = ((indices >= 0) & (indices < V)).unsqueeze(-1)
    kept = good & (indices != 2).unsqueeze(-1)
    rows = indices.long().where(good.squeeze(-1), 0)
    at, counts = rows.reshape(-1), rows[good.squeeze(-1)].bincount(minlength=V).clamp(min=1).to(dtype)
    zeros, grad = torch.zeros(V, D, device=device, dtype=torch.float64), grad_output.reshape(-1, D).double()
    looked_up = weight[rows]
    assert torch.equal(torch.stack(found["out"]).sum(0), torch.where(good, looked_up, 0))
    sums = zeros.index_add(0, at, grad * kept.reshape(-1, 1)).to(dtype)
    assert torch.equal(torch.cat(found["gradient"]), sums)
    scaled = (zeros.index_add(0, at, grad * good.reshape(-1, 1)) / counts.double().unsqueeze(1)).to(dtype)
    torch.testing.assert_close(torch.cat(found["scaled"]), scaled)
    second = torch.where(kept, looked_up / counts[rows].unsqueeze(-1), 0)
    torch.testing.assert_close(torch.stack(found["second"]).sum(0), second)


@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("index_dtype", LOWEST)
def test_max_norm_of_parts_makes_up_that_of_the_whole(index_dtype: torch.dtype, cuts: list[int], device: str) -> None:
    weight, indices, _ = inputs(device, torch.float32, index_dtype)
    good = indices[(indices >= 0) & (indices < V)]
    whole, expected = weight.clone(), weight.clone()
    torch.embedding_renorm_(expected, good.long(), 6.0, 2.0)
    for first, end in parts(cuts):
        out = ops.renorm_lookup(whole[first:end], indices, 6.0, 2.0, first)
        here = (indices >= first) & (indices < end)
        assert torch.equal(out[here], whole[indices[here].long()])
        assert not out[~here].any()
    torch.testing.assert_close(whole, expected)


@pytest.mark.parametrize("first", [2**31 - 3, 2**40])
def test_a_part_may_be_far_into_a_table(first: int, device: str) -> None:
    weight = torch.randn(4, D, device=device)
    indices = torch.tensor([0, first - 1, first, first + 3, first + 4, 3], device=device)
    out = ops.lookup(weight, indices, first=first)
    assert torch.equal(out[2:4], weight[[0, 3]])
    assert not out[[0, 1, 4, 5]].any()
    grad = ops.gradient(torch.ones(6, D, device=device), indices, 4, first + 3, False, False, first)
    assert grad.sum(1).tolist() == [D, 0, 0, 0]


def test_a_table_is_cut_as_torch_chunks() -> None:
    from torch.distributed.tensor import Replicate, Shard

    from tembed.placements import own_rows

    class Mesh:
        """What `own_rows` asks of a mesh of 2 times 3."""

        shape = (2, 3)

        def __init__(self, *place: int) -> None:
            self.get_coordinate = lambda: place

    for rows in range(14):
        for a in range(2):
            for b in range(3):
                for table in ((Shard(0), Shard(0)), (Shard(0), Shard(1)), (Replicate(), Shard(0))):
                    part = torch.arange(rows)
                    for size, place, its in zip(Mesh.shape, (a, b), table, strict=True):
                        if its == Shard(0):
                            cut = part.chunk(size)
                            part = cut[place] if place < len(cut) else part[:0]
                    mesh: Any = Mesh(a, b)
                    first, count = own_rows(rows, mesh, table)
                    assert list(range(first, first + count)) == part.tolist()


@pytest.fixture
def one_of_four() -> Iterator[Any]:
    """A mesh of four processes, of which this is the third; nothing that they send arrives."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", rank=2, world_size=4, store=FakeStore())
    yield init_device_mesh("cpu", (4,))
    torch.distributed.destroy_process_group()


class Operations(TorchDispatchMode):
    """Collects the names of torch's operations that neither allocate nor view."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if not func.is_view and not name.startswith(("empty", "new_empty")):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


compiles = pytest.mark.skipif(
    kernels.interpreted() or not kernels.installed() or torch.cuda.is_available(),
    reason="needs Triton's compiler, and no GPU",
)


@compiles
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_a_lookup_by_rows_is_the_kernels_launches_and_nothing_else(max_norm: float | None, one_of_four: Any) -> None:
    from torch.distributed.tensor import DTensor, Replicate, Shard

    from tembed.bench.stubbed import stubbed_launches

    shape = {"shape": torch.Size((V, D)), "stride": (D, 1)}
    weight = DTensor.from_local(torch.randn(3, D), one_of_four, [Shard(0)], **shape).requires_grad_()
    indices = DTensor.from_local(torch.tensor([[0, 5], [6, 8], [9, 10]]), one_of_four, [Replicate()])
    grad_output = DTensor.from_local(torch.ones(3, 2, D), one_of_four, [Replicate()])
    with stubbed_launches(record=True) as found, Operations() as operations:
        out = tembed.embedding(indices, weight, max_norm=max_norm)
        names = [launched.kernel for launched in found]
        out.backward(grad_output)
    assert names == (["gather_rows_kernel"] if max_norm is None else ["renorm_rows_kernel", "write_back_rows_kernel"])
    assert [launched.kernel for launched in found][len(names) :] == ["rank_lookups_kernel", "sum_chunks_kernel"]
    assert operations.names == []


@compiles
def test_one_kernel_serves_all_parts() -> None:
    from tembed.bench.stubbed import stubbed_launches

    weight, indices = torch.randn(16, 64), torch.arange(8)
    hashes: dict[str, set[str]] = {}
    with stubbed_launches(record=True) as found:
        for first in (0, 1, 16, 17, 10**6):
            ops.lookup(weight, indices, first=first)
            ops.renorm_lookup(weight, indices, 1.0, 2.0, first)
            ops.gradient(torch.randn(8, 64), indices, 16, -1, False, False, first)
    for launched in found:
        hashes.setdefault(launched.kernel, set()).add(launched.hash)
    assert len(hashes) == 5
    assert {len(its) for its in hashes.values()} == {1}


def test_import_leaves_torchs_dtensors_alone() -> None:
    program = (
        "import sys, torch, tembed\n"
        "tembed.embedding(torch.tensor([1]), torch.randn(3, 2).to_sparse().to_dense())\n"
        "tembed.embedding(torch.tensor([1], device='meta'), torch.randn(3, 2, device='meta'))\n"
        "print('torch.distributed.tensor' in sys.modules, 'tembed.sharded' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
