"""errors: indices outside [0, V) of any shape and strides, in any table and in a module."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..bad_inputs import declare
from ..cases import dtype_of
from ..rows import Row
from ..scene import Act, Scene
from .bad_indices import RANGE, V, named

BLOCK = [[[0, 1, 2], [3, 4, 5]], [[6, 7, 90], [8, -9, 40]]]


def placed(name: str, make: Callable[[], Tensor], value: int, at: list[int], shape: list[int]) -> Row:
    """Indices of some shape and strides, of which the first bad one is named."""

    def prepare(s: Scene) -> Act:
        x = make()
        size = 1 + sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
        x = x.as_strided((size,), (1,)).to(s.device).as_strided(x.shape, x.stride())
        return s.call(x, s.table(V, 2, grad=True))

    return Row(name, prepare, IndexError, RANGE, named(value, at, shape))


def many(*shape: int) -> Tensor:
    """Good indices of this shape, but for 90 at place 700 of all and another after it."""
    flat = torch.arange(torch.Size(shape).numel()) % V
    flat[700], flat[-1] = 90, 91
    return flat.view(shape)


declare(
    "index-place",
    "Whatever the shape and strides of the input, the first bad index in it is the one that is named.",
    placed("0-d", lambda: torch.tensor(57), 57, [], []),
    placed("1-D", lambda: torch.tensor([V - 1, V, 50]), V, [1], [3]),
    placed("2-D", lambda: torch.tensor([[0, 1], [V, 50]]), V, [1, 0], [2, 2]),
    placed("3-D", lambda: torch.tensor(BLOCK), 90, [1, 0, 2], [2, 2, 3]),
    placed("3-D int32", lambda: torch.tensor(BLOCK, dtype=torch.int32), 90, [1, 0, 2], [2, 2, 3]),
    placed("transposed", lambda: torch.tensor([[0, 1], [90, 2], [3, 80]]).t(), 90, [0, 1], [2, 3]),
    placed("every second", lambda: torch.tensor([1, 90, 2, 91, 77, 3])[::2], 77, [2], [3]),
    placed("expanded", lambda: torch.tensor([[1], [90]]).expand(2, 3), 90, [1, 0], [2, 3]),
    placed("1-D far", lambda: many(1000), 90, [700], [1000]),
    placed("2-D far", lambda: many(30, 40), 90, [17, 20], [30, 40]),
    needs="cpu",
)


def of_module(under: Any, **options: Any) -> Callable[[Scene], Act]:
    """A module's lookup."""

    def prepare(s: Scene) -> Act:
        module, input = s.module(V, 2, **options), s.indices(0, V)

        def act() -> object:
            with under():
                return module(input)

        return act

    return prepare


def within(name: str, dtype: str, columns: int = 2) -> Row:
    """A table of this dtype and width."""
    return Row(
        name,
        lambda s: s.call(
            s.indices(0, V), s.keep(torch.ones(V, columns, device=s.device).to(dtype_of(dtype)), "weight")
        ),
        IndexError,
        RANGE,
        named(V, [1], [2]),
    )


declare(
    "index-table",
    "Whatever the table, and in a module, the message is the same.",
    within("float16", "float16"),
    within("complex128", "complex128"),
    within("bool", "bool"),
    Row(
        "one column in memory",
        lambda s: s.call(s.indices(0, V), s.keep(torch.ones(V, 1, device=s.device).expand(V, 4), "weight")),
        IndexError,
        RANGE,
        named(V, [1], [2]),
    ),
    Row("module", of_module(torch.enable_grad), IndexError, RANGE, named(V, [1], [2])),
    Row("frozen module", of_module(torch.enable_grad, _freeze=True), IndexError, RANGE, named(V, [1], [2])),
    Row(
        "module, inference_mode", of_module(torch.inference_mode, padding_idx=3), IndexError, RANGE, named(V, [1], [2])
    ),
    Row("num_embeddings set larger", lambda s: larger(s), IndexError, RANGE, named(V, [1], [2])),
    needs="cpu",
)
declare(
    "index-no-columns",
    "In a table without columns too.",
    Row(
        "V",
        lambda s: s.call(s.indices(0, V), s.table(V, 0)),
        RuntimeError,
        "INDICES element is out of DATA bounds",
        better=(IndexError, RANGE + named(V, [1], [2])),
    ),
    deviation=5,
    needs="cpu",
)


def larger(s: Scene) -> Act:
    """A module that is told to have more rows than its table."""
    module, input = s.module(V, 2), s.indices(0, V)
    module.num_embeddings = 99
    return lambda: module(input)
