"""Models whose tables, or whose calls, torch changes around the lookup."""

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from ..cases import Parameters, feature, product
from ..compare import numpy_of, require, same, same_bits, within
from ..oracle import renorm
from ..small import PADDING, check_gradient, expected, gradient, indices, lookup_of, module, table
from ..subject import Implementation

MAX_NORM = 1.0


@feature("transforms", "checkpoint-of-max_norm", claim="bound", cases=product(use_reentrant=(False, True)))
def checkpoint_of_max_norm(subject: Implementation, use_reentrant: bool) -> None:
    """torch.utils.checkpoint scales rows in the call and once more in the backward, as the table is by then."""
    looked_up, weight, grad_output = indices(subject.device), table(subject.device), gradient(subject.device)
    one = torch.ones((), device=subject.device, requires_grad=True)
    lookup = lookup_of(subject, max_norm=MAX_NORM)
    version, before = weight._version, numpy_of(weight)
    out = checkpoint(lambda s: lookup(looked_up, weight) * s, one, use_reentrant=use_reentrant)
    wanted = renorm(before, looked_up.cpu().numpy(), MAX_NORM, 2.0, "float32")
    within(numpy_of(weight), wanted.value, wanted.bound, "table after the call")
    weight.data.mul_(4)
    before = numpy_of(weight)
    out.backward(grad_output)
    wanted = renorm(before, looked_up.cpu().numpy(), MAX_NORM, 2.0, "float32")
    within(numpy_of(weight), wanted.value, wanted.bound, "table after the backward")
    same(weight._version, version + 2, "version of the table, changed by two lookups")
    check_gradient(weight.grad, expected(looked_up, grad_output))


@feature("transforms", "pruned", cases=product(sparse=(False, True)))
def pruned(subject: Implementation, sparse: bool) -> None:
    """A pruned table is looked up as it is masked, and the gradient that reaches its source is masked too."""
    lookup, looked_up = module(subject, table(subject.device), sparse=sparse), indices(subject.device)
    mask = (torch.arange(lookup.weight.numel(), device=subject.device) % 2).view(lookup.weight.shape)
    prune.custom_from_mask(lookup, "weight", mask)
    source, grad_output = lookup.weight_orig, gradient(subject.device)
    out = lookup(looked_up)
    same_bits(out, (source * mask)[looked_up], "output")
    out.backward(grad_output)
    check_gradient(source.grad, expected(looked_up, grad_output) * mask)
    prune.remove(lookup, "weight")
    same_bits(lookup(looked_up), (source * mask)[looked_up], "output when pruning is made permanent")


OPTIONS: tuple[Parameters, ...] = ({}, {"padding_idx": PADDING}, {"scale_grad_by_freq": True})


@feature("transforms", "ensemble-gradients", cases=OPTIONS)
def ensemble_gradients(subject: Implementation, **options: Any) -> None:
    """Modules stacked by stack_module_state, of the same data, each get their own gradient."""
    _ = subject.cls  # Missing without one
    lookups = [module(subject, table(subject.device), **options) for _ in range(3)]
    parameters, buffers = stack_module_state(lookups)
    looked_up, grad_output = indices(subject.device), gradient(subject.device, shape=(3, 2, 3))

    def call(p: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        out: Tensor = functional_call(lookups[0], (p, b), (looked_up,))
        return out

    vmap(call)(parameters, buffers).backward(grad_output)
    found = parameters["weight"].grad
    require(found is not None, "there is no gradient")
    check_gradient(found, torch.stack([expected(looked_up, g, **options) for g in grad_output]))
