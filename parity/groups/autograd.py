"""What a lookup records in autograd, what it saves, and what its graph does when it is used."""

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

import torch
from torch import Tensor
from torch.autograd import grad

from ..cases import Parameters, feature
from ..compare import require, same, same_error
from ..small import PADDING, check_gradient, expected, gradient, indices, table
from ..subject import Implementation

Check = Callable[..., str | None]
PLAIN: tuple[Parameters, ...] = ({},)
DENSE: tuple[Parameters, ...] = (
    {},
    {"padding_idx": PADDING},
    {"scale_grad_by_freq": True},
    {"max_norm": 100.0},
)
SPARSE: tuple[Parameters, ...] = ({}, {"padding_idx": PADDING})


def mechanics(
    name: str,
    dense: tuple[Parameters, ...] = DENSE,
    sparse: tuple[Parameters, ...] = SPARSE,
    claim: str = "exact",
    deviation: int | None = None,
) -> Callable[[Check], Check]:
    """Declares a feature that dense and sparse gradients share; the check takes the options of the lookup."""

    def declare(check: Check) -> Check:
        feature("dense-gradient", name, claim, dense, deviation)(check)
        return feature("sparse-gradient", name, claim, sparse, deviation)(
            update_wrapper(partial(check, sparse=True), check)
        )

    return declare


@mechanics("graph")
def graph(subject: Implementation, **options: Any) -> None:
    """The graph of the output leads to the table and to no other leaf."""
    weight = table(subject.device)
    out = subject.call(indices(subject.device), weight, **options)
    require(out.requires_grad and out.grad_fn is not None, "the output has no grad_fn")
    nodes: list[Any] = [out.grad_fn]
    leaves = []
    for node in nodes:
        nodes += [following for following, _ in node.next_functions if following is not None and following not in nodes]
        if hasattr(node, "variable"):
            leaves.append(node.variable)
    require(len(leaves) == 1 and leaves[0] is weight, f"it leads to {len(leaves)} leaves, should be the table alone")


@mechanics("node-name", dense=PLAIN, sparse=PLAIN)
def node_name(subject: Implementation, **options: Any) -> None:
    """What made the output is called EmbeddingBackward0, the name that profilers and tools that draw graphs show."""
    out = subject.call(indices(subject.device), table(subject.device), **options)
    require(out.grad_fn is not None, "the output has no grad_fn")
    same(out.grad_fn.name(), "EmbeddingBackward0", "name of grad_fn")  # type: ignore[union-attr]


@mechanics("saved-tensors")
def saved_tensors(subject: Implementation, **options: Any) -> None:
    """The backward keeps the indices alone, the very tensor that was given: no copy, and no table."""
    saved: list[Tensor] = []
    looked_up, weight = indices(subject.device), table(subject.device)

    def pack(x: Tensor) -> Tensor:
        saved.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        subject.call(looked_up, weight, **options)
    found = [(tuple(x.shape), x.dtype) for x in saved if x.data_ptr() != looked_up.data_ptr()]
    require(not found, f"it saves besides: {found}")


@mechanics("table-changed-later")
def table_changed_later(subject: Implementation, **options: Any) -> None:
    """The table may be changed in place between the lookup and its backward."""
    looked_up, weight, grad_output = indices(subject.device), table(subject.device), gradient(subject.device)
    out = subject.call(looked_up, weight, **options)
    with torch.no_grad():
        weight.zero_()
    out.backward(grad_output)
    check_gradient(weight.grad, expected(looked_up, grad_output, **options))


@mechanics("indices-changed-later", claim="same error")
def indices_changed_later(subject: Implementation, **options: Any) -> None:
    """Indices that were changed in place before the backward are found out."""
    looked_up, weight = indices(subject.device), table(subject.device)
    out = subject.call(looked_up, weight, **options)
    looked_up[0, 0] = 1
    same_error(lambda: grad(out, weight, gradient(subject.device)), RuntimeError, "modified by an inplace operation")


@mechanics("freed-graph", claim="same error")
def freed_graph(subject: Implementation, **options: Any) -> None:
    """A second backward through a graph that was not retained says so."""
    weight, grad_output = table(subject.device), gradient(subject.device)
    out = subject.call(indices(subject.device), weight, **options)
    grad(out, weight, grad_output)
    text = "Trying to backward through the graph a second time"
    same_error(lambda: grad(out, weight, grad_output), RuntimeError, text)


@mechanics("retained-graph")
def retained_graph(subject: Implementation, **options: Any) -> None:
    """A retained graph can be used again, and gives the same gradient."""
    looked_up, weight, grad_output = indices(subject.device), table(subject.device), gradient(subject.device)
    out = subject.call(looked_up, weight, **options)
    for keep in (True, False):
        (found,) = grad(out, weight, grad_output, retain_graph=keep)
        check_gradient(found, expected(looked_up, grad_output, **options))


class Undefined(torch.autograd.Function):
    """Hands no gradient on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """A copy."""
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> None:
        """None."""
        return None


@mechanics("undefined-gradient")
def undefined_gradient(subject: Implementation, **options: Any) -> None:
    """Where no gradient arrives, the table gets none: .grad stays None, and optimizers leave the table alone, which one
    of zeros would have them move by momentum and decay."""
    weight = table(subject.device)
    Undefined.apply(subject.call(indices(subject.device), weight, **options)).sum().backward()
    require(weight.grad is None, ".grad is a tensor")


@mechanics("create-graph", dense=PLAIN, sparse=PLAIN)
def create_graph(subject: Implementation, **options: Any) -> None:
    """The gradient itself requires a gradient only where create_graph asks for it."""
    weight, grad_output = table(subject.device), gradient(subject.device).requires_grad_()
    for wanted in (False, True):
        out = subject.call(indices(subject.device), weight, **options)
        (found,) = grad(out, weight, grad_output, create_graph=wanted)
        same(found.requires_grad, wanted, f"requires_grad with create_graph={wanted}")
