"""Function transforms, compilation and tracing: everything stock does under them still works."""

import copy

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

import tembed

OPTIONS = [{}, {"padding_idx": 2}, {"scale_grad_by_freq": True}]
INDICES = torch.tensor([[0, 2, 2], [5, 4, 5]])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_vmap_over_indices_weight_and_both(options: dict[str, object], device: str) -> None:
    tables = torch.randn(2, 6, 3, device=device)
    indices = INDICES.to(device)

    def lookup(i: Tensor, w: Tensor) -> Tensor:
        return tembed.embedding(i, w, **options)  # type: ignore[arg-type]

    assert torch.equal(vmap(lookup, (0, None))(indices, tables[0]), tables[0][indices])
    assert torch.equal(vmap(lookup, (None, 0))(indices, tables), tables[:, indices])
    assert torch.equal(vmap(lookup)(indices, tables), torch.stack([tables[k][indices[k]] for k in range(2)]))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_functional_gradients_are_those_of_eager_mode(options: dict[str, object], device: str) -> None:
    weight = torch.randn(6, 3, dtype=torch.float64, device=device, requires_grad=True)
    indices = INDICES.to(device)

    def loss(w: Tensor) -> Tensor:
        return tembed.embedding(indices, w, **options).square().sum()  # type: ignore[arg-type]

    (eager,) = torch.autograd.grad(loss(weight), weight)
    plain = weight.detach()
    torch.testing.assert_close(grad(loss)(plain), eager)
    torch.testing.assert_close(jacrev(loss)(plain), eager)
    if not options:
        torch.testing.assert_close(jacfwd(loss)(plain), eager)
        assert hessian(loss)(plain).shape == (6, 3, 6, 3)
    tangent = torch.randn_like(plain)
    _, derivative = jvp(lambda w: tembed.embedding(indices, w, **options), (plain,), (tangent,))  # type: ignore[arg-type]
    assert torch.equal(derivative, tangent[indices])


def test_functional_call_uses_the_given_weight(device: str) -> None:
    module = tembed.Embedding(6, 3, device=device)
    other = torch.randn(6, 3, device=device)
    indices = INDICES.to(device)
    assert torch.equal(functional_call(module, {"weight": other}, (indices,)), other[indices])


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
def test_compile_without_a_graph_break_agrees_with_eager_mode(
    backend: str, options: dict[str, object], index_dtype: torch.dtype, device: str
) -> None:
    torch.compiler.reset()
    module = tembed.Embedding(6, 3, **options, device=device)  # type: ignore[arg-type]
    compiled = torch.compile(copy.deepcopy(module), fullgraph=True, backend=backend)
    indices = INDICES.to(device, index_dtype)
    grad_output = torch.randn(2, 3, 3, device=device)
    results = []
    for run in (module, compiled):
        out = run(indices)
        out.backward(grad_output)
        results.append((out.detach(), run.weight.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


def test_export_gives_the_embedding_operation(device: str) -> None:
    module = tembed.Embedding(6, 3, padding_idx=1, device=device)
    program = torch.export.export(module, (INDICES.to(device),))
    assert any(node.target is torch.ops.aten.embedding.default for node in program.graph.nodes)
    assert torch.equal(program.module()(INDICES.to(device)), module(INDICES.to(device)))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"padding_idx": 1, "max_norm": 1.0, "sparse": True}], ids=str)
def test_jit_script_and_trace_share_the_weight(options: dict[str, object], device: str) -> None:
    module = torch.nn.Sequential(tembed.Embedding(6, 3, **options, device=device))  # type: ignore[arg-type]
    indices = INDICES.to(device)
    scripted = torch.jit.script(module)
    traced = torch.jit.trace(module, (indices,), check_trace=False)
    with torch.no_grad():
        module[0].weight.mul_(0.25)
    expected = module(indices)
    assert torch.equal(scripted(indices), expected)
    assert torch.equal(traced(indices), expected)
    assert type(module[0]) is tembed.Embedding


def test_a_stock_module_becomes_ours_by_its_class(device: str) -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(6, 3, sparse=True, device=device))
    for module in model.modules():
        if type(module) is torch.nn.Embedding:
            module.__class__ = tembed.Embedding
    model(INDICES.to(device)).sum().backward()
    grad = model[0].weight.grad
    assert isinstance(grad, Tensor)
    assert grad.is_coalesced()


def test_fx_traces_a_module_to_stocks_function_and_replays_it(device: str) -> None:
    module = torch.nn.Sequential(tembed.Embedding(6, 3, padding_idx=1, device=device))
    replay = torch.fx.symbolic_trace(module)
    assert [node.target for node in replay.graph.nodes if node.op == "call_function"] == [torch.nn.functional.embedding]
    assert torch.equal(replay(INDICES.to(device)), module(INDICES.to(device)))


@pytest.mark.parametrize("options", [*OPTIONS, {"sparse": True}, {"max_norm": 1.0}], ids=str)
def test_fake_and_meta_tensors_give_shapes(options: dict[str, object], device: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        weight = torch.empty(6, 3, device=device, requires_grad=True)
        out = tembed.embedding(torch.zeros(4, 2, dtype=torch.int64, device=device), weight, **options)  # type: ignore[arg-type]
        assert out.shape == (4, 2, 3)
        assert out.device.type == device
    meta = tembed.Embedding(6, 3, **options, device="meta")  # type: ignore[arg-type]
    assert meta(torch.zeros(4, 2, dtype=torch.int64, device="meta")).shape == (4, 2, 3)


def test_a_sparse_table_is_stocks_business(device: str) -> None:
    weight = torch.randn(6, 3, device=device).to_sparse(1)
    indices = INDICES.to(device).flatten()
    assert torch.equal(tembed.embedding(indices, weight).to_dense(), weight.to_dense()[indices])


def test_make_fx_sees_the_lookup(device: str) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    graph = make_fx(lambda i, w: tembed.embedding(i, w, sparse=True))(
        INDICES.to(device), torch.randn(6, 3, device=device)
    )
    assert any(node.target is torch.ops.aten.embedding.default for node in graph.graph.nodes)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint_gives_the_same_gradient(reentrant: bool, device: str) -> None:
    from torch.utils.checkpoint import checkpoint

    module = tembed.Embedding(6, 3, sparse=True, device=device)
    indices = INDICES.to(device)
    grad_output = torch.randn(2, 3, 3, device=device)
    module(indices).backward(grad_output)
    assert module.weight.grad is not None
    expected = module.weight.grad.to_dense()
    module.weight.grad = None
    # a reentrant checkpoint wants an input that requires grad
    scale = torch.ones((), device=device, requires_grad=True)
    out = checkpoint(lambda s: module(indices) * s, scale, use_reentrant=reentrant)
    out.backward(grad_output)
    assert module.weight.grad is not None
    assert torch.equal(module.weight.grad.to_dense(), expected)
