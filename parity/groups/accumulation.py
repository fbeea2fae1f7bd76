"""Where a gradient goes, and how gradients add up."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.autograd import grad

from ..cases import feature, product
from ..compare import as_stock, bits_of, require, same, same_bits
from ..inputs import make_indices
from ..small import PADDING, D, V, check_gradient, expected, gradient, indices, table
from ..subject import Implementation, Unshown
from .autograd import DENSE, PLAIN, mechanics


@mechanics("negated-gradient", dense=PLAIN, sparse=PLAIN)
def negated_gradient(subject: Implementation, **options: Any) -> None:
    """A gradient of the output that is lazily negated counts with its true values."""
    looked_up, weight, grad_output = indices(subject.device), table(subject.device), gradient(subject.device)
    out = subject.call(looked_up, weight, **options)
    (found,) = grad(out, weight, torch._neg_view(grad_output))
    check_gradient(found, expected(looked_up, -grad_output, **options))


@feature("dense-gradient", "own-storage", cases=product(rows=(V, 300), way=("grad", "backward")))
def own_storage(subject: Implementation, rows: int, way: str) -> None:
    """A dense gradient shares no memory with the output's, even where every row was looked up once, in order: either
    may be written over."""
    weight, looked_up = torch.randn(rows, D, device=subject.device).requires_grad_(), torch.arange(rows)
    grad_output = gradient(subject.device, shape=(rows,))
    kept, out = grad_output.clone(), subject.call(looked_up.to(subject.device), weight)
    if way == "grad":
        (found,) = grad(out, weight, grad_output)
    else:
        out.backward(grad_output)
        require(weight.grad is not None, "there is no gradient")
        found = torch.as_tensor(weight.grad)
    check_gradient(found, kept)
    grad_output.zero_()
    check_gradient(found, kept, "gradient after the output's was written over")


@mechanics("computed-table", dense=PLAIN, sparse=PLAIN)
def computed_table(subject: Implementation, **options: Any) -> None:
    """The gradient of a table that was computed goes on to what it was computed from."""
    looked_up, base, grad_output = indices(subject.device), table(subject.device), gradient(subject.device)
    subject.call(looked_up, base * 2, **options).backward(grad_output)
    check_gradient(base.grad, 2 * expected(looked_up, grad_output, **options))


@feature("dense-gradient", "slice-of-a-table", cases=({}, {"padding_idx": PADDING}))
def slice_of_a_table(subject: Implementation, **options: Any) -> None:
    """The gradient of a slice of a larger table is zero outside of the slice."""
    looked_up, grad_output = indices(subject.device), gradient(subject.device)
    base = torch.randn(8, 5, device=subject.device, requires_grad=True)
    subject.call(looked_up, base[1:7, 2:], **options).backward(grad_output)
    wanted = torch.zeros_like(base)
    wanted[1:7, 2:] = expected(looked_up, grad_output, **options)
    check_gradient(base.grad, wanted)


@mechanics("used-twice", dense=PLAIN, sparse=PLAIN)
def used_twice(subject: Implementation, **options: Any) -> None:
    """Two lookups in one graph add their gradients."""
    weight = table(subject.device)
    both = indices(subject.device), torch.tensor([5, 1, 1], device=subject.device)
    gradients = gradient(subject.device), gradient(subject.device, shape=(3,))
    outs = [subject.call(looked_up, weight, **options) for looked_up in both]
    torch.autograd.backward(outs, gradients)
    check_gradient(weight.grad, sum(expected(i, g, **options) for i, g in zip(both, gradients, strict=True)))  # type: ignore[arg-type]


@mechanics("hooks", dense=PLAIN, sparse=PLAIN)
def hooks(subject: Implementation, **options: Any) -> None:
    """Hooks of the table see its gradient and may replace it; one after accumulation sees .grad."""
    looked_up, weight, grad_output = indices(subject.device), table(subject.device), gradient(subject.device)
    seen: list[Any] = []

    def twice(g: Tensor) -> Tensor:
        seen.append(g.to_dense())
        return g * 2

    weight.register_hook(twice)
    weight.register_post_accumulate_grad_hook(lambda w: seen.append(w.grad))
    subject.call(looked_up, weight, **options).backward(grad_output)
    wanted = expected(looked_up, grad_output, **options)
    same(len(seen), 2, "calls of hooks")
    check_gradient(seen[0], wanted, "gradient that the hook saw")
    check_gradient(seen[1], 2 * wanted, ".grad that the hook saw")
    check_gradient(weight.grad, 2 * wanted)


@feature("dense-gradient", "second-backward", cases=DENSE)
def second_backward(subject: Implementation, **options: Any) -> None:
    """A second backward adds to .grad in place."""
    looked_up, weight, grad_output = indices(subject.device), table(subject.device), gradient(subject.device)
    places = []
    for times in (1, 2):
        subject.call(looked_up, weight, **options).backward(grad_output)
        check_gradient(weight.grad, times * expected(looked_up, grad_output, **options))
        places.append(weight.grad.data_ptr())  # type: ignore[union-attr]
    same(places[1] == places[0], True, ".grad is in its old place")


@mechanics("threads", dense=({}, {"scale_grad_by_freq": True}), sparse=PLAIN)
def threads(subject: Implementation, **options: Any) -> None:
    """Backwards in several threads do not disturb each other."""
    looked_up, grad_output = indices(subject.device), gradient(subject.device)
    weights = [table(subject.device) for _ in range(3)]

    def work(weight: Tensor) -> None:
        for _ in range(3):
            subject.call(looked_up, weight, **options).backward(grad_output)

    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, weights))
    except Exception as error:
        if type(error).__name__ == "InterpreterError":
            raise Unshown("Triton's interpreter takes one thread at a time") from None
        raise
    for weight in weights:
        check_gradient(weight.grad, 3 * expected(looked_up, grad_output, **options))


@mechanics("repeatable", dense=({}, {"scale_grad_by_freq": True}), deviation=8)
def repeatable(subject: Implementation, **options: Any) -> None:
    """The same backward gives the same bits every time."""
    looked_up = make_indices("zipf", (500,), 20, torch.Generator().manual_seed(2)).to(subject.device)
    weight = torch.randn(20, 7, device=subject.device, requires_grad=True)
    grad_output = torch.randn(500, 7, device=subject.device)
    found = []
    for _ in range(3):
        (one,) = grad(subject.call(looked_up, weight, **options), weight, grad_output)
        found.append(one.to_dense())
    equal = all(torch.equal(bits_of(found[0]), bits_of(other)) for other in found[1:])
    as_stock(not equal and subject.device != "cpu", "bits differ from run to run, as stock's may")
    for other in found[1:]:
        same_bits(other, found[0], "gradient of another run")
