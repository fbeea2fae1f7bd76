"""Where a bad input is put together: what the caller holds is known by name, for a record of it before the call."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim

from .cases import dtype_of
from .subject import Implementation, offered, wanted

V, D = 4, 3
Act = Callable[[], object]


@dataclass
class Scene:
    """What one implementation's caller has made so far."""

    subject: Implementation
    things: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """Where the implementation's tables are."""
        return self.subject.device

    def keep(self, thing: Any, name: str) -> Any:
        """The thing, recorded from now on."""
        if not any(thing is other for other in self.things.values()):
            self.things[name if name not in self.things else f"{name} {len(self.things)}"] = thing
        return thing

    def table(self, rows: int = V, columns: int = D, dtype: str = "float32", grad: bool = False) -> Tensor:
        """A table of 1, 2, 3, … in which every row's norm is over 1."""
        numbers = torch.arange(1.0, rows * columns + 1, device=self.device)
        weight = numbers.reshape(rows, columns).to(dtype_of(dtype))
        return self.keep(weight.requires_grad_(grad), "weight")

    def indices(self, *values: Any, dtype: str = "int64", device: str | None = None) -> Tensor:
        """Indices; 1, 2, 1 if none are given."""
        made = torch.tensor(values or (1, 2, 1), dtype=dtype_of(dtype), device=device or self.device)
        return self.keep(made, "input")

    def look(self, input: Any, weight: Any, **options: Any) -> Any:
        """The lookup, now; by the function where a module could not be given these arguments."""
        plain = isinstance(weight, Tensor) and weight.dim() == 2 and weight.numel() <= 2**20
        function_only = not plain or "padding_idx" in options
        if function_only:
            return self.subject.function(input, weight, **wanted(self.subject.function, options))
        return self.subject.call(input, weight, **options)

    def call(self, input: Any, weight: Any, under: Callable[[], Any] = nullcontext, **options: Any) -> Act:
        """The lookup, to be done, within the context `under`; its arguments are recorded."""
        for name, value in {"input": input, "weight": weight, **options}.items():
            self.keep(value, name)

        def act() -> object:
            with under():
                return self.look(input, weight, **options)

        return act

    def output(self, input: Tensor, weight: Tensor, **options: Any) -> Any:
        """What is looked up, recorded with the arguments."""
        return self.keep(self.call(input, weight, **options)(), "output")

    def make(self, *sizes: Any, **options: Any) -> Act:
        """The constructor's call, to be done; the table is made on the device."""
        for name, value in options.items():
            self.keep(value, name)
        return lambda: self.subject.build(*sizes, **options)

    def module(self, rows: int = V, columns: int = D, **options: Any) -> Any:
        """A module with the numbers of `table`."""
        made = self.subject.make(rows, columns, **options)
        numbers = torch.arange(1.0, rows * columns + 1, device=self.device).reshape(rows, columns)
        with torch.no_grad():
            offered(made, "weight").copy_(numbers)
        return self.keep(made, "module")

    def pretrained(self, embeddings: Any, **options: Any) -> Act:
        """from_pretrained, to be done."""
        self.keep(embeddings, "embeddings")
        maker = offered(self.subject.cls, "from_pretrained")
        return lambda: maker(embeddings, **wanted(maker, options))

    def trained(self, make: Callable[..., optim.Optimizer], rows: int = V, **options: Any) -> tuple[nn.Module, Any]:
        """A module that has its gradient, and an optimizer for it, which has not stepped."""
        module = self.module(rows, **options)
        optimizer = self.keep(make(module.parameters()), "optimizer")
        module(self.indices()).sum().backward()
        return module, optimizer


def lookup(**options: Any) -> Callable[[Scene], Act]:
    """Good indices and a table, with these options."""
    return lambda s: s.call(s.indices(), s.table(), **options)
