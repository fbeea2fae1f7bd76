"""A few steps of training, the same for every implementation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn, optim
from torch.nn import functional as F
from torch.optim import Optimizer

from .cases import dtype_of
from .compare import numpy_of, same_bits, within
from .small import module
from .subject import Implementation

V, D, PADDING, STEPS = 9, 4, 2, 5
STOCK = Implementation("stock", nn.Embedding, F.embedding)
# How far apart tables trained in float64 may end, of which the gradients were summed in another order. Sums
# differ by 2^-51 or so of their size; adaptive steps divide by a gradient's size, here down to 2^-12; five steps.
BOUND = STEPS * 2.0**-39

Make = Callable[..., Optimizer]
# Powers of two, under which whole numbers stay exact for five steps in float32.
SGD: dict[str, Make] = {
    "plain": partial(optim.SGD, lr=0.25),
    "momentum": partial(optim.SGD, lr=0.25, momentum=0.5),
    "dampening": partial(optim.SGD, lr=0.25, momentum=0.5, dampening=0.5),
    "nesterov": partial(optim.SGD, lr=0.25, momentum=0.5, nesterov=True),
    "maximize": partial(optim.SGD, lr=0.25, maximize=True),
    "foreach": partial(optim.SGD, lr=0.25, foreach=True),
}
SGD_DENSE: dict[str, Make] = {
    "weight_decay": partial(optim.SGD, lr=0.25, weight_decay=0.5),
    "fused": partial(optim.SGD, lr=0.25, fused=True),
}
ADAPTIVE: dict[str, Make] = {
    "Adagrad": partial(optim.Adagrad, lr=0.1),
    "Adam": partial(optim.Adam, lr=0.05),
    "AdamW": partial(optim.AdamW, lr=0.05),
    "RMSprop": partial(optim.RMSprop, lr=0.05),
    "Adadelta": partial(optim.Adadelta, lr=0.5),
    "LBFGS": partial(optim.LBFGS, lr=0.25, max_iter=2, max_eval=2),
}
ADAPTIVE_SPARSE: dict[str, Make] = {
    "Adagrad": ADAPTIVE["Adagrad"],
    "SparseAdam": partial(optim.SparseAdam, lr=0.05),
    "LBFGS": ADAPTIVE["LBFGS"],
}
OPTIMIZERS = SGD | SGD_DENSE | ADAPTIVE | ADAPTIVE_SPARSE


@dataclass(frozen=True)
class Task:
    """Lookups whose squared distance from targets an optimizer makes smaller.

    Args:
        kind: a name of OPTIMIZERS.
        exact: tables and targets are whole numbers, and rows are looked up once, twice or four times; else normal.
        tables: as many tables in one optimizer. `lookups` in each per forward; `backwards` before each step.
        resumed: whether module and optimizer are saved and loaded into new ones after the second step.
    """

    kind: str = "plain"
    dtype: str = "float32"
    exact: bool = True
    tables: int = 1
    lookups: int = 1
    backwards: int = 1
    set_to_none: bool = True
    resumed: bool = False
    padding_idx: int | None = None
    max_norm: float | None = None
    scale_grad_by_freq: bool = False
    sparse: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the modules."""
        names = ("padding_idx", "max_norm", "scale_grad_by_freq", "sparse")
        return {name: getattr(self, name) for name in names}

    def normal(self, generator: Generator, *shape: int) -> Tensor:
        """Numbers for tables and targets."""
        if self.exact:
            return torch.randint(-4, 5, shape, generator=generator).to(dtype_of(self.dtype))
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype_of(self.dtype))


def make_tables(subject: Implementation, task: Task, generator: Generator) -> nn.ModuleList:
    """The modules, with tables of their own."""
    weights = [task.normal(generator, V, D).to(subject.device) for _ in range(task.tables)]
    return nn.ModuleList(module(subject, weight, **task.options) for weight in weights)


def make_batch(generator: Generator) -> Tensor:
    """[2, 5] indices of five rows, looked up once, once, twice, twice and four times."""
    rows = torch.randperm(V, generator=generator)[[0, 1, 2, 2, 3, 3, 4, 4, 4, 4]]
    return rows[torch.randperm(10, generator=generator)].view(2, 5)


def loss_of(tables: nn.ModuleList, task: Task, device: str, generator: Generator) -> Callable[[], Tensor]:
    """Of one batch; may be called again, as optimizers that search do."""
    parts = [
        (lookup, make_batch(generator).to(device), task.normal(generator, 2, 5, D).to(device))
        for lookup in tables
        for _ in range(task.lookups)
    ]
    return lambda: torch.stack([(lookup(i) - target).square().sum() / 2 for lookup, i, target in parts]).sum()


def _copies(tables: nn.ModuleList) -> Tensor:
    return torch.stack([weight.detach().clone() for weight in tables.parameters()]).cpu()


def train(subject: Implementation, task: Task) -> list[Tensor]:
    """The tables, [tables, V, D], before the first step and after every one."""
    generator = Generator().manual_seed(7)
    tables = make_tables(subject, task, generator)
    optimizer = OPTIMIZERS[task.kind](tables.parameters())
    history = [_copies(tables)]
    for step in range(STEPS):
        if task.resumed and step == 2:
            saved = tables.state_dict(), optimizer.state_dict()
            tables = make_tables(subject, task, Generator().manual_seed(8))
            optimizer = OPTIMIZERS[task.kind](tables.parameters())
            tables.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
        losses = [loss_of(tables, task, subject.device, generator) for _ in range(task.backwards)]

        def closure(losses: list[Callable[[], Tensor]] = losses, optimizer: Optimizer = optimizer) -> Tensor:
            optimizer.zero_grad(set_to_none=task.set_to_none)
            found = [loss() for loss in losses]
            for loss in found:
                loss.backward()
            return torch.stack(found).sum()

        optimizer.step(closure)  # type: ignore[arg-type]
        history.append(_copies(tables))
    return history


def follow(subject: Implementation, task: Task, reference: Task | None = None) -> list[Tensor]:
    """Mismatch unless every step ends with stock's table: bit for bit if the task is exact, else within BOUND."""
    found, wanted = train(subject, task), train(STOCK, reference or task)
    for step, (x, y) in enumerate(zip(found, wanted, strict=True)):
        if task.exact:
            same_bits(x + 0.0, y + 0.0, f"table after step {step}")
        else:
            within(numpy_of(x), numpy_of(y), BOUND, f"table after step {step}")
    return found
