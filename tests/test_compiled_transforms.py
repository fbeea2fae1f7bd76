"""torch.compile of torch.func's transforms, and of gradients of gradients: what eager code gives, or an error."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.exc import Unsupported
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

import tembed
from tembed import kernels

Lossy = Callable[[Tensor, Tensor], Tensor]
INDICES = torch.tensor([[0, 1, 1, 2, 2], [3, 3, 3, 1, 6], [5, 4, 0, 0, 1]])
TRANSFORMS: dict[str, Callable[[Lossy], Callable[..., Any]]] = {
    "grad": grad,
    "per-sample grad": lambda loss: vmap(grad(loss), in_dims=(None, 0)),
    "grad of tables": lambda loss: lambda weight, input: vmap(grad(loss), in_dims=(0, None))(
        torch.stack([weight, weight + 1]), input
    ),
    "jacrev": jacrev,
    "jacfwd": jacfwd,
    "jvp": lambda loss: lambda weight, input: jvp(lambda w: loss(w, input), (weight,), (weight.cos(),)),
    "hessian": hessian,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padding": {"padding_idx": 1},
    "padding, scaled": {"padding_idx": 1, "scale_grad_by_freq": True},
}
# What is traced is the same whatever runs underneath: kernels in the interpreter get the most of options alone.
NAMES = [*OPTIONS][-1:] if kernels.interpreted() else [*OPTIONS]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def loss_of(**options: Any) -> Lossy:
    return lambda weight, input: (tembed.embedding(input, weight, **options) ** 3).sum()


def table(device: str) -> Tensor:
    return torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(device)


@pytest.mark.parametrize("options", NAMES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_compiled_transforms_are_those_of_eager_code(name: str, options: str, device: str) -> None:
    transformed = TRANSFORMS[name](loss_of(**OPTIONS[options]))
    compiled = torch.compile(transformed, fullgraph=True, backend="aot_eager")
    weight, input = table(device), INDICES.to(device)
    torch.testing.assert_close(compiled(weight, input), transformed(weight, input), rtol=1e-12, atol=1e-12)


def gradient_of_gradient(**options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    loss = loss_of(**options)
    return grad(lambda weight, input: (grad(loss)(weight, input) ** 2).sum())


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_gradient_of_a_gradient_is_right_or_refused(backend: str, device: str) -> None:
    weight, input = table(device), INDICES.to(device)
    plain = gradient_of_gradient(padding_idx=1)
    found = torch.compile(plain, fullgraph=True, backend=backend)(weight, input)
    torch.testing.assert_close(found, plain(weight, input), rtol=1e-12, atol=1e-12)
    scaled = torch.compile(gradient_of_gradient(scale_grad_by_freq=True), fullgraph=True, backend=backend)
    with pytest.raises(Exception, match="would leave 1/count out"):
        scaled(weight, input)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_lookup_is_not_differentiated_twice(backend: str, device: str) -> None:
    weight = table(device).bfloat16().requires_grad_()
    out = torch.compile(tembed.embedding, fullgraph=True, backend=backend)(INDICES.to(device), weight)
    grad_output = torch.ones_like(out, requires_grad=True)
    (found,) = torch.autograd.grad(out, weight, grad_output, create_graph=True)
    with pytest.raises(RuntimeError, match=r"double backward|not have been used in the graph"):
        torch.autograd.grad(found.sum(), grad_output)


@pytest.mark.parametrize("name", ["grad", "per-sample grad", "jacrev"])
def test_sparse_gradients_of_compiled_transforms_are_refused(name: str, device: str) -> None:
    compiled = torch.compile(TRANSFORMS[name](loss_of(sparse=True)), fullgraph=True, backend="aot_eager")
    with pytest.raises(Unsupported):
        compiled(table(device), INDICES.to(device))
