"""Training with torch.optim, step by step as with torch.nn.Embedding."""

from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn, optim
from torch.nn.utils import clip_grad_norm_

from ..cases import feature, product
from ..compare import as_stock, describe, numpy_of, raised, require, same, same_bits, same_error, within
from ..small import PADDING as SMALL_PADDING
from ..small import check_gradient, expected, gradient, indices, module, table
from ..subject import Implementation
from ..training import ADAPTIVE, ADAPTIVE_SPARSE, BOUND, PADDING, SGD, SGD_DENSE, STOCK, D, Task, V, follow, make_batch

BOTH = (False, True)
SCALED = ({"kind": "plain"}, {"kind": "momentum", "padding_idx": PADDING})


@feature("optimizers", "sgd", cases=(*product(kind=tuple(SGD), sparse=BOTH), {"kind": "plain", "dtype": "float64"}))
def sgd(subject: Implementation, **c: Any) -> None:
    """SGD trains as with stock, bit for bit where the arithmetic is exact."""
    follow(subject, Task(**c))


@feature("optimizers", "sgd-of-dense", cases=product(kind=tuple(SGD_DENSE)))
def sgd_of_dense(subject: Implementation, **c: Any) -> None:
    """SGD with weight decay, and fused, trains as with stock; both take dense gradients alone."""
    follow(subject, Task(**c))


@feature("optimizers", "scaled", cases=SCALED)
def scaled(subject: Implementation, **c: Any) -> None:
    """Training with scale_grad_by_freq goes as with stock."""
    follow(subject, Task(scale_grad_by_freq=True, **c))


@feature("optimizers", "scaled-sparse", cases=SCALED, deviation=2)
def scaled_sparse(subject: Implementation, **c: Any) -> None:
    """Training with scale_grad_by_freq and sparse gradients goes as with dense ones."""
    task = Task(scale_grad_by_freq=True, sparse=True, **c)
    try:
        follow(subject, task, reference=Task(scale_grad_by_freq=True, **c))
    except RuntimeError as error:
        as_stock("scale_grad_by_freq not supported with sparse gradients" in str(error), f"raises {describe(error)}")
        raise


@feature("optimizers", "accumulated", cases=product(zeroed=(True,), sparse=BOTH))
def accumulated(subject: Implementation, zeroed: bool, sparse: bool) -> None:
    """Two backwards before a step add up, also where .grad is kept and zeroed after it."""
    follow(subject, Task(backwards=2, set_to_none=not zeroed, sparse=sparse))


@feature("optimizers", "shared-table", cases=product(sparse=BOTH))
def shared_table(subject: Implementation, **c: Any) -> None:
    """A table that is used twice in one forward trains on the sum of both gradients."""
    follow(subject, Task(lookups=2, padding_idx=PADDING, **c))


@feature("optimizers", "several-tables", cases=product(kind=("foreach",), sparse=BOTH))
def several_tables(subject: Implementation, **c: Any) -> None:
    """Several tables train in one optimizer."""
    follow(subject, Task(tables=2, **c))


@feature("optimizers", "adaptive", claim="bound", cases=product(kind=tuple(ADAPTIVE)))
def adaptive(subject: Implementation, kind: str) -> None:
    """Adaptive optimizers train as with stock."""
    follow(subject, Task(kind=kind, exact=False, dtype="float64"))


@feature("optimizers", "adaptive-sparse", claim="bound", cases=product(kind=tuple(ADAPTIVE_SPARSE)))
def adaptive_sparse(subject: Implementation, **c: Any) -> None:
    """Adagrad, SparseAdam and L-BFGS train on sparse gradients as with stock: rows that were looked up alone move."""
    follow(subject, Task(exact=False, dtype="float64", sparse=True, **c))


@feature("optimizers", "adaptive-scaled", claim="bound", cases=product(kind=("Adagrad", "AdamW")))
def adaptive_scaled(subject: Implementation, kind: str) -> None:
    """Adaptive optimizers with scale_grad_by_freq train as with stock."""
    follow(subject, Task(kind=kind, exact=False, dtype="float64", scale_grad_by_freq=True, padding_idx=PADDING))


@feature("optimizers", "max_norm", claim="bound", cases=product(kind=("plain", "Adagrad"), sparse=BOTH))
def max_norm(subject: Implementation, **c: Any) -> None:
    """Training with max_norm goes as with stock: rows are scaled when they are looked up, gradients are not."""
    follow(subject, Task(exact=False, dtype="float64", max_norm=1.5, **c))


RESTS = (("plain", False), ("nesterov", True), ("Adagrad", True), ("Adam", False), ("SparseAdam", True))


@feature(
    "optimizers", "padding-rests", claim="bound", cases=[{"kind": kind, "sparse": sparse} for kind, sparse in RESTS]
)
def padding_rests(subject: Implementation, **c: Any) -> None:
    """Training leaves the padding row as it was, bit for bit."""
    first, *_, last = follow(subject, Task(exact=False, dtype="float64", padding_idx=PADDING, **c))
    same_bits(last[:, PADDING], first[:, PADDING], "padding row")


@feature(
    "optimizers",
    "resumed",
    claim="bound",
    cases=[{"kind": "Adam", "sparse": False}, {"kind": "SparseAdam", "sparse": True}],
)
def resumed(subject: Implementation, **c: Any) -> None:
    """Training that is saved and loaded on the way goes on as if it were not."""
    task = Task(exact=False, dtype="float64", **c)
    follow(subject, Task(exact=False, dtype="float64", resumed=True, **c), reference=task)


@feature("optimizers", "tied-to-a-linear-layer", claim="bound", cases=product(sparse=BOTH))
def tied(subject: Implementation, sparse: bool) -> None:
    """A table that is a linear layer's weight too trains on the sum of both gradients."""
    found = []
    for implementation in (subject, STOCK):
        generator = Generator().manual_seed(3)
        weight = torch.randn(V, D, generator=generator, dtype=torch.float64).to(implementation.device)
        lookup = module(implementation, weight, sparse=sparse)
        linear = nn.Linear(D, V, bias=False)
        linear.weight = lookup.weight
        optimizer = optim.SGD(linear.parameters(), lr=0.25)
        for _ in range(5):
            batch = make_batch(generator).to(implementation.device).flatten()
            optimizer.zero_grad()
            nn.functional.cross_entropy(linear(lookup(batch[:-1])), batch[1:]).backward()
            optimizer.step()
        found.append(numpy_of(lookup.weight))
    within(found[0], found[1], BOUND, "table")


def _one_step(subject: Implementation, make: Any, sparse: bool) -> None:
    lookup = module(subject, table(subject.device), sparse=sparse)
    optimizer = make(lookup.parameters())
    lookup(indices(subject.device)).backward(gradient(subject.device))
    optimizer.step()


REFUSALS = {
    **{name: getattr(optim, name) for name in (
        "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adadelta", "ASGD", "Rprop",
    )},
    "SGD-weight_decay": partial(optim.SGD, lr=0.5, weight_decay=0.5),
    "SGD-fused": partial(optim.SGD, lr=0.5, fused=True),
    "Adagrad-weight_decay": partial(optim.Adagrad, weight_decay=0.5),
    "Adagrad-fused": partial(optim.Adagrad, fused=True),
}  # fmt: skip


@feature("optimizers", "refusals", claim="same error", cases=product(kind=tuple(REFUSALS)))
def refusals(subject: Implementation, kind: str) -> None:
    """Optimizers that take dense gradients alone refuse sparse ones, in the same words."""
    error = raised(lambda: _one_step(STOCK, REFUSALS[kind], True))
    same_error(lambda: _one_step(subject, REFUSALS[kind], True), type(error), str(error).splitlines()[0])


@feature("optimizers", "refusal-of-dense", claim="same error")
def refusal_of_dense(subject: Implementation) -> None:
    """SparseAdam refuses dense gradients, in the same words."""
    same_error(lambda: _one_step(subject, optim.SparseAdam, False), RuntimeError, "SparseAdam does not support dense")


def _clipped(subject: Implementation, weight: Tensor, grad_output: Tensor, sparse: bool) -> Tensor | str:
    lookup = module(subject, weight.to(subject.device), sparse=sparse, padding_idx=SMALL_PADDING)
    lookup(indices(subject.device)).backward(grad_output.to(subject.device))
    try:
        total = clip_grad_norm_(lookup.parameters(), 1.0).view(1, 1)
    except NotImplementedError as error:
        return describe(error)[:60]
    return torch.cat([total.expand(1, weight.shape[1]), lookup.weight.grad.to_dense()])


@feature("optimizers", "clipped", claim="bound", cases=product(sparse=BOTH))
def clipped(subject: Implementation, sparse: bool) -> str | None:
    """clip_grad_norm_ does to the gradient what it does to stock's, sparse ones included: torch may refuse those."""
    weight, grad_output = table("cpu", torch.float64), gradient("cpu", torch.float64)
    found, wanted = (_clipped(s, weight, grad_output, sparse) for s in (subject, STOCK))
    if isinstance(found, str) or isinstance(wanted, str):
        same(found, wanted, "clip_grad_norm_")
        return f"torch refuses: {wanted}"
    within(numpy_of(found), numpy_of(wanted), 1e-14 * 40, "norm and clipped gradient")
    return None


@feature("optimizers", "loss-scaling", cases=product(sparse=BOTH, overflow=BOTH))
def loss_scaling(subject: Implementation, sparse: bool, overflow: bool) -> None:
    """GradScaler unscales the gradient, and leaves a step out where it holds an infinity."""
    looked_up, grad_output = indices(subject.device), gradient(subject.device)
    weight = torch.randint(-9, 10, (6, 3), device=subject.device).float()
    lookup = module(subject, weight, sparse=sparse)
    optimizer = optim.SGD(lookup.parameters(), lr=0.25)
    scaler = torch.amp.GradScaler(torch.device(subject.device).type, init_scale=8.0)
    if overflow:
        grad_output[0, 1, 2] = float("inf")
    lookup(looked_up).backward(grad_output * scaler.scale(torch.ones((), device=subject.device)))
    scaler.unscale_(optimizer)
    wanted = weight.clone()
    if not overflow:
        check_gradient(lookup.weight.grad, expected(looked_up, grad_output), "unscaled gradient")
        wanted -= 0.25 * expected(looked_up, grad_output)
    scaler.step(optimizer)
    scaler.update()
    same_bits(lookup.weight.detach(), wanted, "table after the step")
    same(scaler.get_scale(), 4.0 if overflow else 8.0, "scale")
    require(lookup.weight.grad is not None, "there is no gradient")
