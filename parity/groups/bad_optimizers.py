"""errors: gradients that an optimizer, or clipping, cannot use."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn, optim

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene


def step(make: Callable[..., optim.Optimizer], sparse: bool = True) -> Callable[[Scene], Act]:
    """The first step."""
    return lambda s: s.trained(make, sparse=sparse)[1].step


declare(
    "sparse-step",
    "Optimizers that take dense gradients alone refuse sparse ones; the table, the gradient and their state stay.",
    Row(
        "Adam",
        step(optim.Adam),
        RuntimeError,
        "Adam does not support sparse gradients, please consider SparseAdam instead",
    ),
    Row(
        "AdamW",
        step(optim.AdamW),
        RuntimeError,
        "Adam does not support sparse gradients, please consider SparseAdam instead",
    ),
    Row("Adamax", step(optim.Adamax), RuntimeError, "Adamax does not support sparse gradients"),
    Row("NAdam", step(optim.NAdam), RuntimeError, "NAdam does not support sparse gradients"),
    Row("RAdam", step(optim.RAdam), RuntimeError, "RAdam does not support sparse gradients"),
    Row("RMSprop", step(optim.RMSprop), RuntimeError, "RMSprop does not support sparse gradients"),
    Row("Adadelta", step(optim.Adadelta), RuntimeError, "Adadelta does not support sparse gradients"),
    Row("ASGD", step(optim.ASGD), RuntimeError, "ASGD does not support sparse gradients"),
    Row("Rprop", step(optim.Rprop), RuntimeError, "Rprop does not support sparse gradients"),
    Row(
        "Adam, foreach",
        step(partial(optim.Adam, foreach=True)),
        RuntimeError,
        "Adam does not support sparse gradients, please consider SparseAdam instead",
    ),
    Row(
        "Adam, fused",
        step(partial(optim.Adam, fused=True)),
        RuntimeError,
        "Adam does not support sparse gradients, please consider SparseAdam instead",
    ),
    Row(
        "SGD, weight_decay",
        step(partial(optim.SGD, lr=0.5, weight_decay=0.5)),
        RuntimeError,
        "add(sparse, dense) is not supported. Use add(dense, sparse) instead.",
    ),
    Row(
        "SGD, momentum and weight_decay",
        step(partial(optim.SGD, lr=0.5, momentum=0.5, weight_decay=0.5)),
        RuntimeError,
        "add(sparse, dense) is not supported. Use add(dense, sparse) instead.",
        moves=("optimizer",),
    ),
    Row(
        "SGD, fused",
        step(partial(optim.SGD, lr=0.5, fused=True)),
        RuntimeError,
        "`_fused_sgd` does not support sparse gradients",
    ),
    Row(
        "Adagrad, weight_decay",
        step(partial(optim.Adagrad, weight_decay=0.5)),
        RuntimeError,
        "weight_decay option is not compatible with sparse gradients",
        moves=("optimizer",),
    ),
    Row(
        "Adagrad, fused",
        step(partial(optim.Adagrad, fused=True)),
        RuntimeError,
        "`fused` does not support sparse grad or complex param",
    ),
    Row(
        "SparseAdam, dense gradient",
        step(optim.SparseAdam, sparse=False),
        RuntimeError,
        "SparseAdam does not support dense gradients, please consider Adam instead",
    ),
    cpu_only=True,
)
declare(
    "sparse-step-taken",
    "Optimizers that take sparse gradients step as with stock's.",
    Row("SGD, momentum", step(partial(optim.SGD, lr=0.5, momentum=0.5))),
    Row("Adagrad", step(optim.Adagrad)),
    cpu_only=True,
)


def clipped(clip: Callable[[Any], object], sparse: bool = True) -> Callable[[Scene], Act]:
    """Clipping of a table's gradient."""

    def prepare(s: Scene) -> Act:
        module, _ = s.trained(partial(optim.SGD, lr=0.5), sparse=sparse)
        return lambda: clip(module.parameters())

    return prepare


CLIP: Any = nn.utils.clip_grad_norm_
declare(
    "clipping",
    "Clipping does to a gradient, or says of it, what it does to stock's.",
    Row(
        "norm, sparse",
        clipped(lambda p: nn.utils.clip_grad_norm_(p, 1.0)),
        NotImplementedError,
        "Could not run 'aten::linalg_vector_norm' with arguments from the 'SparseCPU' backend.",
    ),
    Row(
        "value, sparse",
        clipped(lambda p: nn.utils.clip_grad_value_(p, 0.5)),
        NotImplementedError,
        "Could not run 'aten::clamp_min_' with arguments from the 'SparseCPU' backend",
    ),
    Row(
        "norm str",
        clipped(partial(CLIP, max_norm="a"), sparse=False),
        ValueError,
        "could not convert string to float: 'a'",
    ),
    cpu_only=True,
)
