"""The implementations that have a name here, and how any other is found."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import tembed

from .cases import DEVIATIONS
from .subject import Implementation, load


class IndexAddFunction(torch.autograd.Function):
    """What people write by hand: index forward, zeros and index_add_ backward."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, padding_idx: int | None) -> Tensor:
        """weight[input]."""
        ctx.save_for_backward(input)
        ctx.V, ctx.padding_idx = weight.shape[0], padding_idx
        return weight[input]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[None, Tensor, None]:
        """Adds the rows up, then clears the padding row."""
        (input,), (grad_output,) = ctx.saved_tensors, grad_outputs
        rows = grad_output.reshape(-1, grad_output.shape[-1])
        grad_weight = rows.new_zeros(ctx.V, rows.shape[1]).index_add_(0, input.reshape(-1), rows)
        if ctx.padding_idx is not None:
            grad_weight[ctx.padding_idx] = 0
        return None, grad_weight, None


def index_add(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The lookup that people write by hand."""
    return IndexAddFunction.apply(input, weight, padding_idx)


class IndexAdd(nn.Module):
    """The module that people write around it."""

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        if padding_idx is not None:
            with torch.no_grad():
                self.weight[padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        """weight[input]."""
        return index_add(input, self.weight, self.padding_idx)


def _liger() -> Any:
    from liger_kernel.transformers.experimental.embedding import LigerEmbedding

    return LigerEmbedding


NONE: frozenset[int] = frozenset()
PROMISED = frozenset(DEVIATIONS)
# name: (what it is, module class, function, the deviations that it is held to)
PEERS: dict[str, tuple[str, Callable[[], Any], Callable[..., Tensor] | None, frozenset[int]]] = {
    "stock": ("torch.nn.Embedding and F.embedding", lambda: nn.Embedding, F.embedding, NONE),
    "tembed": ("tembed.Embedding and tembed.embedding", lambda: tembed.Embedding, tembed.embedding, PROMISED),
    "liger": ("Liger-Kernel's experimental LigerEmbedding", _liger, None, NONE),
    "index_add": ("weight[input], index_add_ backward, by hand", lambda: IndexAdd, index_add, NONE),
}


def what(spec: str) -> str:
    """What a name of PEERS stands for, in words."""
    if spec not in PEERS:
        return ""
    return PEERS[spec][0] + (f" {version('liger-kernel')}" if spec == "liger" else "")


def find(spec: str, device: str = "cpu") -> Implementation:
    """The implementation that a specification names.

    Args:
        spec: a name of PEERS, "package.module:Class", "package.module:function"; or two of them with a comma between,
            a class and a function. A name of PEERS stands for whichever of the two is not there yet.
        device: where it will run.

    Raises:
        ValueError: there is more than one class, or more than one function.
    """
    if spec in PEERS:
        _, module, function, deviations = PEERS[spec]
        return Implementation(spec, module(), function, device, deviations)
    parts = [part for part in spec.split(",") if part]
    found = [load(part) for part in parts if part not in PEERS]
    classes: list[Any] = [x for x in found if isinstance(x, type)]
    functions: list[Any] = [x for x in found if not isinstance(x, type)]
    for _, module, function, _ in (PEERS[part] for part in parts if part in PEERS):
        if classes:
            functions.append(function)
        else:
            classes.append(module())
    if len(classes) > 1 or len(functions) > 1 or not all(map(callable, (*classes, *functions))):
        raise ValueError(f"{spec!r}: one class and one function at most")
    cls, function = (next(iter(x), None) for x in (classes, functions))
    return Implementation(spec, cls, function, device)
