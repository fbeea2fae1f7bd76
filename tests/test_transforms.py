"""What tembed.Embedding is to torch's tools; that they work is among the parity cases."""

import torch
from torch import Tensor

import tembed

INDICES = torch.tensor([[0, 2, 2], [5, 4, 5]])


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


def test_a_sparse_table_is_stocks_business(device: str) -> None:
    weight = torch.randn(6, 3, device=device).to_sparse(1)
    indices = INDICES.to(device).flatten()
    assert torch.equal(tembed.embedding(indices, weight).to_dense(), weight.to_dense()[indices])
    total = torch.func.grad(lambda factor: (tembed.embedding(indices, weight) * factor).to_dense().sum())
    torch.testing.assert_close(total(torch.ones((), device=device)), weight.to_dense()[indices].sum())


def test_tensors_that_outlived_their_transform_are_looked_up(device: str) -> None:
    escaped = []

    def keeping(weight: Tensor, indices: Tensor) -> Tensor:
        escaped.extend((weight, indices))
        return weight[indices].sum()

    weight, indices = torch.randn(6, 3, device=device), INDICES.to(device)
    torch.func.grad(keeping)(weight, indices)
    for table in (weight, weight.clone().requires_grad_()):
        assert torch.equal(tembed.embedding(escaped[1], table), weight[indices])
    for chosen in (indices, escaped[1]):
        assert torch.equal(tembed.embedding(chosen, escaped[0]), weight[indices])
        found = tembed.embedding(chosen, escaped[0], max_norm=0.5, scale_grad_by_freq=True)
        assert torch.equal(found, weight[indices])
        assert (found.norm(dim=-1) <= 0.5 + 1e-6).all()
        mapped = torch.func.vmap(lambda i: tembed.embedding(i, escaped[0], scale_grad_by_freq=True))
        assert torch.equal(mapped(chosen), weight[indices])
