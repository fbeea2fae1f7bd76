"""What only an accelerator can hold or show: tables and outputs of more than 2^31 numbers, millions of lookups."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..cases import dtype_of, feature, product
from ..compare import require, same_bits
from ..configuration import Configuration, make_inputs
from ..lookups import lookup
from ..subject import Implementation

GIB = 2**30
WIDTHS = ("float32", "bfloat16")
D = 1024
FAR = 2**31 // D  # the row, of D columns, from which on an int32 does not count numbers
MANY = FAR + 1000
REPETITIONS = 1000
REPEATED = 20_000  # lookups


def _far_rows(subject: Implementation) -> tuple[Tensor, Tensor]:
    """A table of more than 2^31 numbers, zeros but for a few rows, and indices of these, near the end too."""
    weight = torch.zeros(MANY, D, dtype=torch.bfloat16, device=subject.device)
    indices = torch.tensor([MANY - 1, 0, FAR - 1, FAR, MANY - 1, MANY - 500], device=subject.device)
    weight[indices] = torch.randn(6, D, dtype=torch.bfloat16, device=subject.device) * 4
    return weight, indices


@feature("device", "large-table", needs="cuda", memory=8 * GIB, cases=product(max_norm=(None, 1.0)))
def large_table(subject: Implementation, max_norm: float | None) -> None:
    """A table of more than 2^31 numbers is looked up, and renormed, up to its last row."""
    weight, indices = _far_rows(subject)
    rows = weight[indices].contiguous()
    small = rows.clone()
    wanted = subject.call(torch.arange(6, device=subject.device), small, max_norm=max_norm)
    out = subject.call(indices, weight, max_norm=max_norm)
    same_bits(out, wanted, "output")
    same_bits(weight[indices], small, "table")


@feature("device", "large-gradient", needs="cuda", memory=16 * GIB, cases=product(sparse=(False, True)))
def large_gradient(subject: Implementation, sparse: bool) -> None:
    """Its gradient is right up to the last row."""
    weight, indices = _far_rows(subject)
    grad_output = torch.randint(-9, 9, (6, D), device=subject.device).to(torch.bfloat16)
    out = subject.call(indices, weight.requires_grad_(), sparse=sparse)
    (grad,) = torch.autograd.grad(out, weight, grad_output)
    rows = grad.coalesce() if sparse else grad
    found = torch.stack([rows[i].to_dense() for i in (MANY - 1, 0, FAR - 1, FAR, MANY - 500, 7)])
    wanted = torch.stack([grad_output[0] + grad_output[4], *grad_output[1:4], grad_output[5], grad_output[5] * 0])
    same_bits(found + 0.0, wanted + 0.0, "gradient")
    if not sparse:
        require(int(grad.count_nonzero()) == int(wanted.count_nonzero()), "other rows have a gradient")


@feature("device", "large-output", needs="cuda", memory=20 * GIB)
def large_output(subject: Implementation) -> None:
    """An output of more than 2^31 numbers is written to its end, and its gradient read from there."""
    weight = torch.randn(7, D, device=subject.device).to(torch.bfloat16).requires_grad_()
    indices = torch.arange(MANY, device=subject.device) % 7
    out = subject.call(indices, weight)
    for begin in (0, FAR - 8, MANY - 16):
        same_bits(out[begin : begin + 16], weight.detach()[indices[begin : begin + 16]], "output")
    grad_output = torch.zeros(MANY, D, dtype=torch.bfloat16, device=subject.device)
    grad_output[-1], grad_output[FAR] = 3, 5
    (grad,) = torch.autograd.grad(out, weight, grad_output)
    wanted = torch.zeros_like(grad)
    wanted[(MANY - 1) % 7] += 3
    wanted[FAR % 7] += 5
    same_bits(grad, wanted, "gradient")


@feature(
    "device",
    "millions-of-lookups",
    "exact",
    needs="cuda",
    memory=4 * GIB,
    cases=product(N=(4_000_000,), distribution=("uniform", "zipf", "hot"), dtype=WIDTHS, sparse=(False, True)),
)
def millions_of_lookups(subject: Implementation, N: int, **c: Any) -> str | None:
    """Four million lookups are all summed."""
    return lookup(subject, "all", V=50_000, D=8, shape=(N,), integers=True, **c)


def _step(subject: Implementation, c: Configuration) -> tuple[Tensor, Tensor]:
    x = make_inputs(c, subject.device)
    weight = x.weight.requires_grad_()
    out = subject.call(x.indices, weight, **c.options)
    return out.detach(), torch.autograd.grad(out, weight, x.grad_output)[0].to_dense()


def _work_beside(device: str) -> Callable[[], None]:
    """Each call puts some work on a stream of its own; none where there are no streams."""
    if torch.device(device).type != "cuda":
        return lambda: None
    stream, x = torch.cuda.Stream(device), torch.randn(1024, 1024, device=device)
    stream.wait_stream(torch.cuda.current_stream(device))

    def work() -> None:
        with torch.cuda.stream(stream):
            torch.tanh(x @ x)

    return work


@feature(
    "device",
    "repetitions",
    needs="cuda",
    deviation=8,
    cases=product(dtype=WIDTHS, sparse=(False, True)),
)
def repetitions(subject: Implementation, dtype: str, sparse: bool) -> None:
    """A thousand repetitions of one backward give the same bits, while another stream keeps the device busy."""
    c = Configuration(V=500, D=96, shape=(REPEATED,), dtype=dtype, sparse=sparse)
    x = make_inputs(c, subject.device)
    weight = x.weight.requires_grad_()
    first, beside = None, _work_beside(subject.device)
    for i in range(REPETITIONS):
        beside()
        out = subject.call(x.indices, weight, **c.options)
        grad = torch.autograd.grad(out, weight, x.grad_output)[0].to_dense()
        first = grad if first is None else first
        require(torch.equal(grad, first), f"repetition {i} differs from the first")


@feature("device", "streams", needs="cuda", cases=product(max_norm=(None, 2.5)))
def streams(subject: Implementation, max_norm: float | None) -> None:
    """Work on two streams at once gives what each gives alone."""
    configurations = [Configuration(V=5000, D=128, shape=(30_000,), seed=i, max_norm=max_norm) for i in (1, 2)]
    alone = [_step(subject, c) for c in configurations]
    torch.cuda.synchronize(subject.device)
    lanes = [torch.cuda.Stream(subject.device) for _ in configurations]
    inputs = [make_inputs(c, subject.device) for c in configurations]
    torch.cuda.synchronize(subject.device)
    found: list[list[tuple[Tensor, Tensor]]] = [[], []]
    for _ in range(20):
        for lane, c, x, results in zip(lanes, configurations, inputs, found, strict=True):
            with torch.cuda.stream(lane):
                weight = x.weight.clone().requires_grad_()
                out = subject.call(x.indices, weight, **c.options)
                results.append((out.detach(), torch.autograd.grad(out, weight, x.grad_output)[0].to_dense()))
    torch.cuda.synchronize(subject.device)
    for (out, grad), results in zip(alone, found, strict=True):
        for other_out, other_grad in results:
            same_bits(other_out, out, "output")
            same_bits(other_grad, grad, "gradient")


@feature("device", "graphs", needs="cuda", cases=product(dtype=WIDTHS, lookups=(500, 9000), max_norm=(None, 4.0)))
def graphs(subject: Implementation, dtype: str, lookups: int, max_norm: float | None) -> None:
    """Forward, max_norm and dense backward are captured in a CUDA graph, and replayed with other indices."""
    V = 3000
    c = Configuration(V=V, D=64, shape=(lookups,), dtype=dtype, distribution="uniform")
    x = make_inputs(c, subject.device)
    weight, table = x.weight.requires_grad_(), x.weight.detach().clone()
    lane = torch.cuda.Stream(subject.device)
    lane.wait_stream(torch.cuda.current_stream(subject.device))
    with torch.cuda.stream(lane):
        for _ in range(3):
            torch.autograd.grad(subject.call(x.indices, weight, max_norm=max_norm), weight, x.grad_output)
    torch.cuda.current_stream(subject.device).wait_stream(lane)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = subject.call(x.indices, weight, max_norm=max_norm)
        (grad,) = torch.autograd.grad(out, weight, x.grad_output)
    for indices in (V - 1 - x.indices, torch.zeros_like(x.indices)):
        x.indices.copy_(indices)
        weight.detach().copy_(table)
        graph.replay()
        same = table.clone().requires_grad_()
        wanted = subject.call(x.indices, same, max_norm=max_norm)
        same_bits(out, wanted, "output")
        same_bits(weight.detach(), same.detach(), "table")
        same_bits(grad, torch.autograd.grad(wanted, same, x.grad_output)[0], "gradient")


@feature("device", "other-devices", needs="cuda", cases=product(dtype=("float32",)))
def other_devices(subject: Implementation, dtype: str) -> str | None:
    """Every device works, not only the current one."""
    last = torch.device("cuda", torch.cuda.device_count() - 1)
    weight = torch.randn(9, 4, dtype=dtype_of(dtype), device=last)
    indices = torch.tensor([8, 0, 8], device=last)
    same_bits(subject.call(indices, weight), weight[indices], "output")
    return None if last.index else "this machine has one device"
