"""Tracers, exporters, and tensors without data."""

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from ..cases import feature, product
from ..compare import require, same, same_bits
from ..small import PADDING, indices, lookup_of, module, table
from ..subject import Implementation
from .compilers import MAX_NORM, OPTIONS, check_module, tracing


@feature("transforms", "jit-script", cases=({}, {"padding_idx": PADDING, "sparse": True}, {"scale_grad_by_freq": True}))
@tracing()
def scripted(subject: Implementation, **options: Any) -> None:
    """torch.jit.script takes the module, also inside of another; the table is shared."""
    _ = subject.cls  # Missing without one
    model = nn.Sequential(module(subject, table(subject.device), **options))
    check_module(torch.jit.script(model), model[0], subject, **options)


@feature("transforms", "jit-trace", cases=({}, {"padding_idx": PADDING, "max_norm": MAX_NORM, "sparse": True}))
@tracing()
def traced(subject: Implementation, **options: Any) -> None:
    """torch.jit.trace takes the module, and what it makes takes other indices; the table is shared."""
    lookup = module(subject, table(subject.device), **options)
    run = torch.jit.trace(lookup, (indices(subject.device).flip(0, 1)[:, :2],), check_trace=False)
    with torch.no_grad():
        lookup.weight.mul_(4)
    check_module(run, lookup, subject, **options)


@feature("transforms", "fx-trace", cases=({}, {"padding_idx": PADDING, "scale_grad_by_freq": True}))
def fx_traced(subject: Implementation, **options: Any) -> None:
    """torch.fx.symbolic_trace gets through the module, and the replay gives what the module gives."""
    model = nn.Sequential(module(subject, table(subject.device), **options))
    check_module(torch.fx.symbolic_trace(model), model[0], subject, **options)


@feature("transforms", "make_fx", cases=({}, {"padding_idx": PADDING}, {"sparse": True}))
def graph_of_operators(subject: Implementation, **options: Any) -> None:
    """make_fx gets through a lookup; the graph that it makes looks other indices up."""
    looked_up, weight = indices(subject.device), table(subject.device).detach()
    graph = make_fx(lookup_of(subject, **options))(looked_up, weight)
    same_bits(graph(looked_up.flip(1), weight), weight[looked_up.flip(1)], "output of the graph")


@feature("transforms", "export", cases=({}, {"padding_idx": PADDING}, {"max_norm": MAX_NORM}))
def exported(subject: Implementation, **options: Any) -> None:
    """torch.export takes the module; what it makes looks other indices up."""
    lookup, looked_up = module(subject, table(subject.device), **options), indices(subject.device)
    program = torch.export.export(lookup, (looked_up,))
    # one module at a time: max_norm changes the table they may share
    found = program.module()(looked_up.flip(1))
    with torch.no_grad():
        same_bits(found, lookup(looked_up.flip(1)), "output")


@feature("transforms", "operator", cases=product(by=("make_fx", "export"), sparse=(False, True)))
def operator(subject: Implementation, by: str, sparse: bool) -> None:
    """In the graphs of make_fx and torch.export a lookup is the operator aten.embedding, which backends know."""
    looked_up, weight = indices(subject.device), table(subject.device)
    if by == "export":
        graph = torch.export.export(module(subject, weight, sparse=sparse), (looked_up,)).graph
    else:
        graph = make_fx(lookup_of(subject, sparse=sparse))(looked_up, weight.detach()).graph
    found = [node.target for node in graph.nodes if node.op == "call_function"]
    require(torch.ops.aten.embedding.default in found, f"operators are {[str(target) for target in found]}")


def _check_shape(out: Tensor, device: str) -> None:
    same(tuple(out.shape), (4, 2, 3), "shape")
    same((out.dtype, out.device.type), (torch.float32, torch.device(device).type), "dtype, device")


@feature("transforms", "fake-tensors", cases=OPTIONS)
def fake_tensors(subject: Implementation, **options: Any) -> None:
    """Under FakeTensorMode, as planners of memory use it, a lookup gives shape, dtype and device, and runs backward."""
    lookup = lookup_of(subject, **options)
    with FakeTensorMode():
        weight = torch.empty(6, 3, device=subject.device, requires_grad=True)
        out = lookup(torch.zeros(4, 2, dtype=torch.int64, device=subject.device), weight)
        _check_shape(out, subject.device)
        out.backward(torch.empty(4, 2, 3, device=subject.device))
    require(weight.grad is not None, "there is no gradient")
    same(tuple(weight.grad.shape), (6, 3), "shape of the gradient")  # type: ignore[union-attr]


@feature("transforms", "meta", cases=OPTIONS)
def meta_tensors(subject: Implementation, **options: Any) -> None:
    """On the meta device, where models are laid out without memory, a lookup gives shape and dtype."""
    looked_up = torch.zeros(4, 2, dtype=torch.int64, device="meta")
    _check_shape(module(subject, torch.empty(6, 3, device="meta"), **options)(looked_up), "meta")
