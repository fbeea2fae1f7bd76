"""A model that several processes train, and the same, with torch's own embedding, that one process trains."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import SGD, Adagrad, AdamW, Optimizer
from worlds import World

import tembed

Make = Callable[[Iterable[nn.Parameter]], Optimizer]
V, D, OUT, STEPS, BATCH, LENGTH = 13, 6, 4, 3, 8, 3
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda parameters: SGD(parameters, 0.3, momentum=0.9, weight_decay=0.01),
    "AdamW": lambda parameters: AdamW(parameters, 0.05),
    "Adagrad": lambda parameters: Adagrad(parameters, 0.2),
}


class Model(nn.Module):
    """Rows of a table through a layer, and if `tied` through the table again. In float64, to compare closely."""

    def __init__(
        self, kind: type[nn.Embedding] = tembed.Embedding, tied: bool = False, seed: int = 1, **options: Any
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.table = kind(V, D, **options)
        self.inner = nn.Linear(D, D if tied else OUT)
        self.outer = nn.Linear(D, V, bias=False) if tied else nn.Identity()
        if tied:
            self.outer.weight = self.table.weight
        self.double()

    def forward(self, indices: Tensor) -> Tensor:
        out: Tensor = self.outer(self.inner(self.table(indices)).tanh())
        return out


def batches(start: int = 0, end: int = STEPS) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices, of which some are padding, and factors for the loss, of each step from start to end."""
    generator = torch.Generator().manual_seed(5)
    for step in range(end):
        indices = torch.randint(0, V, (BATCH, LENGTH), generator=generator)
        indices[::3, 1] = 2
        factors = torch.randn(BATCH, LENGTH, 1, generator=generator, dtype=torch.float64)
        if step >= start:
            yield indices, factors


def loss_of(out: Tensor, factors: Tensor) -> Tensor:
    """A mean, so that the mean over processes is that over the whole batch."""
    return (out * factors.to(out.dtype)).square().mean()


def share(world: World) -> Callable[[Tensor], Tensor]:
    """Takes this process's part of a batch."""
    return lambda batch: batch.chunk(world.size)[world.rank]


def whole(batch: Tensor) -> Tensor:
    """Takes all of a batch."""
    return batch


def train(
    model: nn.Module,
    optimizer: Optimizer,
    part: Callable[[Tensor], Tensor] = whole,
    its: Callable[[Tensor], Tensor] = whole,
    start: int = 0,
    end: int = STEPS,
) -> None:
    """Steps from start to end, with this process's `part` of what is compared and `its` part of indices."""
    for indices, factors in batches(start, end):
        optimizer.zero_grad()
        loss_of(model(its(part(indices))), part(factors)).backward()
        optimizer.step()


def trained_alone(make: Make, **options: Any) -> Model:
    """The model once one process has trained it, with torch's own embedding."""
    model = Model(nn.Embedding, **options)
    before = model.table.weight.detach().clone()
    train(model, make(model.parameters()))
    assert not torch.equal(model.table.weight, before)
    return model


def compare(model: nn.Module, expected: nn.Module, rtol: float = 1e-9) -> None:
    """Every parameter, put together from its parts."""
    names = dict(expected.named_parameters())
    for name, parameter in model.named_parameters():
        value = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        theirs = names[name.removeprefix("module.")]
        torch.testing.assert_close(value, theirs, rtol=rtol, atol=rtol, msg=lambda m, n=name: f"{n}: {m}")
