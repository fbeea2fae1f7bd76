"""Under torch.compile the gradient is ours, bit for bit what eager code gets, in one graph and for any shape."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo import compiled_autograd
from torch._dynamo.testing import AotEagerAndRecordGraphs, CompileCounter
from torch._dynamo.utils import counters
from torch.nn import functional as F

import tembed
from tembed import kernels, modes

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padding": {"padding_idx": 1},
    "padding from the end": {"padding_idx": -3, "scale_grad_by_freq": True},
    "sparse": {"sparse": True},
    "sparse, padding": {"sparse": True, "padding_idx": 1},
    "sparse, padding, scaled": {"sparse": True, "padding_idx": 1, "scale_grad_by_freq": True},
    "max_norm": {"max_norm": 1.0},
    "max_norm, p = 1, sparse": {"max_norm": 1.0, "norm_type": 1, "sparse": True},
}
BACKENDS = ["eager", "aot_eager", "inductor"]
# What is compiled, and how often, is the same whatever runs underneath: kernels in the interpreter, which compiled code
# has to call rightly, get fewer cases.
INTERPRETED = kernels.interpreted()
V, D = 50, 8


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def table(device: str, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(V, D, generator=generator).to(device, dtype).requires_grad_()


def lookups(device: str, *shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.randint(0, V, shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)


def trained(lookup: Callable[..., Tensor], input: Tensor, weight: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """The output, and the gradient for one of small integers, of which sums are exact."""
    out = lookup(input, weight, **options)
    grad_output = torch.arange(out.numel(), device=out.device).view(out.shape) % 7
    (grad,) = torch.autograd.grad(out, weight, grad_output.to(out.dtype))
    return out.detach(), grad


def assert_same(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(found[0], wanted[0])
    assert found[1].layout == wanted[1].layout
    assert torch.equal(found[1].to_dense(), wanted[1].to_dense())
    if wanted[1].is_sparse:
        assert torch.equal(found[1]._indices(), wanted[1]._indices())


def cases() -> Iterator[tuple[str, str, bool | None]]:
    """Backend, options, and whether any shape is compiled for at once; few where a compiler takes seconds."""
    few = ("sparse, padding, scaled", "max_norm")
    if INTERPRETED:
        yield from (("eager", name, True) for name in OPTIONS)
        yield from (("aot_eager", name, None) for name in OPTIONS)
        yield from zip(("inductor",) * 2, few, (True, None), strict=True)
        return
    for backend, name, dynamic in product(BACKENDS, OPTIONS, (None, True)):
        if backend != "inductor" or dynamic or name in few:
            yield backend, name, dynamic


@pytest.mark.parametrize(("backend", "name", "dynamic"), cases())
def test_compiled_lookups_and_gradients_are_those_of_eager_code(
    backend: str, name: str, dynamic: bool | None, device: str
) -> None:
    options = OPTIONS[name]
    dtype = torch.int32 if dynamic else torch.int64
    input = lookups(device, 4, 5, dtype=dtype)
    weight, same = table(device), table(device)
    compiled = torch.compile(tembed.embedding, fullgraph=True, backend=backend, dynamic=dynamic)
    found, wanted = trained(compiled, input, weight, **options), trained(tembed.embedding, input, same, **options)
    assert_same(found, wanted)
    assert torch.equal(weight, same)
    assert (weight._version > 0) == ("max_norm" in options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_compile(dtype: torch.dtype, device: str) -> None:
    weight, input = table(device, dtype), torch.zeros(300 if INTERPRETED else 2000, dtype=torch.int64)
    compiled = torch.compile(tembed.embedding, fullgraph=True, backend="aot_eager")
    assert_same(trained(compiled, input.to(device), weight), trained(tembed.embedding, input.to(device), weight))


@pytest.mark.filterwarnings("ignore:Your compiler for AOTAutograd")
def test_graphs_hold_stocks_lookup_and_our_gradient(device: str) -> None:
    for sparse, gradient in ((False, "embedding_gradient"), (True, "embedding_sparse_gradient")):
        torch._dynamo.reset()
        backend = AotEagerAndRecordGraphs()
        compiled = torch.compile(tembed.embedding, fullgraph=True, backend=backend)
        trained(compiled, lookups(device, 6), table(device, torch.bfloat16), sparse=sparse, padding_idx=0)
        (forward,), (backward,) = (
            [[str(node.target) for node in graph.graph.nodes if node.op == "call_function"] for graph in graphs]
            for graphs in (backend.fw_graphs, backend.bw_graphs)
        )
        looking = [] if modes.at_call(device) else ["tembed.embedding_indices.default"]  # for bad indices
        assert [name for name in forward if "embedding" in name] == [*looking, "aten.embedding.default"]
        assert looking or len(forward) == 1
        assert f"tembed.{gradient}.default" in backward
        assert not any("embedding" in name for name in backward if gradient not in name)


def test_nothing_breaks_the_graph_of_a_model(device: str) -> None:
    model = torch.nn.Sequential(
        tembed.Embedding(V, D, padding_idx=2, max_norm=2.0, device=device), torch.nn.Linear(D, 3, device=device)
    )
    found = torch._dynamo.explain(model)(lookups(device, 3, 4))
    assert found.graph_break_count == 0
    assert found.graph_count == 1


def recompiled(lookup: Callable[..., Tensor], device: str, **options: Any) -> int:
    """How often a lookup is compiled for many shapes and two types of indices."""
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(lookup, fullgraph=True, backend=counter)
    weight = table(device)
    for dtype in (torch.int64, torch.int32):
        for shape in ((4,), (7,), (900,), (2, 3), (5, 9), (64, 2)):
            compiled(lookups(device, *shape, dtype=dtype), weight, **options)
    return counter.frame_count


@pytest.mark.parametrize("name", ["padding from the end", "max_norm, p = 1, sparse"] if INTERPRETED else OPTIONS)
def test_no_more_is_compiled_than_for_stock(name: str, device: str) -> None:
    options = OPTIONS[name]
    # the first shape; then any shape of each rank and type of indices
    assert recompiled(tembed.embedding, device, **options) == recompiled(F.embedding, device, **options) == 5


def test_tables_of_any_size_share_what_is_compiled(device: str) -> None:
    counter = CompileCounter()
    compiled = torch.compile(tembed.embedding, fullgraph=True, backend=counter, dynamic=True)
    for rows, columns in ((50, 8), (60, 8), (70, 12), (3, 5), (99, 16)):
        weight = torch.randn(rows, columns, device=device, requires_grad=True)
        assert_same(*(trained(how, lookups(device, 9) % rows, weight) for how in (compiled, tembed.embedding)))
    assert counter.frame_count == 1


@pytest.mark.parametrize("backend", ["aot_eager"] if INTERPRETED else BACKENDS)
@pytest.mark.parametrize("options", [{}, {"padding_idx": 1, "scale_grad_by_freq": True}], ids=["plain", "scaled"])
def test_compiled_autograd_captures_an_eager_lookups_gradient(
    options: dict[str, Any], backend: str, device: str
) -> None:
    input, weight = lookups(device, 4, 5), table(device)
    with compiled_autograd._enable(torch.compile(backend=backend, fullgraph=True)):
        (tembed.embedding(input, weight, **options) * 3).sum().backward()
    assert counters["compiled_autograd"]["captures"] == 1
    found, weight.grad = weight.grad, None
    (tembed.embedding(input, weight, **options) * 3).sum().backward()
    assert found is not None
    assert torch.equal(found, weight.grad)


def test_operations_are_as_torch_asks(device: str) -> None:
    weight, input = table(device), lookups(device, 4, 5)
    grad_output = torch.randn(4, 5, D, device=device)
    its = torch.ops.tembed
    for sparse in (False, True):
        if not sparse:  # opcheck compares strided gradients only
            torch.library.opcheck(its.embedding.default, (weight, input, 3, True, sparse, False))
            torch.library.opcheck(its.embedding.default, (weight, input - 1, 3, True, sparse, True))
        torch.library.opcheck(its.embedding.default, (weight.detach(), input, -1, False, sparse, False))
    torch.library.opcheck(its.embedding_indices.default, (input, V, weight))
    torch.library.opcheck(its.embedding_indices.default, (input.int(), V, None))
    for gradient in (its.embedding_gradient, its.embedding_sparse_gradient):
        torch.library.opcheck(gradient.default, (grad_output, input, V, 3, True))
        torch.library.opcheck(gradient.default, (grad_output.bfloat16(), input.int(), V, -1, False))
    torch.library.opcheck(its.embedding_renorm_.default, (weight.detach().clone(), input, 1.0, 2.0))
