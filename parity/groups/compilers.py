"""torch.compile."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .. import oracle
from ..cases import Parameters, feature, product
from ..compare import as_stock, numpy_of, same_bits, within
from ..small import PADDING, check_gradient, expected, gradient, indices, lookup_of, module, table
from ..subject import Implementation, Unshown

MAX_NORM = 1.0
OPTIONS: tuple[Parameters, ...] = (
    {}, {"padding_idx": PADDING}, {"scale_grad_by_freq": True}, {"sparse": True}, {"max_norm": MAX_NORM},
)  # fmt: skip


def check_module(run: Any, lookup: Any, subject: Implementation, **options: Any) -> None:
    """Output, table and gradient of `run`, which is made of the module `lookup`."""
    looked_up, grad_output = indices(subject.device), gradient(subject.device)
    before = numpy_of(lookup.weight)
    out = run(looked_up)
    if options.get("max_norm") is None:
        same_bits(lookup.weight, torch.from_numpy(before).to(lookup.weight), "table afterwards")
    else:
        wanted = oracle.renorm(before, looked_up.cpu().numpy(), MAX_NORM, 2.0, "float32")
        within(numpy_of(lookup.weight), wanted.value, wanted.bound, "table afterwards")
    same_bits(out, lookup.weight[looked_up], "output")
    out.backward(grad_output)
    check_gradient(lookup.weight.grad, expected(looked_up, grad_output, **options))


@contextmanager
def tracing() -> Iterator[None]:
    """With nothing left from other compilations; tracers get lost in Triton's interpreter, where kernels are Python."""
    torch.compiler.reset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated
            yield
    except Exception as error:
        if "triton/runtime/interpreter.py" in str(error) or type(error).__name__ == "InterpreterError":
            raise Unshown("tracers cannot follow Triton's interpreter; a GPU can show it") from None
        raise


@feature("transforms", "compile", cases=[{"backend": b, **c} for b in ("eager", "aot_eager") for c in OPTIONS])
@tracing()
def compiled(subject: Implementation, backend: str, **options: Any) -> None:
    """torch.compile takes the module without a graph break, and the result is that of eager mode."""
    lookup = module(subject, table(subject.device), **options)
    check_module(torch.compile(lookup, fullgraph=True, backend=backend), lookup, subject, **options)


@feature("transforms", "compile-inductor", cases=({"padding_idx": PADDING},))
@tracing()
def compiled_by_inductor(subject: Implementation, **options: Any) -> None:
    """torch.compile with Inductor gives what eager mode gives."""
    lookup = module(subject, table(subject.device), **options)
    check_module(torch.compile(lookup, fullgraph=True), lookup, subject, **options)


@feature("transforms", "compile-dynamic", cases=product(index_dtype=("int32", "int64")))
@tracing()
def compiled_for_any_shape(subject: Implementation, index_dtype: str) -> None:
    """With dynamic shapes a compiled module takes inputs of several lengths."""
    lookup = module(subject, table(subject.device), padding_idx=PADDING)
    run = torch.compile(lookup, fullgraph=True, backend="aot_eager", dynamic=True)
    for length in (3, 5, 8):
        looked_up = torch.randint(0, 6, (length,), device=subject.device).to(getattr(torch, index_dtype))
        grad_output = gradient(subject.device, shape=(length,))
        lookup.weight.grad = None
        out = run(looked_up)
        same_bits(out, lookup.weight[looked_up.long()], "output")
        out.backward(grad_output)
        check_gradient(lookup.weight.grad, expected(looked_up, grad_output, padding_idx=PADDING))


@feature("transforms", "compile-sparse-padding", deviation=9, cases=product(backend=("eager", "aot_eager")))
@tracing()
def compiled_sparse_with_padding(subject: Implementation, backend: str) -> None:
    """A sparse lookup with padding_idx can be compiled."""
    lookup = module(subject, table(subject.device), sparse=True, padding_idx=PADDING)
    run = torch.compile(lookup, fullgraph=True, backend=backend)
    try:
        check_module(run, lookup, subject, sparse=True, padding_idx=PADDING)
    except torch._dynamo.exc.BackendCompilerFailed as error:
        as_stock(backend != "eager" and "data-dependent" in str(error), "refused, as by stock")
        raise


@feature("transforms", "compile-function", cases=({}, {"padding_idx": PADDING}, {"sparse": True}))
@tracing()
def compiled_function(subject: Implementation, **options: Any) -> None:
    """torch.compile takes the functional form without a graph break."""
    _ = subject.function  # Missing without one
    function = lookup_of(subject, **options)
    run = torch.compile(lambda i, w: function(i, w) * 2, fullgraph=True, backend="aot_eager")
    looked_up, weight, grad_output = indices(subject.device), table(subject.device), gradient(subject.device)
    run(looked_up, weight).backward(grad_output)
    check_gradient(weight.grad, 2 * expected(looked_up, grad_output, **options))
