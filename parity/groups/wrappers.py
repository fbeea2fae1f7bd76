"""Modes and wrappers of torch around a lookup."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.utils import parametrize
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads
from torch.utils.checkpoint import checkpoint

from ..cases import dtype_of, feature, product
from ..compare import require, same_bits
from ..small import check_gradient, expected, gradient, indices, lookup_of, module, table
from ..subject import Implementation


@feature("transforms", "functional_call", cases=product(sparse=(False, True)))
def call_with_another_table(subject: Implementation, sparse: bool) -> None:
    """functional_call looks up in the table that it is given, to which the gradient goes."""
    _ = subject.cls  # Missing without one
    lookup, other = module(subject, table(subject.device), sparse=sparse), table(subject.device)
    looked_up, grad_output = indices(subject.device), gradient(subject.device)
    out = functional_call(lookup, {"weight": other}, (looked_up,))
    same_bits(out, other[looked_up], "output")
    out.backward(grad_output)
    check_gradient(other.grad, expected(looked_up, grad_output))
    require(lookup.weight.grad is None, "the module's own table has a gradient")


@feature("transforms", "ensemble")
def ensemble(subject: Implementation) -> None:
    """Modules stacked by stack_module_state run under one vmap."""
    _ = subject.cls  # Missing without one
    lookups = [module(subject, table(subject.device)) for _ in range(3)]
    parameters, buffers = stack_module_state(lookups)
    looked_up = indices(subject.device)
    found = vmap(lambda p, b: functional_call(lookups[0], (p, b), (looked_up,)))(parameters, buffers)
    same_bits(found, torch.stack([lookup.weight[looked_up] for lookup in lookups]), "output")


@feature("transforms", "parametrization", cases=product(sparse=(False, True)))
def parametrization(subject: Implementation, sparse: bool) -> None:
    """A parametrized table is looked up as it is computed, and the gradient goes to its source."""

    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    lookup, looked_up = module(subject, table(subject.device), sparse=sparse), indices(subject.device)
    parametrize.register_parametrization(lookup, "weight", Half())
    source, grad_output = lookup.parametrizations.weight.original, gradient(subject.device)
    out = lookup(looked_up)
    same_bits(out, source[looked_up] / 2, "output")
    out.backward(grad_output)
    check_gradient(source.grad, expected(looked_up, grad_output) / 2)


@feature("transforms", "per-sample-hook")
def per_sample_hook(subject: Implementation) -> None:
    """torch's call_for_per_sample_grads, which replaces nn.functional.embedding alone, finds the gradient of every
    sample; it knows neither padding nor scale_grad_by_freq."""
    _ = subject.cls  # Missing without one
    lookup, looked_up, grad_output = (
        module(subject, table(subject.device)),
        indices(subject.device),
        gradient(subject.device),
    )
    call_for_per_sample_grads(lookup)(looked_up).backward(grad_output)
    wanted = [expected(i, g) for i, g in zip(looked_up, grad_output, strict=True)]
    check_gradient(lookup.weight.grad_sample, torch.stack(wanted))


@feature("transforms", "autocast", cases=product(dtype=("float32", "bfloat16"), sparse=(False, True)))
def autocast(subject: Implementation, dtype: str, sparse: bool) -> None:
    """Autocast leaves a lookup alone: output and gradient have the table's dtype."""
    looked_up, weight = indices(subject.device), table(subject.device, dtype_of(dtype))
    grad_output = gradient(subject.device, dtype_of(dtype))
    lookup = lookup_of(subject, sparse=sparse)
    with torch.autocast(torch.device(subject.device).type, torch.bfloat16):
        out = lookup(looked_up, weight)
    same_bits(out, weight[looked_up], "output")
    out.backward(grad_output)
    check_gradient(weight.grad, expected(looked_up, grad_output))


@feature("transforms", "checkpoint", cases=product(use_reentrant=(False, True), sparse=(False, True)))
def checkpointed(subject: Implementation, use_reentrant: bool, sparse: bool) -> None:
    """torch.utils.checkpoint, which runs the lookup again in backward, gives the same gradient."""
    looked_up, weight, grad_output = indices(subject.device), table(subject.device), gradient(subject.device)
    # a reentrant checkpoint wants an input that requires grad
    one = torch.ones((), device=subject.device, requires_grad=True)
    lookup = lookup_of(subject, sparse=sparse)
    out = checkpoint(lambda s: lookup(looked_up, weight) * s, one, use_reentrant=use_reentrant)
    out.backward(grad_output)
    check_gradient(weight.grad, expected(looked_up, grad_output))


@feature("transforms", "inference-mode", cases=({}, {"sparse": True}, {"max_norm": 100.0}))
def inference_mode(subject: Implementation, **options: Any) -> None:
    """In inference mode the output is an inference tensor; a table made there can be looked up inside and outside."""
    looked_up, weight, lookup = indices(subject.device), table(subject.device), lookup_of(subject, **options)
    with torch.inference_mode():
        out, made = lookup(looked_up, weight), table(subject.device).detach()
        inside = lookup(looked_up, made)
    require(out.is_inference() and not out.requires_grad, "the output is no inference tensor")
    same_bits(out, weight[looked_up], "output")
    same_bits(inside, made[looked_up], "output from a table made in inference mode, inside")
    if "max_norm" not in options:
        same_bits(lookup(looked_up, made), made[looked_up], "the same, outside")
