"""errors: backwards of graphs that are not there, or gone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene


def after(act: Callable[[Scene, Any, Tensor], object], grad: bool = True, **options: Any) -> Callable[[Scene], Act]:
    """What is done with a lookup of a table."""

    def prepare(s: Scene) -> Act:
        weight = s.table(grad=grad)
        out = s.output(s.indices(), weight, **options)
        return lambda: act(s, out, weight)

    return prepare


declare(
    "backward",
    "A backward that cannot be done is refused in torch's words.",
    Row(
        "no grad_output",
        after(lambda s, out, w: out.backward()),
        RuntimeError,
        "grad can be implicitly created only for scalar outputs",
    ),
    Row(
        "grad_output a list",
        after(lambda s, out, w: out.backward([1.0])),
        TypeError,
        "gradients can be either Tensors or None, but got float",
    ),
    Row(
        "grad_output a number", after(lambda s, out, w: out.backward(1.0)), TypeError, "'float' object is not iterable"
    ),
    Row(
        "table not trained",
        after(lambda s, out, w: out.sum().backward(), grad=False),
        RuntimeError,
        "element 0 of tensors does not require grad and does not have a grad_fn",
    ),
    Row(
        "lookup without gradients",
        after(lambda s, out, w: out.sum().backward(), under=torch.no_grad),
        RuntimeError,
        "element 0 of tensors does not require grad and does not have a grad_fn",
    ),
    Row(
        "lookup in inference mode",
        after(lambda s, out, w: out.sum().backward(), under=torch.inference_mode),
        RuntimeError,
        "element 0 of tensors does not require grad and does not have a grad_fn",
    ),
    Row(
        "gradient of another table",
        after(lambda s, out, w: torch.autograd.grad(out.sum(), w.clone())),
        RuntimeError,
        "The differentiated Tensor at index 0 appears to not have been used in the graph. Set",
    ),
    Row(
        "trained table changed in place",
        after(lambda s, out, w: w.add_(1)),
        RuntimeError,
        "a view of a leaf Variable that requires grad is being used in an in-place operation.",
    ),
    Row(
        "output told to need no gradient",
        after(lambda s, out, w: out.requires_grad_(False)),
        RuntimeError,
        "you can only change requires_grad flags of leaf variables. If you want to use a computed",
    ),
    cpu_only=True,
)


def again(
    first: Callable[[Tensor, Tensor], object], then: Callable[[Tensor, Any], object], **options: Any
) -> Callable[[Scene], Act]:
    """One backward, and what is done after it, with its result."""

    def prepare(s: Scene) -> Act:
        weight = s.table(grad=True)
        out = s.output(s.indices(), weight, **options)
        found = first(out, weight)
        return lambda: then(out, found)

    return prepare


def back(out: Tensor, found: Any = None) -> object:
    """A backward."""
    return out.sum().backward()


def once_more(out: Tensor, found: Any) -> object:
    """The second of two gradients, from the first."""
    return found[0].sum().backward()


def gradient(out: Tensor, weight: Tensor) -> Any:
    """The table's gradient, with a graph of its own."""
    grad_output = torch.ones_like(out, requires_grad=True)
    return torch.autograd.grad(out, weight, grad_output, create_graph=True)


def ungraphed(out: Tensor, weight: Tensor) -> Any:
    """The table's gradient, without a graph."""
    return torch.autograd.grad(out.sum(), weight)


def wrong_hook(s: Scene, **options: Any) -> Act:
    """A hook that makes another shape of the gradient."""
    weight = s.table(grad=True)
    weight.register_hook(lambda grad: torch.ones(2, 2, device=s.device))
    return s.output(s.indices(), weight, **options).sum().backward


SECOND = "Trying to backward through the graph a second time"
declare(
    "backward-again",
    "A backward through a graph that is gone is a RuntimeError, and the first one's gradient stays as it is.",
    *(
        Row(", ".join(("twice", *options)), again(back, back, **options), RuntimeError, SECOND)
        for options in ({}, {"padding_idx": 1}, {"scale_grad_by_freq": True}, {"sparse": True}, {"max_norm": 99.0})
    ),
    Row("gradient, then backward", again(ungraphed, back), RuntimeError, SECOND),
    Row(
        "second gradient of no graph",
        again(ungraphed, once_more),
        RuntimeError,
        "element 0 of tensors does not require grad and does not have a grad_fn",
    ),
    Row(
        "second gradient twice",
        again(lambda out, w: (found := gradient(out, w), once_more(out, found))[0], once_more),
        RuntimeError,
        "Trying to backward through the graph a second time (or directly access saved tensors",
    ),
    Row("hook of another shape", wrong_hook, RuntimeError, "hook '<lambda>' has changed the size of value"),
)
declare(
    "backward-graphs",
    "Backwards that keep their graphs add up.",
    Row("twice, retain_graph", again(lambda out, w: out.sum().backward(retain_graph=True), back)),
    Row("twice, retain_graph, sparse", again(lambda out, w: out.sum().backward(retain_graph=True), back, sparse=True)),
    Row("second gradient", again(gradient, once_more)),
    Row("second gradient, padding_idx", again(gradient, once_more, padding_idx=1)),
    Row("twice, create_graph", again(lambda out, w: out.sum().backward(create_graph=True), back)),
)
